//! The journal of the system: entries written with the native protocol, and read back with journalctl(1).
//!
//! Every process may write entries with any field and any MESSAGE_ID. What a reader may rely on is what
//! journald itself adds (systemd.journal-fields(7)): `_UID`, `_SYSTEMD_UNIT`, `_TRANSPORT`.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/systemd/journal/socket";
/// Where journalctl is looked for; the environment does not decide what root runs.
const PROGRAMS: [&str; 3] =
    ["/usr/bin/journalctl", "/bin/journalctl", "/run/current-system/sw/bin/journalctl"];
/// Ten thousand entries take a second.
const LIMIT: Duration = Duration::from_secs(60);
/// Most entries that are read back, the latest, and most bytes of all of them.
const MAX_ENTRIES: &str = "100000";
const MAX_BYTES: usize = 64 << 20;

/// The journal could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The program is not there.
    #[error("there is no program journalctl")]
    NoProgram,
    /// It could not be run or read from.
    #[error("journalctl: {0}")]
    Io(#[from] io::Error),
    /// It did not end well.
    #[error("journalctl: {0}")]
    Failed(String),
}

/// Where entries are written.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// A socket of our own; journald may come and go.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // Who waits for journald is held up by it.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Writes an entry. Names of fields are capital letters, digits and `_`.
    ///
    /// # Errors
    /// When journald is not there or takes no more now.
    pub fn write(&self, fields: &[(&str, &str)]) -> io::Result<()> {
        self.socket.send_to(&entry(fields), SOCKET).map(drop)
    }
}

/// An entry in the native protocol.
fn entry(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // Only with its length is a value with lines one value.
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Entries that processes of root's in a unit wrote with the native protocol, oldest first: a line of JSON each, as
/// journalctl(1) writes it, with these fields of theirs.
///
/// # Errors
/// [`JournalError`]
pub fn read_back(unit: &str, fields: &[&str]) -> Result<Vec<u8>, JournalError> {
    let program =
        PROGRAMS.into_iter().find(|path| Path::new(path).exists()).ok_or(JournalError::NoProgram)?;
    let mut command = Command::new(program);
    command.env_clear().args(["--system", "--quiet", "--no-pager", "--all", "--output=json"]);
    command.arg(format!("--output-fields={}", fields.join(","))).arg(format!("--lines={MAX_ENTRIES}"));
    command.args(["_UID=0", "_TRANSPORT=journal"]).arg(format!("_SYSTEMD_UNIT={unit}"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let read = read_all(&mut child);
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let bytes = read?;
    // It says with a status of 1 that there is nothing.
    if status.success() || (bytes.is_empty() && status.code() == Some(1)) {
        return Ok(bytes);
    }
    Err(JournalError::Failed(format!("it ended with {status}")))
}

fn read_all(child: &mut Child) -> Result<Vec<u8>, JournalError> {
    let mut output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let end = Instant::now() + LIMIT;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let ready = rustix::io::retry_on_intr(|| {
            poll(&mut [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)], Some(&left))
        });
        if ready.map_err(io::Error::from)? == 0 {
            return Err(JournalError::Failed(format!("it took more than {} s", LIMIT.as_secs())));
        }
        match output.read(&mut piece)? {
            0 => return Ok(bytes),
            length if bytes.len() + length > MAX_BYTES => {
                return Err(JournalError::Failed(format!("it said more than {MAX_BYTES} bytes")));
            }
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_another_field() {
        assert_eq!(entry(&[("A", "b"), ("C", "")]), b"A=b\nC=\n");
        let mut expected = b"A\n".to_vec();
        expected.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(b"x\n_UID=\n");
        assert_eq!(entry(&[("A", "x\n_UID=")]), expected);
    }
}
