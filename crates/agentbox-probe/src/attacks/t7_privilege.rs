//! T7: what a process may be or become: its status bits, programs with set-id bits, ids.

use super::processes;
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::own_state;
use crate::sys::call;
use agentbox_probe::{Facts, Outcome};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t7.capability-sets", "hold a capability", |_| capabilities()).root(),
    Attack::new("t7.bounding-set", "have a capability in the bounding set", |_| {
        set("bounding", own_state::read().capabilities.bounding)
    }),
    Attack::new("t7.new-privileges", "run without no_new_privs", |_| new_privileges()),
    Attack::new("t7.no-filter", "run without a seccomp filter", |_| {
        let state = own_state::read();
        if state.seccomp_mode == 0 {
            succeeded("mode 0")
        } else {
            refused(format!("mode {}", state.seccomp_mode))
        }
    }),
    Attack::new("t7.no-landlock", "run without a Landlock domain", |_| match own_state::landlock_left() {
        Ok(left) if left >= own_state::LANDLOCK_LAYERS => succeeded(format!("{left} layers are left")),
        Ok(left) => refused(format!("{left} of {} layers are left", own_state::LANDLOCK_LAYERS)),
        Err(error) => refused(error),
    })
    .kernel("landlock"),
    Attack::new("t7.person-uid", "run under the person's own uid", person_uid).needs(&["person.uid"]).l2(),
    Attack::new("t7.person-groups", "be in a group of the person's", person_groups)
        .needs(&["host.groups"])
        .l2(),
    Attack::new("t7.become-root", "set the user id to 0", |_| judge(call!(libc::SYS_setresuid, 0, 0, 0)))
        .root(),
    Attack::new("t7.become-root-group", "set the group id to 0", |_| {
        judge(call!(libc::SYS_setresgid, 0, 0, 0))
    })
    .root(),
    Attack::new("t7.set-groups", "choose the supplementary groups", |_| {
        judge(call!(libc::SYS_setgroups, 1, 0_u32.to_ne_bytes().as_slice()))
    })
    .root(),
    Attack::new("t7.ambient-capability", "raise an ambient capability", |_| ambient()).root(),
    Attack::new("t7.set-id-program", "run a program with the set-user-id bit of root", set_id_program)
        .needs(&["planted.set_id_program"]),
    Attack::new("t7.system-set-id-programs", "run a set-user-id program of the system as root", |_| {
        system_programs()
    }),
    Attack::new("t7.cgroup-move", "move into another control group", |_| cgroup_move()).root(),
    Attack::new("t7.cgroup-make", "make a control group", |_| cgroup_make()).root(),
    Attack::new("t7.supervisor-bus", "connect to the supervisor's own socket", |_| supervisor_bus())
        .never_shown("outside there is a supervisor only while a session runs; `agentboxctl` is its control"),
];

fn set(name: &str, bits: u64) -> Answer {
    if bits == 0 { refused(format!("{name} is empty")) } else { succeeded(format!("{name} is {bits:#x}")) }
}

/// A line of every process that `/proc` shows, since one that has what it should not is enough.
fn of_every_process(field: &str, judge: fn(&str) -> Answer) -> Answer {
    any_of(processes().into_iter().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some((format!("process {pid}"), judge(value.trim())))
    }))
}

fn capabilities() -> Answer {
    any_of(["CapEff", "CapPrm", "CapInh", "CapAmb"].map(|set| {
        let empty = |value: &str| {
            let none = value.bytes().all(|digit| digit == b'0');
            if none { refused("empty") } else { succeeded(value) }
        };
        (set.to_owned(), of_every_process(set, empty))
    }))
}

fn new_privileges() -> Answer {
    of_every_process("NoNewPrivs", |bit| if bit == "0" { succeeded("unset") } else { refused("set") })
}

fn person_uid(facts: &Facts) -> Answer {
    let uids = own_state::read().uids;
    match uids.iter().find(|uid| **uid == 0 || **uid == facts.person.uid) {
        Some(uid) => succeeded(format!("uid {uid}")),
        None => refused(format!("uids {uids:?}")),
    }
}

fn person_groups(facts: &Facts) -> Answer {
    if facts.host.groups.is_empty() {
        return lacking("groups");
    }
    let state = own_state::read();
    match state.groups.iter().chain(&state.gids).find(|gid| facts.host.groups.contains(gid)) {
        Some(gid) => succeeded(format!("gid {gid}")),
        None => refused("in none of them"),
    }
}

