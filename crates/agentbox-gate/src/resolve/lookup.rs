//! Finds the addresses of one name: both families at once, resolvers in turn, aliases to their end.

use super::answer::{AnswerError, Reply};
use super::exchange::{ExchangeError, by_datagrams, by_stream};
use super::finding::{Finding, MOST, negative_time, positive_time};
use super::places::Places;
use super::question::{Asked, Family, WireName, wire_name};
use super::upstream::Upstream;
use crate::runtime::{Either, Elapsed, race, timeout};
use agentbox_plan::gate::Transport;
use agentbox_plan::net::{HostName, IPV4_ONLY, Reason};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Longest time for the answer to one question, by one resolver and transport.
pub(super) const TRY: Duration = Duration::from_secs(2);
/// Longest time for all about a name.
pub(super) const WHOLE: Duration = Duration::from_secs(5);
/// Which resolver is asked in which try.
const TRIES: &[u8] = &[0, 1, 0, 1];
/// Aliases that are followed: as many as by the resolver that follows most of them (16 by BIND, `MAX_RESTARTS`; 13 by
/// Knot Resolver; 11 by Unbound since its issue 438, about names of content networks behind nine). What one of these
/// finds is found here.
pub(super) const ALIASES: u8 = 16;
/// For how long the other family is waited for when one has addresses, or knows that there is no name.
const OTHER_FAMILY: Duration = Duration::from_millis(300);
/// For how long addresses are believed of which one family was not heard of.
const HALF: Duration = Duration::from_secs(5);
/// For how long it is believed that resolvers do not answer.
const FAILED: Duration = Duration::from_secs(1);

/// What one family came to; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Half {
    Addresses(Vec<IpAddr>, u32),
    NoData(Option<u32>),
    NotFound(Option<u32>),
}

#[derive(Debug, thiserror::Error)]
enum TryError {
    /// There is no socket.
    #[error("no socket to a resolver: {0}")]
    Refused(Reason),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Elapsed(#[from] Elapsed),
}

/// What is needed to ask.
pub(super) struct Asking {
    pub(super) upstream: Rc<dyn Upstream>,
    pub(super) places: Rc<Places>,
}

impl Asking {
    /// What there is about a name, and for how long that is believed: for no time when only we failed.
    pub(super) async fn find(&self, name: &HostName) -> (Finding, Duration) {
        let Some(name) = wire_name(name) else { return (Finding::NotFound, FAILED) };
        let end = Instant::now() + WHOLE;
        let mut v4 = pin!(self.family(name.clone(), Family::V4, TRIES, end));
        let mut v6 = pin!(self.family(name, Family::V6, TRIES, end));
        // A resolver that is slow with one family does not hold up the other for long.
        let patience = |first: &Result<Half, Reason>| match first {
            Ok(Half::Addresses(..) | Half::NotFound(_)) => OTHER_FAMILY,
            Ok(Half::NoData(_)) | Err(_) => WHOLE,
        };
        let (first, other) = match race(v4.as_mut(), v6.as_mut()).await {
            Either::First(first) => (first.clone(), timeout(patience(&first), v6).await),
            Either::Second(first) => (first.clone(), timeout(patience(&first), v4).await),
        };
        merge([first, other.unwrap_or(Err(Reason::Unresolved))])
    }

    /// The addresses of IPv6 that the resolver of that number makes for a name that has none: none when it makes
    /// none. Takes until `end` at most.
    pub(super) async fn made_up(&self, which: u8, end: Instant) -> Result<Vec<IpAddr>, Reason> {
        let name = IPV4_ONLY.parse().ok().and_then(|name| wire_name(&name)).ok_or(Reason::NotFound)?;
        match self.family(name, Family::V6, &[which, which], end).await? {
            Half::Addresses(addresses, _) => Ok(addresses),
            Half::NoData(_) | Half::NotFound(_) => Ok(Vec::new()),
        }
    }

    async fn family(
        &self,
        mut name: WireName,
        family: Family,
        tries: &[u8],
        end: Instant,
    ) -> Result<Half, Reason> {
        let (mut aliases, mut ttl) = (ALIASES, u32::MAX);
        loop {
            // Each time round uses up an alias, or ends.
            match self.ask(name, family, aliases, tries, end).await? {
                Reply::Addresses { addresses, ttl: of_these } => {
                    return Ok(Half::Addresses(addresses, ttl.min(of_these)));
                }
                Reply::Alias { name: next, aliases: left, ttl: of_alias } => {
                    (name, aliases, ttl) = (next, left, ttl.min(of_alias));
                }
                Reply::NoData { ttl } => return Ok(Half::NoData(ttl)),
                Reply::NotFound { ttl } => return Ok(Half::NotFound(ttl)),
                Reply::Truncated => return Err(Reason::Unresolved),
            }
        }
    }

