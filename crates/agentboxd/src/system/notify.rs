//! What a service tells its manager (sd_notify(3)): datagrams of lines to the socket in `NOTIFY_SOCKET`.

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix};
use rustix::net::{SocketFlags, SocketType};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The manager's socket.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl Notifier {
    /// None where nobody wants to know: the program was started by hand.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name)?,
            None => SocketAddrUnix::new(path.as_bytes())?,
        };
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Some(Self { socket, address }))
    }

    fn send(&self, lines: &str) {
        self.send_with(lines, &[]);
    }

    fn send_with(&self, lines: &str, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            tracing::warn!("the service manager takes one descriptor at a time");
            return;
        }
        let bytes = [IoSlice::new(lines.as_bytes())];
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg_addr(&self.socket, &self.address, &bytes, &mut ancillary, flags);
        if let Err(error) = sent {
            tracing::warn!("the service manager could not be told: {error}");
        }
    }

    /// Requests are answered from now on.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// The configuration is being read again. [`ready`](Self::ready) ends it.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(&self, text: &str) {
        self.send(&format!("STATUS={text}"));
    }

    /// Not stuck.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Keeps a descriptor for the next supervisor.
    pub(super) fn store(&self, name: &str, descriptor: BorrowedFd<'_>) {
        self.send_with(&format!("FDSTORE=1\nFDNAME={name}"), &[descriptor]);
    }

    /// Keeps it no longer.
    pub(super) fn forget(&self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }
}

/// How often the manager wants to hear: half of what it waits, as sd_watchdog_enabled(3) advises.
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|time| for_us && *time > 0).map(|time| Duration::from_micros(time / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn the_manager_is_told_in_its_own_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let address = SocketAddrUnix::new(path.as_os_str().as_bytes()).unwrap();
        let notifier = Notifier { socket: socket.unwrap(), address };
        let heard = || {
            let mut bytes = [0; 256];
            let length = manager.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        notifier.ready();
        assert_eq!(heard(), "READY=1");
        notifier.reloading();
        let reloading = heard();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }
}
