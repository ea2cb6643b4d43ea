//! T4: credentials: in files, environments, memory, keyrings and agents.

use super::t1_files::read_class;
use super::{OWN_FIRST, open_with, processes};
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{self, call, owned};
use agentbox_probe::{Facts, Victim};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t4.ssh-keys", "read the keys of ssh", |f| read_class(f, "ssh"))
        .needs(&["planted.secrets.ssh"]),
    Attack::new("t4.cloud-credentials", "read credentials of clouds", |f| read_class(f, "cloud"))
        .needs(&["planted.secrets.cloud"]),
    Attack::new("t4.gpg-keys", "read private keys of gpg", |f| read_class(f, "gpg"))
        .needs(&["planted.secrets.gpg"]),
    Attack::new("t4.browser-profile", "read a browser's saved passwords", |f| read_class(f, "browser"))
        .needs(&["planted.secrets.browser"]),
    Attack::new("t4.shell-history", "read the history of a shell", |f| read_class(f, "history"))
        .needs(&["planted.secrets.history"]),
    Attack::new("t4.keyring-files", "read the files of a desktop's keyring", |f| read_class(f, "keyring"))
        .needs(&["planted.secrets.keyring"]),
    Attack::new("t4.token-files", "read tokens that programs keep in the home", |f| read_class(f, "tokens"))
        .needs(&["planted.secrets.tokens"]),
    Attack::new(
        "t4.secret-environment",
        "find a variable that holds a secret by its name",
        secret_environment,
    )
    .needs(&["secret_names"]),
    Attack::new("t4.canary-environment", "find the secret in the value of a variable", canary_environment)
        .needs(&["canary"]),
    Attack::new(
        "t4.other-environments",
        "find the secret in another process's environment",
        other_environments,
    )
    .needs(&["victim"]),
    Attack::new("t4.trace-process", "trace a process outside (ptrace)", |f| victim(f, trace))
        .needs(&["victim"]),
    Attack::new("t4.read-memory", "read the secret in the memory of a process outside", |f| {
        victim(f, read_memory)
    })
    .needs(&["victim"]),
    Attack::new("t4.write-memory", "write the memory of a process outside", |f| victim(f, write_memory))
        .needs(&["victim"]),
    Attack::new("t4.memory-file", "read the secret through /proc/PID/mem", |f| victim(f, memory_file))
        .needs(&["victim"]),
    Attack::new("t4.take-descriptor", "take a descriptor of a process outside (pidfd_getfd)", |f| {
        victim(f, take)
    })
    .needs(&["victim"]),
    Attack::new("t4.first-process-memory", "open the memory of process 1", |_| of_first("mem"))
        .root()
        .needs(&[OWN_FIRST]),
    Attack::new("t4.first-process-environment", "open the environment of process 1", |_| of_first("environ"))
        .root()
        .needs(&[OWN_FIRST]),
    Attack::new("t4.first-process-descriptors", "list the descriptors of process 1", |_| {
        judge(fs::read_dir("/proc/1/fd").map_err(Errno::from))
    })
    .root()
    .needs(&[OWN_FIRST]),
    Attack::new("t4.first-process-trace", "trace process 1", |_| judge(seize(1))).root().needs(&[OWN_FIRST]),
    Attack::new("t4.first-process-take", "take a descriptor of process 1", |_| {
        judge(take_from(1, 0).map(drop))
    })
    .root()
    .needs(&[OWN_FIRST]),
    Attack::reach("t4.keyctl", "reach the kernel's keyrings (keyctl)", || {
        call!(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_PROCESS_KEYRING, 1)
    }),
    Attack::reach("t4.add-key", "put a key into a keyring", || {
        call!(
            libc::SYS_add_key,
            c"user",
            c"agentbox-probe",
            b"1".as_slice(),
            1,
            libc::KEY_SPEC_PROCESS_KEYRING
        )
    }),
    Attack::reach("t4.request-key", "ask for a key", || {
        call!(libc::SYS_request_key, c"user", c"agentbox-probe-none", 0, libc::KEY_SPEC_PROCESS_KEYRING)
    }),
    Attack::new("t4.session-keyring", "find a key of the session that started this one", session_keyring)
        .needs(&["planted.session_key"]),
    Attack::new("t4.agent-socket", "connect to the person's ssh-agent", agent_socket)
        .needs(&["planted.agent_socket"]),
];

fn secret_environment(facts: &Facts) -> Answer {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    if facts.secret_names.is_empty() {
        return lacking("secret names");
    }
    match names.iter().find(|name| facts.secret_names.contains(name)) {
        Some(name) => succeeded(format!("{name} is set")),
        None => refused(format!("none of {}", facts.secret_names.len())),
    }
}

fn canary_environment(facts: &Facts) -> Answer {
    use std::os::unix::ffi::OsStrExt;
    match std::env::vars_os().find(|(_, value)| facts.canary.is_in(value.as_bytes())) {
        Some((name, _)) => succeeded(format!("in {}", name.to_string_lossy())),
        None => refused("in no variable"),
    }
}

