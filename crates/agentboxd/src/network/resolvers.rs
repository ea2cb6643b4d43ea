//! The resolvers of this host: resolv.conf(5), read anew when it has changed.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const FILE: &str = "/etc/resolv.conf";
/// Most bytes of it that are read.
const MAX_BYTES: u64 = 64 << 10;
/// MAXNS of resolv.h: libc asks no more.
const MOST: usize = 3;
const PORT: u16 = 53;

/// Resolvers, and of when the file is that named them.
type Known = Option<(SystemTime, Vec<SocketAddr>)>;

static KNOWN: Mutex<Known> = Mutex::new(None);

/// The resolvers that the host uses now. A VPN that comes up changes them.
pub(crate) fn of_host() -> Vec<SocketAddr> {
    let changed = std::fs::metadata(FILE).and_then(|metadata| metadata.modified());
    let changed = changed.unwrap_or(SystemTime::UNIX_EPOCH);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, resolvers)) = &*known
        && *of == changed
    {
        return resolvers.clone();
    }
    let resolvers = parse(&read().unwrap_or_default());
    *known = Some((changed, resolvers.clone()));
    resolvers
}

fn read() -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(FILE)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A comment in another encoding than UTF-8 is still one.
pub(crate) fn parse(bytes: &[u8]) -> Vec<SocketAddr> {
    let text = String::from_utf8_lossy(bytes);
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    // A scoped address (fe80::1%eth0) needs its interface, which a gate's socket would have to be bound to.
    named.filter_map(|word| Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT))).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libc_takes_is_taken() {
        let text = "# a comment\nsearch example.org\nnameserver 127.0.0.53\n nameserver\t2620:fe::fe \nnameserver fe80::1%eth0\n\
                    nameserver nonsense\nnameserver 9.9.9.9\nnameserver 1.1.1.1\n";
        let found: Vec<_> = parse(text.as_bytes()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[2620:fe::fe]:53", "9.9.9.9:53"]);
        assert!(parse(b"").is_empty());
    }

    #[test]
    fn a_comment_in_another_encoding_hides_no_resolver() {
        assert_eq!(parse(b"# b\xfcro\nnameserver 9.9.9.9\n"), ["9.9.9.9:53".parse().unwrap()]);
    }
}