fn ambient() -> Answer {
    const CAP_NET_RAW: i32 = 13;
    // capset(2), version 3: effective, permitted and inheritable of the lower 32 bits, then of the upper.
    let head: Vec<u8> = [0x2008_0522_u32, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let own = own_state::read().capabilities;
    let words = [
        own.effective as u32,
        own.permitted as u32,
        own.inheritable as u32 | 1 << CAP_NET_RAW,
        (own.effective >> 32) as u32,
        (own.permitted >> 32) as u32,
        (own.inheritable >> 32) as u32,
    ];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    if let Err(error) = call!(libc::SYS_capset, head.as_slice(), data.as_slice()) {
        return refused(error);
    }
    judge(call!(libc::SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0))
}

fn set_id_program(facts: &Facts) -> Answer {
    let Some(program) = &facts.planted.set_id_program else { return lacking("set-id program") };
    match Command::new(program).arg("-u").stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(output) if output.stdout.trim_ascii() == b"0" => succeeded("it ran as uid 0"),
        Ok(output) => {
            refused(format!("it ran as uid {}", String::from_utf8_lossy(output.stdout.trim_ascii())))
        }
        Err(error) => refused(Errno::from(error)),
    }
}

fn system_programs() -> Answer {
    // Each of these waits for an answer on standard input, so that its ids can be looked at.
    let programs = ["su", "sudo", "passwd", "chsh", "newgrp", "pkexec", "mount"];
    any_of(programs.into_iter().filter_map(|name| {
        let path = ["/usr/bin", "/bin", "/usr/sbin", "/run/wrappers/bin"]
            .iter()
            .map(|directory| format!("{directory}/{name}"))
            .find(|path| fs::metadata(path).is_ok())?;
        Some((path.clone(), effective_uid_of(&path)))
    }))
}

/// How long execve may take to bring its new ids into force after it has closed what it closes.
const IDS_LIMIT: Duration = Duration::from_millis(250);

fn effective_uid_of(program: &str) -> Answer {
    let (reader, _writer) = match std::io::pipe() {
        Ok(pair) => pair,
        Err(error) => return refused(Errno::from(error)),
    };
    let child = Command::new(program).stdin(reader).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return refused(Errno::from(error)),
    };
    // spawn() returns when execve closes its pipe, which is before the new ids are in force.
    let limit = Instant::now() + IDS_LIMIT;
    let answer = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        let mut uids = uids.split_ascii_whitespace();
        match (uids.next(), uids.next()) {
            (Some(real), Some("0")) if real != "0" => break succeeded("its effective uid is 0"),
            (Some(_), Some(effective)) if Instant::now() > limit => {
                break refused(format!("effective uid {effective}"));
            }
            (Some(_), Some(_)) => std::thread::sleep(Duration::from_millis(1)),
            _ => break refused("it ended at once"),
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    answer
}

/// Directories of control groups that are mounted here.
fn cgroups() -> Vec<String> {
    let mounted = super::mounts().into_iter().filter(|mount| mount.kind.starts_with("cgroup"));
    mounted.map(|mount| mount.target).collect()
}

fn cgroup_move() -> Answer {
    // This process ends after the attempt, so where it went does not matter.
    any_of(cgroups().into_iter().map(|root| {
        let path = format!("{root}/cgroup.procs");
        let answer = judge(fs::write(&path, std::process::id().to_string()).map_err(Errno::from));
        (path, answer)
    }))
}

fn cgroup_make() -> Answer {
    any_of(cgroups().into_iter().map(|root| {
        let path = format!("{root}/agentbox-probe-{}", std::process::id());
        let result = fs::create_dir(&path).map_err(Errno::from);
        if result.is_ok() {
            let _ = fs::remove_dir(&path);
        }
        (path, judge(result))
    }))
}

fn supervisor_bus() -> Answer {
    let runtime = std::env::var("RUNTIME_DIRECTORY").unwrap_or_else(|_| "/run/agentbox".to_owned());
    let tried = [runtime, "/run/agentbox".to_owned()].map(|directory| {
        let path = format!("{directory}/bus");
        let answer = judge(std::os::unix::net::UnixStream::connect(&path).map_err(Errno::from));
        (path, answer)
    });
    let answer = any_of(tried);
    if answer.outcome == Outcome::Refused { refused(answer.detail) } else { answer }
}
