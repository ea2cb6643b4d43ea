//! One connection of the session, from its first byte to its end.
//!
//! A session may have thousands that are silent. What only the beginning or the end needs is boxed, so that it
//! is memory for that long only; and so is what is passed from future to future, each of which would have room
//! for it.

use super::both::{Ended, both, close};
use super::claim::{Expected, Refusal};
use super::exchange::{Exchange, claim_of};
use super::first::{self, Language, Waits, Words};
use super::flows::judge_address;
use super::socket::{FAREWELL_LIMIT, Socket, farewell, prepare, reset};
use super::{Directory, Shared, dial};
use crate::http;
use crate::names::is_synthetic;
use crate::runtime::{Either, Event, race, timeout};
use crate::tls;
use agentbox_plan::net::{Decision, Destination, Reason, canonical};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Time for a name to become addresses.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Time for it to be known what is behind addresses of IPv6, when there are others as well.
const TRANSLATION_LIMIT: Duration = Duration::from_millis(300);

/// Serves a connection that was made to `original`.
pub(super) async fn serve<D: Directory>(shared: &Shared<D>, client: Socket, original: SocketAddr) {
    let address = canonical(original.ip());
    let _hold = shared.directory.hold(address);
    let (destination, verdict) = destination(shared, address);
    let mut expected = Expected { destination, port: original.port(), rules: shared.link.rules() };
    let waits = Waits::on(&expected);
    if let Err(refusal) = verdict.and_then(|()| admit(shared, &expected)) {
        decided(shared, &expected, &refusal);
        let language = Box::pin(first::language(&client, waits, shared.patience)).await;
        let language = language.unwrap_or(Language::Neither);
        return Box::pin(tell(shared, client, &expected, &refusal, language)).await;
    }
    let share = shared.heard.share();
    let words = Box::pin(first::words(&client, &expected, waits, shared.patience, share)).await;
    let Some(words) = words else { return reset(client) };
    // They may have changed while the client took its time.
    expected.rules = shared.link.rules();
    let claim = match waits {
        // It may come behind the connection, and is judged then.
        Waits::Nothing => Ok(()),
        _ => words.claim.clone().and_then(|claim| expected.judge(&claim)),
    };
    let connected = match claim.and_then(|()| admit(shared, &expected)) {
        Err(refusal) => Err(refusal),
        Ok(()) => Box::pin(connect(shared, &expected)).await,
    };
    match connected {
        Ok((address, server)) => relay(shared, client, server, expected, address, words).await,
        Err(refusal) => {
            decided(shared, &expected, &refusal);
            Box::pin(tell(shared, client, &expected, &refusal, words.language)).await;
        }
    }
}

/// What an address stands for.
pub(super) fn destination<D: Directory>(
    shared: &Shared<D>,
    address: IpAddr,
) -> (Destination, Result<(), Refusal>) {
    if let Some(destination) = shared.directory.destination_of(address) {
        return (destination, Ok(()));
    }
    let verdict = if is_synthetic(address) {
        // It stood for a name once. What is at this address elsewhere was not meant.
        Err(Refusal::because(Reason::NotFound))
    } else if address.is_loopback() {
        // Made to the relay itself: nothing else on the loopback inside is redirected.
        Err(Refusal::because(Reason::Internal))
    } else {
        Ok(())
    };
    (Destination::Address { address }, verdict)
}

/// Whether the rules and the budget let a connection be made.
fn admit<D: Directory>(shared: &Shared<D>, expected: &Expected) -> Result<(), Refusal> {
    match expected.rules.judge(&expected.destination, expected.port) {
        Decision::Denied { reason, rule } if agentbox_launch::in_force("gate-rules") => {
            Err(Refusal { reason, rule, other: None })
        }
        _ => shared.flows.left(&expected.destination).map(drop).map_err(Refusal::because),
    }
}

fn rule_of(expected: &Expected) -> Option<u32> {
    match expected.rules.judge(&expected.destination, expected.port) {
        Decision::Allowed { rule } | Decision::Denied { rule, .. } => rule,
    }
}