fn other_environments(facts: &Facts) -> Answer {
    if facts.victim.is_none() {
        return lacking("victim");
    }
    any_of(processes().into_iter().map(|pid| {
        let answer = match fs::read(format!("/proc/{pid}/environ")).map_err(Errno::from) {
            Ok(bytes) if facts.canary.is_in(&bytes) => succeeded("holds the secret"),
            Ok(_) => refused("opens, without the secret"),
            Err(error) => refused(error),
        };
        (format!("/proc/{pid}"), answer)
    }))
}

fn victim(facts: &Facts, attempt: fn(&Facts, &Victim) -> Answer) -> Answer {
    match &facts.victim {
        Some(victim) if victim.pid > 1 => attempt(facts, victim),
        _ => lacking("victim"),
    }
}

/// Attaches without stopping it; the end of this process detaches.
fn seize(pid: i32) -> Result<i64, Errno> {
    call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, pid, 0, 0)
}

fn trace(_: &Facts, victim: &Victim) -> Answer {
    judge(seize(victim.pid))
}

fn read_memory(facts: &Facts, victim: &Victim) -> Answer {
    let mut bytes = vec![0; facts.canary.whole().len()];
    match sys::read_memory(victim.pid, victim.address, &mut bytes) {
        Ok(_) if facts.canary.is_in(&bytes) => succeeded("read the secret"),
        Ok(_) => refused("reads something else"),
        Err(error) => refused(error),
    }
}

fn write_memory(facts: &Facts, victim: &Victim) -> Answer {
    // The same bytes again.
    judge(sys::write_memory(victim.pid, victim.address, facts.canary.whole().as_bytes()))
}

fn memory_file(facts: &Facts, victim: &Victim) -> Answer {
    let mut bytes = vec![0; facts.canary.whole().len()];
    let read = open_with(&format!("/proc/{}/mem", victim.pid), libc::O_RDONLY)
        .and_then(|file| Ok(file.read_exact_at(&mut bytes, victim.address)?));
    match read {
        Ok(()) if facts.canary.is_in(&bytes) => succeeded("read the secret"),
        Ok(()) => refused("reads something else"),
        Err(error) => refused(error),
    }
}

fn take_from(pid: i32, descriptor: i32) -> Result<File, Errno> {
    let process = owned(call!(libc::SYS_pidfd_open, pid, 0))?;
    owned(call!(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0)).map(File::from)
}

fn take(facts: &Facts, victim: &Victim) -> Answer {
    let mut bytes = vec![0; facts.canary.whole().len()];
    match take_from(victim.pid, victim.descriptor).and_then(|file| Ok(file.read_exact_at(&mut bytes, 0)?)) {
        Ok(()) if facts.canary.is_in(&bytes) => succeeded("read the secret"),
        Ok(()) => refused("reads something else"),
        Err(error) => refused(error),
    }
}

fn of_first(file: &str) -> Answer {
    // The kernel judges at the opening (proc(5)); nothing is read.
    judge(open_with(&format!("/proc/1/{file}"), libc::O_RDONLY))
}

fn session_keyring(facts: &Facts) -> Answer {
    let Some(description) = &facts.planted.session_key else { return lacking("session key") };
    let description = CString::new(description.as_str()).unwrap_or_default();
    let found = call!(
        libc::SYS_keyctl,
        libc::KEYCTL_SEARCH,
        libc::KEY_SPEC_SESSION_KEYRING,
        c"user",
        &*description,
        0
    );
    let read = found.and_then(|key| {
        let mut bytes = [0_u8; 256];
        let length = call!(libc::SYS_keyctl, libc::KEYCTL_READ, key, bytes.as_mut_slice(), 256)?;
        Ok(facts.canary.is_in(&bytes[..(length as usize).min(256)]))
    });
    match (read, keys_of_session()) {
        (Ok(true), _) => succeeded("read the secret"),
        // Whoever started this had none of that name, and yet something of theirs is here.
        (_, Ok(keys @ 1..)) => succeeded(format!("it holds {keys} keys of somebody else")),
        (Ok(false), _) => refused("reads something else"),
        (Err(error), _) => refused(error),
    }
}

/// How many keys the session keyring holds. One that was made for a sandbox holds none.
fn keys_of_session() -> Result<usize, Errno> {
    let mut serials = [0_u8; 256];
    let bytes = call!(
        libc::SYS_keyctl,
        libc::KEYCTL_READ,
        libc::KEY_SPEC_SESSION_KEYRING,
        serials.as_mut_slice(),
        256
    )?;
    Ok(bytes as usize / size_of::<i32>())
}

/// Connects and reads what the other side says first.
pub(super) fn listen_to(facts: &Facts, connected: std::io::Result<UnixStream>) -> Answer {
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => return refused(Errno::from(error)),
    };
    let mut bytes = vec![0; facts.canary.whole().len()];
    let said = stream
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .and_then(|()| stream.read_exact(&mut bytes));
    match said {
        Ok(()) if facts.canary.is_in(&bytes) => succeeded("it told the secret"),
        _ => succeeded("connected"),
    }
}

fn agent_socket(facts: &Facts) -> Answer {
    match &facts.planted.agent_socket {
        Some(path) => listen_to(facts, UnixStream::connect(path)),
        None => lacking("agent socket"),
    }
}
