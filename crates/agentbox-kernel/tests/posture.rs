//! Posture of a process with a known state: set up by tools of the system, so that what is compared does
//! not come from the code that is tested. Each loosened step must show.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::cgroup::{Hierarchy, SessionGroup};
use agentbox_kernel::posture::{Difference, PostureError, diff, diff_started, expected, observe};
use agentbox_plan::{
    Access, Confinement, Identity, Ids, InnerPath, Limit, LimitKind, Mount, Owner, Plan, Process, Sandbox,
    SessionId, SourceIndex, Streams, TerminalSize,
};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const UID: u32 = 2_050_000_001;

/// Sets up what [`plan`] says, but for the step that `$1` names.
const SETUP: &str = r#"
set -eu
skip=$1 new=$2 group=$3 prctl=$4
[ "$skip" = cgroup ] || echo $$ > "$group/cgroup.procs"
[ "$skip" = oom ] || echo 200 > /proc/self/oom_score_adj
ulimit -c 0
[ "$skip" = limit ] || ulimit -n 64
[ "$skip" = umask ] && umask 077 || umask 022
spaces=
for space in mount pid ipc uts cgroup net; do
    [ "$skip" = "namespace-$space" ] || spaces="$spaces --$space"
done
exec unshare $spaces --fork sh -eu -c '
skip=$1 new=$2 prctl=$3
if [ "$skip" = namespace-mount ]; then
    enter=
else
    mount --make-rprivate /
    mount -t tmpfs -o nosuid,nodev,size=1m none "$new"
    mkdir "$new/usr" "$new/proc" "$new/tmp" "$new/extra"
    for link in bin sbin lib lib64; do ln -s usr/$link "$new/$link"; done
    ln -s tmp/../proc/sys "$new/linked"
    mount --bind /usr "$new/usr"
    [ "$skip" = mount-readonly ] || mount -o remount,bind,ro,nosuid,nodev "$new/usr"
    mkdir "$new/dev"
    touch "$new/dev/null"
    mount --bind /dev/null "$new/dev/null"
    mount -o remount,bind,nosuid "$new/dev/null"
    mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
    if [ "$skip" != proc-mask ]; then
        mount --bind "$new/proc/sys" "$new/proc/sys"
        mount -o remount,bind,ro,nosuid,nodev,noexec "$new/proc/sys"
    fi
    noexec=,noexec
    [ "$skip" = noexec ] && noexec=
    [ "$skip" = mount-missing ] || mount -t tmpfs -o nosuid,nodev$noexec,size=1m tmpfs "$new/tmp"
    [ "$skip" = mount-extra ] && mount -t tmpfs -o nosuid,nodev,noexec none "$new/extra"
    [ "$skip" = root-readonly ] || mount -o remount,ro,nosuid,nodev,size=1m "$new"
    cd "$new"
    pivot_root . .
    umount -l .
    enter="cd /"
fi
$enter
if [ "$skip" != directory ]; then cd /tmp; fi
nnp=--no-new-privs bounding=--bounding-set=-all groups=--clear-groups ids="--reuid=$4 --regid=$4"
case $skip in
    no-new-privs) nnp= ;;
    bounding-set) bounding= ;;
    groups) groups=--groups=4 ;;
    gid) ids="--reuid=$4 --regid=0" ;;
    uid) ids="--regid=$4" ;;
esac
extra=
[ "$skip" = environment ] && extra=LD_PRELOAD=
[ "$skip" = descriptors ] && exec 7</dev/null
# Whatever the test was started with stays behind; 7 is opened above when a step wants it.
close="use POSIX (); for my \$n (3 .. 1023) { POSIX::close(\$n) unless \$n == 7 }"
# One instruction: SECCOMP_RET_ALLOW.
allow="my \$one = pack(q(SCCL), 6, 0, 0, 0x7fff0000); my \$all = pack(q(Sx6P), 1, \$one);
    syscall(\$ARGV[0], 22, 2, \$all) == 0 or die \$!; shift; exec @ARGV or die \$!"
[ "$skip" = seccomp ] && allow="shift; exec @ARGV or die \$!"
exec perl -e "$close $allow" "$prctl" setpriv $ids $groups --inh-caps=-all $bounding $nnp \
    /usr/bin/env -i PATH=/usr/bin $extra /usr/bin/tee
' sh "$skip" "$new" "$prctl" 2050000001
"#;

fn path(text: &str) -> InnerPath {
    InnerPath::new(text).unwrap()
}

fn plan() -> Plan {
    let ids = |id| Ids { uid: id, gid: id, groups: vec![] };
    Plan {
        label: "L2".to_owned(),
        session: "test".parse().unwrap(),
        identity: Identity { agent: ids(UID), console: ids(UID + 1) },
        confinement: Confinement::Sandbox {
            sandbox: Sandbox {
                hostname: c"box".into(),
                network: agentbox_plan::NetworkNamespace::Empty,
                idmaps: vec![],
                mounts: vec![
                    Mount::Bind {
                        source: SourceIndex { index: 0 },
                        target: path("/usr"),
                        access: Access::ReadOnly,
                        recursive: false,
                        idmap: None,
                    },
                    Mount::Device { source: SourceIndex { index: 1 }, target: path("/dev/null") },
                    Mount::Proc { target: path("/proc") },
                    Mount::ReadOnly { target: path("/linked") },
                    Mount::Tmpfs {
                        target: path("/tmp"),
                        mode: 0o1777,
                        size_bytes: 1 << 20,
                        inodes: 1000,
                        owner: Owner::Root,
                        exec: false,
                    },
                ],
                unix_sockets: true,
            },
        },
        limits: vec![
            Limit { kind: LimitKind::Core, soft: 0, hard: 0 },
            Limit { kind: LimitKind::OpenFiles, soft: 64, hard: 64 },
        ],
        oom_score_adj: 200,
        umask: 0o022,
        process: Process {
            arguments: vec![c"tee".into()],
            environment: vec![c"PATH=/usr/bin".into()],
            directory: path("/tmp"),
            streams: Streams::PIPES,
            size: TerminalSize::default(),
        },
    }
}