    /// Asks one resolver after the other.
    async fn ask(
        &self,
        name: WireName,
        family: Family,
        aliases: u8,
        tries: &[u8],
        end: Instant,
    ) -> Result<Reply, Reason> {
        let mut asked = Asked { id: 0, name, family, aliases };
        let mut edns = true;
        for &which in tries {
            let mut result = self.one_try(&mut asked, which, Transport::Udp, edns, end).await;
            if matches!(result, Ok(Reply::Truncated)) {
                result = self.one_try(&mut asked, which, Transport::Tcp, edns, end).await;
            }
            match result {
                Ok(reply) => return Ok(reply),
                // There are fewer resolvers.
                Err(TryError::Refused(Reason::Unresolved)) => {}
                Err(TryError::Refused(reason)) => return Err(reason),
                // Another one would say the same.
                Err(TryError::Exchange(ExchangeError::Answer(AnswerError::Aliases))) => break,
                // One that does not know EDNS says so by these (RFC 6891, section 7).
                Err(TryError::Exchange(ExchangeError::Answer(AnswerError::Code(1 | 4)))) => edns = false,
                Err(TryError::Exchange(_) | TryError::Elapsed(_)) => {}
            }
        }
        Err(Reason::Unresolved)
    }

    async fn one_try(
        &self,
        asked: &mut Asked,
        which: u8,
        transport: Transport,
        edns: bool,
        end: Instant,
    ) -> Result<Reply, TryError> {
        let left = || end.saturating_duration_since(Instant::now());
        let taken = timeout(left(), self.places.take()).await;
        let _taken = taken.map_err(|_| TryError::Refused(Reason::TooMany))?;
        asked.id = random().map_err(ExchangeError::from)?;
        timeout(TRY.min(left()), async {
            let socket = self.upstream.socket(which, transport).await.map_err(TryError::Refused)?;
            self.upstream.charge(&asked.name, asked.to_bytes(edns).len()).map_err(TryError::Refused)?;
            Ok(match transport {
                Transport::Udp => by_datagrams(socket, asked, edns).await?,
                Transport::Tcp => by_stream(socket, asked, edns).await?,
            })
        })
        .await?
    }
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    // So few bytes are never interrupted (getrandom(2)).
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(bytes))
}

/// Puts both families together, IPv6 first.
fn merge(halves: [Result<Half, Reason>; 2]) -> (Finding, Duration) {
    let (mut addresses, mut time, mut failed) = (Vec::new(), MOST, None);
    let (mut is_there, mut is_not_there) = (false, false);
    for half in halves {
        match half {
            Ok(Half::Addresses(mut more, ttl)) => {
                addresses.append(&mut more);
                time = time.min(positive_time(ttl));
            }
            Ok(Half::NoData(ttl)) => {
                is_there = true;
                time = time.min(negative_time(ttl));
            }
            Ok(Half::NotFound(ttl)) => {
                is_not_there = true;
                time = time.min(negative_time(ttl));
            }
            Err(reason) => failed = Some(reason),
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv4);
    match failed {
        _ if !addresses.is_empty() => {
            let time = if failed.is_some() { time.min(HALF) } else { time };
            (Finding::Found(addresses.into()), time)
        }
        // There is no name that has one family only.
        _ if is_not_there && !is_there => (Finding::NotFound, time),
        None => (Finding::NoData, time),
        Some(Reason::Unresolved) => (Finding::Failed(Reason::Unresolved), FAILED),
        Some(reason) => (Finding::Failed(reason), Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Result<Half, Reason> {
        Ok(Half::Addresses(vec![text.parse().unwrap()], 30))
    }

    fn found(list: &[&str], seconds: u64) -> (Finding, Duration) {
        let addresses = list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        (Finding::Found(addresses.into()), Duration::from_secs(seconds))
    }

    #[test]
    fn addresses_of_one_family_are_enough() {
        let (v6, v4) = (addresses("2001:db8::1"), addresses("9.9.9.9"));
        assert_eq!(merge([v4.clone(), v6.clone()]), found(&["2001:db8::1", "9.9.9.9"], 30));
        assert_eq!(merge([Ok(Half::NoData(None)), v4.clone()]), found(&["9.9.9.9"], 5));
        assert_eq!(merge([Ok(Half::NotFound(Some(60))), v4.clone()]), found(&["9.9.9.9"], 10));
        assert_eq!(merge([v6, Err(Reason::Unresolved)]), found(&["2001:db8::1"], 5));
    }

    #[test]
    fn nothing_is_told_from_no_such_name_and_from_no_answer() {
        let (nothing, none) = (|| Ok(Half::NoData(Some(3))), || Ok(Half::NotFound(Some(4))));
        let (away, silent) = (|| Err(Reason::SupervisorAway), || Err(Reason::Unresolved));
        for (halves, finding, seconds) in [
            ([nothing(), nothing()], Finding::NoData, 3),
            ([nothing(), none()], Finding::NoData, 3),
            ([none(), none()], Finding::NotFound, 4),
            ([none(), silent()], Finding::NotFound, 4),
            ([nothing(), silent()], Finding::Failed(Reason::Unresolved), 1),
            ([silent(), silent()], Finding::Failed(Reason::Unresolved), 1),
            ([away(), nothing()], Finding::Failed(Reason::SupervisorAway), 0),
        ] {
            assert_eq!(merge(halves), (finding, Duration::from_secs(seconds)));
        }
    }
}
