//! A process that holds secrets and things of its own, for attacks to reach for.
//!
//! The secret arrives in the environment variable `AGENTBOX_PROBE_SECRET`, since `/proc/PID/environ` is
//! one of the ways to it. What the process holds is printed as one line of JSON, and then `signal N` for
//! every signal that arrives, until standard input ends.

use crate::errno::Errno;
use crate::sys::{self, call, owned};
use agentbox_probe::Victim;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::ExitCode;

const OPEN_TO_ALL: u32 = 0o666;
const IPC_RMID: i32 = 0;
/// Signals that are counted rather than obeyed.
const COUNTED: &[i32] =
    &[libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGCONT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGIO];

struct Held {
    victim: Victim,
    shared: i32,
    semaphores: i32,
    messages: i32,
    queue: OwnedFd,
    unnamed: File,
    listeners: Vec<UnixListener>,
    datagrams: Vec<UnixDatagram>,
    signals: OwnedFd,
}

/// Holds everything until standard input ends.
pub(crate) fn run(tag: &str, directories: &[&str]) -> Result<ExitCode, String> {
    let secret = std::env::var("AGENTBOX_PROBE_SECRET").map_err(|error| error.to_string())?;
    // Files for all to read, whatever the mask of the one who starts this is.
    sys::umask(0);
    let held = make(tag, &secret, directories).map_err(|error| format!("victim: {error}"))?;
    let result = serve(&held, &secret);
    remove(&held);
    result.map(|()| ExitCode::SUCCESS)
}

fn make(tag: &str, secret: &str, directories: &[&str]) -> Result<Held, Errno> {
    // A key that two victims of the same run do not share.
    let key = std::process::id() as i32 | 0x4a00_0000;
    let shared = sys::make_shared_memory(key, secret.as_bytes())?;
    let make_flags = libc::IPC_CREAT | libc::IPC_EXCL | OPEN_TO_ALL as i32;
    let semaphores = call!(libc::SYS_semget, key, 1, make_flags)? as i32;
    let messages = call!(libc::SYS_msgget, key, make_flags)? as i32;
    let queue_name = format!("agentbox-probe-{tag}-{}", std::process::id());
    let queue_text = super::tools::c_string(&queue_name);
    let queue = owned(call!(libc::SYS_mq_open, &*queue_text, libc::O_CREAT | libc::O_RDWR, OPEN_TO_ALL, 0))?;
    let mut unnamed = File::from(owned(call!(libc::SYS_memfd_create, c"secret", libc::MFD_CLOEXEC))?);
    unnamed.write_all(secret.as_bytes())?;

    // Where sockets cannot be made there is none to reach.
    let mut listeners: Vec<UnixListener> =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&queue_name)?).into_iter().collect();
    let abstract_socket = if listeners.is_empty() { String::new() } else { queue_name.clone() };
    let (mut path_sockets, mut datagram_sockets, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let mut datagrams = Vec::new();
    for directory in directories {
        let base = PathBuf::from(directory);
        let socket = base.join(format!("{queue_name}.socket"));
        if let Ok(listener) = UnixListener::bind(&socket) {
            listeners.push(listener);
            fs::set_permissions(&socket, Permissions::from_mode(OPEN_TO_ALL))?;
            path_sockets.push(socket.to_string_lossy().into_owned());
        }
        let socket = base.join(format!("{queue_name}.datagrams"));
        if let Ok(bound) = UnixDatagram::bind(&socket) {
            datagrams.push(bound);
            fs::set_permissions(&socket, Permissions::from_mode(OPEN_TO_ALL))?;
            datagram_sockets.push(socket.to_string_lossy().into_owned());
        }
        // A file that everybody may read lies where everybody may write.
        if fs::metadata(&base)?.permissions().mode() & 0o002 == 0 {
            continue;
        }
        let file = base.join(format!("{queue_name}.txt"));
        fs::write(&file, secret)?;
        fs::set_permissions(&file, Permissions::from_mode(OPEN_TO_ALL))?;
        files.push(file.to_string_lossy().into_owned());
    }
    let victim = Victim {
        pid: std::process::id() as i32,
        address: secret.as_ptr() as u64,
        descriptor: unnamed.as_raw_fd(),
        shm_key: key,
        sem_key: key,
        msg_key: key,
        queue: format!("/{queue_name}"),
        abstract_socket,
        path_sockets,
        datagram_sockets,
        files,
    };
    let signals = watch_signals()?;
    Ok(Held { victim, shared, semaphores, messages, queue, unnamed, listeners, datagrams, signals })
}

fn watch_signals() -> Result<OwnedFd, Errno> {
    let mask = COUNTED.iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1)).to_ne_bytes();
    call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, mask.as_slice(), 0, mask.len())?;
    owned(call!(libc::SYS_signalfd4, -1, mask.as_slice(), mask.len(), libc::SFD_CLOEXEC))
}

fn serve(held: &Held, secret: &str) -> Result<(), String> {
    use rustix::event::{PollFd, PollFlags, poll};
    say(&serde_json::to_string(&held.victim).map_err(|error| error.to_string())?)?;
    let input = std::io::stdin();
    loop {
        let mut watched = vec![PollFd::new(&input, PollFlags::IN), PollFd::new(&held.signals, PollFlags::IN)];
        watched.extend(held.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        let ready: Vec<bool> = watched.iter().map(|one| !one.revents().is_empty()).collect();
        if ready[1] {
            let mut record = [0_u8; 128];
            let _ = call!(libc::SYS_read, held.signals.as_raw_fd(), record.as_mut_slice(), 128);
            say(&format!("signal {}", u32::from_ne_bytes([record[0], record[1], record[2], record[3]])))?;
        }
        for (listener, ready) in held.listeners.iter().zip(&ready[2..]) {
            if *ready && let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(secret.as_bytes());
            }
        }
        if ready[0] && input.lock().read(&mut [0; 64]).map_err(|error| error.to_string())? == 0 {
            return Ok(());
        }
    }
}

fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn remove(held: &Held) {
    let name = super::tools::c_string(held.victim.queue.trim_start_matches('/'));
    let _ = call!(libc::SYS_shmctl, held.shared, IPC_RMID, 0);
    let _ = call!(libc::SYS_semctl, held.semaphores, 0, IPC_RMID, 0);
    let _ = call!(libc::SYS_msgctl, held.messages, IPC_RMID, 0);
    let _ = call!(libc::SYS_mq_unlink, &*name);
    let victim = &held.victim;
    for path in victim.path_sockets.iter().chain(&victim.datagram_sockets).chain(&victim.files) {
        let _ = fs::remove_file(path);
    }
    // Held until here, so that the attacks find them.
    let _ = (&held.queue, &held.unnamed, &held.datagrams);
}