struct Session {
    group: SessionGroup,
    child: Child,
    place: tempfile::TempDir,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.group.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.group.wait_empty(Duration::from_secs(20));
        let _ = self.group.remove();
        let _ = self.place.path();
    }
}

/// Differences of a process in whose setup one step was left out.
fn differences(skip: &str) -> (Vec<Difference>, Vec<Difference>) {
    let hierarchy = Hierarchy::find().unwrap();
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
    let id = SessionId::from_random(random);
    let group = hierarchy.create(&id).unwrap();
    let place = tempfile::tempdir().unwrap();
    let payload = hierarchy.mount_point().join(format!("agentbox/{id}/payload"));
    let child = Command::new("sh")
        .args(["-c", SETUP, "sh", skip])
        .arg(place.path())
        .arg(payload)
        .arg(libc::SYS_prctl.to_string())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut session = Session { group, child, place };
    // tee gives back what it gets once it runs: from then on nothing changes.
    use std::io::Write;
    session.child.stdin.as_mut().unwrap().write_all(b"ready\n").unwrap();
    let mut line = String::new();
    BufReader::new(session.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{skip}: the setup failed");
    let children = format!("/proc/{0}/task/{0}/children", session.child.id());
    let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();

    let expected = expected(&plan(), &session.group.payload_path()).unwrap();
    let observed = observe(pid).unwrap();
    (diff(&expected, &observed), diff_started(&expected, &observed))
}

fn words(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|difference| difference.what.as_str()).collect()
}

#[test]
fn a_process_that_is_what_its_plan_says_has_no_difference() {
    let (lasting, started) = differences("nothing");
    assert_eq!((words(&lasting), words(&started)), (vec![], vec![]), "{lasting:?} {started:?}");
}

#[test]
fn every_step_that_is_left_out_shows_as_itself() {
    for (skip, what) in [
        ("cgroup", "control group"),
        ("limit", "Max open files (hard)"),
        ("oom", "oom_score_adj"),
        ("namespace-pid", "pid namespace"),
        ("namespace-ipc", "ipc namespace"),
        ("namespace-uts", "uts namespace"),
        ("namespace-cgroup", "cgroup namespace"),
        ("namespace-net", "net namespace"),
        ("mount-readonly", "mount /usr"),
        ("root-readonly", "mount /"),
        ("proc-mask", "mount /linked"),
        ("noexec", "mount /tmp"),
        ("mount-missing", "mount /tmp"),
        ("mount-extra", "mount /extra"),
        ("no-new-privs", "no_new_privs"),
        ("bounding-set", "bounding capabilities"),
        ("groups", "supplementary groups"),
        ("gid", "group ids"),
        ("uid", "user ids"),
        ("seccomp", "seccomp mode"),
    ] {
        let (lasting, _) = differences(skip);
        assert!(words(&lasting).contains(&what), "{skip}: {lasting:?}");
        let others = lasting.iter().filter(|difference| {
            let belongs = match skip {
                // Root keeps its capabilities without a change of user.
                "uid" => difference.what.ends_with("capabilities"),
                "seccomp" => difference.what == "seccomp filters",
                "mount-readonly" | "root-readonly" => difference.what == what,
                _ => false,
            };
            difference.what != what && !belongs
        });
        assert_eq!(others.count(), 0, "{skip}: {lasting:?}");
    }
}

#[test]
fn a_process_in_the_hosts_mounts_shows() {
    let (lasting, _) = differences("namespace-mount");
    let found = words(&lasting);
    assert!(found.contains(&"mnt namespace") && found.contains(&"mount /"), "{found:?}");
}

#[test]
fn what_a_process_may_change_later_shows_when_it_was_just_started() {
    for (skip, what) in [
        ("umask", "umask"),
        ("environment", "environment"),
        ("descriptors", "open descriptors"),
        ("directory", "working directory"),
    ] {
        let (lasting, started) = differences(skip);
        assert_eq!((words(&lasting), words(&started)), (vec![], vec![what]), "{skip}");
    }
}

#[test]
fn a_session_without_a_sandbox_is_on_the_host_as_its_caller() {
    let mut plan = plan();
    let ids = || Ids { uid: 0, gid: 0, groups: vec![] };
    plan.identity = Identity { agent: ids(), console: ids() };
    plan.confinement = Confinement::None;
    plan.limits.clear();
    plan.oom_score_adj = -1000;
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let group = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let observed = observe(std::process::id()).unwrap();
    let found = diff(&expected(&plan, group).unwrap(), &observed);
    assert_eq!(words(&found), Vec::<&str>::new(), "{found:?}");

    plan.identity.agent.uid = UID;
    let found = diff(&expected(&plan, "/elsewhere").unwrap(), &observed);
    assert_eq!(words(&found), ["user ids", "control group"]);
}

#[test]
fn a_process_that_has_ended_is_said_to_have_ended() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    assert!(matches!(observe(pid), Err(PostureError::Gone { .. })));
}
