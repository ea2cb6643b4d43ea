//! What an attack on the design itself found: settings that a session inherits from whoever started it,
//! and things of the host that only a look shows.

use super::t8_neighbours::send_nothing;
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::own_state;
use agentbox_probe::{Facts, Outcome};
use std::fs;

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t7.out-of-memory", "be spared by the out-of-memory killer", oom).needs(&["oom_score_adj"]),
    Attack::new("t7.raise-out-of-memory", "lower the own score for the out-of-memory killer", |_| {
        raise_oom()
    })
    .rig(),
    Attack::new("t7.umask", "make files that everybody can write without saying so", |_| {
        let umask = own_state::read().umask;
        if umask & 0o002 != 0 { refused(format!("{umask:04o}")) } else { succeeded(format!("{umask:04o}")) }
    }),
    Attack::new("t7.core-dumps", "write a core dump", |_| limit("Max core file size", 0)),
    Attack::new("t7.many-processes", "have no limit of processes", |_| limit("Max processes", 32_768)).l2(),
    Attack::new("t7.locked-memory", "lock any amount of memory", |_| limit("Max locked memory", 64 << 20))
        .never_shown("the limit of the machine may be as low"),
    Attack::new("t8.host-name-seen", "learn the host's name from the kernel", |f| {
        host_name(f, "/proc/sys/kernel/hostname")
    })
    .needs(&["host.name"]),
    Attack::new("t8.host-name-read", "read the host's name", |f| host_name(f, "/etc/hostname"))
        .needs(&["host.name"])
        .l2()
        .kernel("/etc/hostname"),
    Attack::new("t8.cgroup-path-seen", "learn one's control group on the host", |_| cgroup_path())
        .never_shown("who is in the root of the tree outside sees as little there"),
    Attack::new("t7.network-devices", "find a network device other than lo", |_| network_devices())
        .kernel("a network device"),
    Attack::new("t6.system-bus", "connect to the bus of the system or of the person", buses).kernel("a bus"),
    Attack::new("t7.container-sockets", "find the socket of a program that starts containers", |_| {
        containers()
    })
    .root()
    .kernel("docker, podman, incus, libvirt or nix"),
    Attack::new("t8.mounts-tell-paths", "learn host paths from the list of mounts", mount_paths)
        .needs(&["person.home"])
        .unpromised("the kernel shows where a bind mount comes from"),
];

fn oom(facts: &Facts) -> Answer {
    let Some(least) = facts.oom_score_adj else { return lacking("score") };
    let own = own_state::read().oom_score_adj;
    if own < least { succeeded(format!("{own}")) } else { refused(format!("{own}")) }
}

fn raise_oom() -> Answer {
    // Of this process, which ends right after.
    match fs::write("/proc/self/oom_score_adj", "-1000") {
        Ok(()) => succeeded("lowered"),
        Err(error) => refused(crate::errno::Errno::from(error)),
    }
}

fn limit(name: &str, most: u64) -> Answer {
    match own_state::read().limits.get(name).map(|limit| limit.hard) {
        Some(Some(hard)) if hard <= most => refused(format!("at most {hard}")),
        Some(Some(hard)) => succeeded(format!("{hard}")),
        Some(None) => succeeded("unlimited"),
        None => refused("cannot be seen"),
    }
}

fn host_name(facts: &Facts, path: &str) -> Answer {
    if facts.host.name.is_empty() {
        return lacking("host name");
    }
    match fs::read_to_string(path) {
        Ok(text) if text.trim() == facts.host.name => succeeded("the host's"),
        Ok(_) => refused("another"),
        Err(error) => refused(crate::errno::Errno::from(error)),
    }
}

fn cgroup_path() -> Answer {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    if path == "/" { refused("/") } else { succeeded(path) }
}

fn network_devices() -> Answer {
    // From /proc rather than /sys, which need not be there.
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names =
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).filter(|name| *name != "lo");
    any_of(names.map(|name| (name.to_owned(), succeeded("is there"))))
}

fn reach(paths: Vec<String>) -> Answer {
    any_of(paths.into_iter().map(|path| {
        let answer = match std::os::unix::net::UnixStream::connect(&path).map(drop) {
            Ok(()) => succeeded("connected"),
            // The journal's and the notification socket take datagrams only; where sockets of this family are refused, a
            // pair may not be.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPROTOTYPE | libc::EAFNOSUPPORT)) => {
                judge(send_nothing(&path))
            }
            // A socket that nobody listens on any more is nothing to try it on.
            Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {
                Answer { outcome: Outcome::NotApplicable, ..refused("nobody listens") }
            }
            Err(error) => refused(crate::errno::Errno::from(error)),
        };
        (path, answer)
    }))
}

fn buses(facts: &Facts) -> Answer {
    reach(vec![
        "/run/dbus/system_bus_socket".to_owned(),
        "/var/run/dbus/system_bus_socket".to_owned(),
        format!("/run/user/{}/bus", facts.person.uid),
        format!("/run/user/{}/systemd/private", facts.person.uid),
        "/run/systemd/private".to_owned(),
        "/run/systemd/journal/socket".to_owned(),
        "/run/systemd/journal/stdout".to_owned(),
        "/run/systemd/notify".to_owned(),
        "/dev/log".to_owned(),
        format!("/run/user/{}/gnupg/S.gpg-agent", facts.person.uid),
        format!("/run/user/{}/keyring/control", facts.person.uid),
        format!("/run/user/{}/pipewire-0", facts.person.uid),
        format!("/run/user/{}/gvfsd/socket", facts.person.uid),
    ])
}

fn containers() -> Answer {
    let paths = [
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/podman/podman.sock",
        "/run/containerd/containerd.sock",
        "/var/lib/incus/unix.socket",
        "/run/incus/unix.socket",
        "/run/libvirt/libvirt-sock",
        "/nix/var/nix/daemon-socket/socket",
        "/run/tailscale/tailscaled.sock",
    ];
    reach(paths.map(str::to_owned).to_vec())
}

fn mount_paths(facts: &Facts) -> Answer {
    let home = &facts.person.home;
    match super::mounts().into_iter().find(|mount| !home.is_empty() && mount.root.starts_with(home)) {
        Some(mount) => succeeded(mount.root),
        None => refused("none below the home"),
    }
}
