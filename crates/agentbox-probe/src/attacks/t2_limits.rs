//! T2: wear the gate out, by names and by connections. Succeeded means that it stopped to serve, or that it
//! gave more than it may: what a gate cannot hold, the host has to.

use crate::attack::{Attack, lacking, refused, succeeded};
use crate::trial::{Trial, Tried};
use crate::wire::dns::{self, Message};
use crate::wire::exchange;
use crate::wire::hello::Hello;
use agentbox_probe::Outcome;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

pub(super) const TABLE: &[Attack] = &[
    Attack::network(
        "t2.many-names",
        "ask for thousands of names until an allowed one no longer works",
        &["network.allowed", "network.refused", "network.resolvers"],
        many_names,
    )
    .alone()
    .never_shown("a resolver outside has no table that could be full"),
    Attack::network(
        "t2.many-connections",
        "have more connections at once than a session may",
        &["network.allowed", "network.inside.connections"],
        many_connections,
    )
    .alone(),
    Attack::network(
        "t2.many-silent-connections",
        "open connections that say nothing until an allowed name no longer works",
        &["network.allowed", "network.inside.connections"],
        silent_connections,
    )
    .alone()
    .never_shown("a listener outside has no limit of its own"),
];

/// An honest exchange, which is given some time: what was left open has to be forgotten first.
fn still_works(t: &Trial<'_>) -> bool {
    (0..5).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(Duration::from_secs(1));
        }
        t.allowed().is_ok()
    })
}

fn verdict(t: &Trial<'_>, detail: String) -> Tried {
    Ok(if still_works(t) { refused(detail) } else { succeeded(format!("{detail}; nothing works any more")) })
}

fn many_names(t: &Trial<'_>) -> Tried {
    const NAMES: usize = 20_000;
    // Few enough that the answers fit into the socket's buffer.
    const AT_ONCE: usize = 64;
    let allowed = t.allowed()?;
    let (under, resolver) =
        (&t.refused()?.name, t.network.resolvers.first().ok_or_else(|| lacking("resolver"))?);
    // It stays open while the names come.
    let honest = Hello::naming(&allowed.site.name).record();
    let to = *allowed.at(443).first().ok_or_else(|| lacking("address"))?;
    let mut held = exchange::connect(to)?;
    let answer = exchange::talk(&mut held, &[&honest], &allowed.site.token, 1);
    if answer.outcome != Outcome::Succeeded {
        return Err(answer);
    }
    let failed = |e: std::io::Error| exchange::error(&e);
    let socket = UdpSocket::bind(if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(failed)?;
    socket.connect(SocketAddr::new(*resolver, 53)).map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(failed)?;
    let (until, mut answered, mut buffer) = (Instant::now() + Duration::from_secs(30), 0, [0; 1500]);
    for first in (0..NAMES).step_by(AT_ONCE) {
        for number in first..first + AT_ONCE {
            let name = format!("n{number}.{under}");
            let kind = if number % 2 == 0 { dns::A } else { dns::AAAA };
            // A refusal of the one before is told here; what counts is whether the gate still works.
            let _ = socket.send(&Message::question(&name, kind).bytes());
        }
        for _ in 0..AT_ONCE {
            if socket.recv(&mut buffer).is_err() {
                break;
            }
            answered += 1;
        }
        if Instant::now() > until {
            break;
        }
    }
    verdict(t, format!("{answered} answers"))
}

/// After so many the limit was met; each may take as long as an answer is waited for.
const MOST_REFUSALS: usize = 4;

/// Opens so many, says this on each, and returns those that the far end answered.
fn open(t: &Trial<'_>, number: usize, say: &[u8]) -> Result<Vec<TcpStream>, crate::attack::Answer> {
    let allowed = t.allowed()?;
    let to = *allowed.at(443).first().ok_or_else(|| lacking("address"))?;
    let (until, mut streams, mut refusals) = (Instant::now() + Duration::from_secs(40), Vec::new(), 0);
    while streams.len() < number && refusals < MOST_REFUSALS && Instant::now() < until {
        let Ok(mut stream) = exchange::connect(to) else {
            refusals += 1;
            continue;
        };
        if say.is_empty()
            || exchange::talk(&mut stream, &[say], &allowed.site.token, 1).outcome == Outcome::Succeeded
        {
            streams.push(stream);
        } else {
            refusals += 1;
        }
    }
    Ok(streams)
}

fn limit(t: &Trial<'_>) -> Result<usize, crate::attack::Answer> {
    let limit = t.network.inside.connections.ok_or_else(|| lacking("limit of connections"))? as usize;
    // As many descriptors as may be had.
    let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current = limits.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limits);
    match limits.maximum {
        Some(most) if (most as usize) < limit + 100 => {
            Err(lacking("limit that is below that of descriptors"))
        }
        _ => Ok(limit),
    }
}

fn many_connections(t: &Trial<'_>) -> Tried {
    let limit = limit(t)?;
    let hello =
        Hello::naming(&t.network.allowed.as_ref().ok_or_else(|| lacking("allowed site"))?.name).record();
    let streams = open(t, limit + 50, &hello)?;
    let answered = streams.len();
    drop(streams);
    if answered > limit {
        return Ok(succeeded(format!("{answered} at once, {limit} are allowed")));
    }
    verdict(t, format!("{answered} at once"))
}

fn silent_connections(t: &Trial<'_>) -> Tried {
    let limit = limit(t)?;
    let streams = open(t, limit + 50, b"")?;
    let opened = streams.len();
    drop(streams);
    verdict(t, format!("{opened} opened"))
}