/// Finds the addresses and connects to one of them.
async fn connect<D: Directory>(shared: &Shared<D>, expected: &Expected) -> Result<(IpAddr, Socket), Refusal> {
    let found: Rc<[IpAddr]> = match &expected.destination {
        Destination::Name { name } => match timeout(RESOLVE_LIMIT, shared.directory.addresses(name)).await {
            Ok(found) => found.map_err(Refusal::because)?,
            Err(_elapsed) => return Err(Refusal::because(Reason::Unresolved)),
        },
        Destination::Address { address } => Rc::new([*address]),
        Destination::HostLoopback => Rc::new([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]),
    };
    let found = judgeable(shared, &expected.destination, found).await?;
    let (rules, translators) = (shared.link.rules(), shared.link.translators());
    let mut refusal = None;
    let mut allowed = Vec::new();
    for address in found.iter() {
        match judge_address(&rules, &expected.destination, expected.port, *address, &translators) {
            Ok(_) => allowed.push(*address),
            Err(this) => _ = refusal.get_or_insert(this),
        }
    }
    if allowed.is_empty() {
        return Err(refusal.unwrap_or(Refusal::because(Reason::NotFound)));
    }
    dial::dial(&shared.link, &expected.destination, &allowed, expected.port).await.map_err(Refusal::because)
}

/// Those addresses of which it is known what is behind them.
async fn judgeable<D: Directory>(
    shared: &Shared<D>,
    destination: &Destination,
    found: Rc<[IpAddr]>,
) -> Result<Rc<[IpAddr]>, Refusal> {
    if *destination == Destination::HostLoopback || found.iter().all(IpAddr::is_ipv4) {
        return Ok(found);
    }
    let has_others = found.iter().any(IpAddr::is_ipv4);
    let patience = if has_others { TRANSLATION_LIMIT } else { RESOLVE_LIMIT };
    match timeout(patience, shared.directory.translation()).await {
        Ok(Ok(())) => Ok(found),
        _ if has_others => Ok(found.iter().copied().filter(IpAddr::is_ipv4).collect()),
        Ok(Err(reason)) => Err(Refusal::because(reason)),
        Err(_elapsed) => Err(Refusal::because(Reason::Unresolved)),
    }
}

async fn relay<D: Directory>(
    shared: &Shared<D>,
    client: Socket,
    server: Socket,
    mut expected: Expected,
    address: IpAddr,
    words: Words,
) {
    let flow = shared.flows.begin(&expected, address, claim_of(&words));
    // From here on a change of the rules cuts it; one that came while it was being connected did not.
    expected.rules = shared.link.rules();
    if let Err(refusal) = flow.judge(&expected.rules) {
        decided(shared, &expected, &refusal);
        reset(server);
        return Box::pin(tell(shared, client, &expected, &refusal, words.language)).await;
    }
    let (destination, port) = (expected.destination.clone(), expected.port);
    shared.link.decided(destination, port, None, rule_of(&expected), None);
    prepare(&client);
    prepare(&server);
    let exchange = Exchange {
        client: &client,
        server: &server,
        flow: &flow,
        pipes: &shared.pipes,
        link: &shared.link,
        destination: &expected.destination,
        port,
        patience: shared.patience,
        heard: &shared.heard,
        answer: Cell::new(http::Answered::NeedMore),
        answered: Event::new(),
    };
    let asks = words.requests.as_ref().is_some_and(http::Requests::asks_for_upgrade);
    let (up, down) = (Box::pin(exchange.up(words)), Box::pin(exchange.down(asks)));
    let relayed = Box::pin(both(&client, &server, up, down, || flow.received()));
    let ended = match race(relayed, flow.was_cut()).await {
        Either::First(ended) => ended,
        Either::Second(refusal) => Ended::Refused(refusal, Language::Neither),
    };
    drop(flow);
    if let Ended::Refused(refusal, language) = &ended {
        expected.rules = shared.link.rules();
        decided(shared, &expected, refusal);
        if *language != Language::Neither {
            reset(server);
            return Box::pin(tell(shared, client, &expected, refusal, *language)).await;
        }
    }
    Box::pin(close(client, server, &ended)).await;
}

fn decided<D: Directory>(shared: &Shared<D>, expected: &Expected, refusal: &Refusal) {
    let Refusal { reason, rule, other } = refusal.clone();
    shared.link.decided(expected.destination.clone(), expected.port, Some(reason), rule, other);
}

/// Says why, in words that the client understands, and closes the connection.
async fn tell<D: Directory>(
    shared: &Shared<D>,
    client: Socket,
    expected: &Expected,
    refusal: &Refusal,
    language: Language,
) {
    let alert = match refusal.reason {
        Reason::NotFound => Some(tls::UNRECOGNIZED_NAME),
        Reason::Malformed => None,
        reason => reason.is_refusal().then_some(tls::ACCESS_DENIED),
    };
    match (language, alert) {
        (Language::Tls, Some(alert)) => farewell(client, &tls::alert(alert), FAREWELL_LIMIT).await,
        (Language::Http, _) => {
            let words = http::Words { session: &shared.session, expected, refusal };
            farewell(client, &http::response(&words), FAREWELL_LIMIT).await;
        }
        _ => reset(client),
    }
}
