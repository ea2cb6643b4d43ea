//! What all sessions with a network share on this host: the table that holds gates, what is this machine's
//! own, and the resolvers.

use super::session::SessionNetwork;
use crate::descriptor;
use crate::supervisor::Supervisor;
use agentbox_kernel::dial;
use agentbox_kernel::firewall::{self, FirewallError, Flow, GRANT_LIFE, Grant, Grants, Watcher};
use agentbox_kernel::lease::Range;
use agentbox_kernel::reach::Reach;
use agentbox_plan::net::{Destination, Reason, reached};
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::io::Interest;
use tokio::sync::watch;

/// The shared part. Opened with the first session that needs it.
#[derive(Debug)]
pub(crate) struct HostNetwork {
    range: Range,
    /// How many rules the table has when it is whole.
    rules: usize,
    grants: Mutex<Grants>,
    /// Grants that may still be needed, the oldest first.
    recent: Mutex<VecDeque<(Instant, Grant)>>,
    reach: Mutex<Reach>,
    resolvers: Vec<SocketAddr>,
    /// The resolvers of resolv.conf(5), as they were last.
    of_host: Mutex<Vec<SocketAddr>>,
    /// Told when addresses, routes or resolvers are others: it may be another network.
    changed: watch::Sender<()>,
    /// Connections that gates were given, the newest last.
    flows: Mutex<HashMap<u32, VecDeque<(Destination, Flow)>>>,
}

/// Grants that are remembered, for a table that has to be written anew.
const MAX_RECENT: usize = 8192;
/// Connections of a gate that are remembered, so that they can be ended. Older ones have most likely ended;
/// the gate itself ends all that its rules do not allow.
const MAX_FLOWS: usize = 12_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostNetwork {
    /// Installs the table and begins to watch it.
    pub(crate) fn open(supervisor: &Arc<Supervisor>) -> Result<Arc<Self>, String> {
        let text = |what: &str, error: &dyn std::error::Error| format!("{what}: {error}");
        let range = supervisor.lease_range();
        // Before the table, so that no flush of it is missed.
        let watcher = Watcher::open().map_err(|error| text("events of nftables", &error))?;
        firewall::install(range, &[]).map_err(|error| text("the host's table of nftables", &error))?;
        let grants = Grants::open(range).map_err(|error| text("grants of nftables", &error))?;
        let rules = firewall::rules(range).map_err(|error| text("the host's table of nftables", &error))?;
        let reach = Reach::open().map_err(|error| text("addresses of this machine", &error))?;
        let resolvers = match supervisor.configuration().as_ref() {
            Ok(configuration) => configuration.system.resolvers().collect(),
            Err(_) => Vec::new(),
        };
        let reach_events = reach.events().map_err(|error| text("route events", &error))?;
        let host = Arc::new(Self {
            range,
            rules,
            grants: Mutex::new(grants),
            recent: Mutex::default(),
            reach: Mutex::new(reach),
            resolvers,
            of_host: Mutex::new(super::resolvers::of_host()),
            changed: watch::Sender::new(()),
            flows: Mutex::default(),
        });
        host.watch_table(supervisor, watcher).map_err(|error| text("events of nftables", &error))?;
        host.watch_reach(reach_events).map_err(|error| text("route events", &error))?;
        Ok(host)
    }

    /// Without a table, for tests.
    #[cfg(test)]
    pub(super) fn without_table() -> Self {
        let range = Range { first: 2_090_000_000, count: 4 };
        Self {
            range,
            rules: 0,
            grants: Mutex::new(Grants::open(range).unwrap()),
            recent: Mutex::default(),
            reach: Mutex::new(Reach::open().unwrap()),
            resolvers: Vec::new(),
            of_host: Mutex::default(),
            changed: watch::Sender::new(()),
            flows: Mutex::default(),
        }
    }

    /// Installs the table again whenever somebody takes it away.
    fn watch_table(self: &Arc<Self>, supervisor: &Arc<Supervisor>, mut watcher: Watcher) -> io::Result<()> {
        let events = descriptor::watch(watcher.events()?, Interest::READABLE)?;
        let (host, supervisor) = (Arc::downgrade(self), Arc::downgrade(supervisor));
        tokio::spawn(async move {
            while let Ok(mut ready) = events.readable().await {
                ready.clear_ready();
                let (Some(host), Some(supervisor)) = (host.upgrade(), supervisor.upgrade()) else { return };
                if watcher.drain() {
                    host.restore(&supervisor);
                }
            }
        });
        Ok(())
    }

    fn restore(&self, supervisor: &Supervisor) {
        // Something of somebody else's went, or it was our own hand.
        if firewall::rules(self.range).is_ok_and(|rules| rules == self.rules) {
            return;
        }
        let event = match self.install() {
            Ok(()) => json!({ "event": "firewall-restored" }),
            Err(error) => {
                supervisor.report(format!("the host's table of nftables is gone: {error}"));
                json!({ "event": "firewall-lost", "what": error.to_string() })
            }
        };
        if let Err(error) = supervisor.audit().record(event) {
            tracing::error!("{error}");
        }
    }

    fn install(&self) -> Result<(), FirewallError> {
        // Held until they are written: none comes back that is taken back meanwhile.
        let recent = lock(&self.recent);
        let young = recent.iter().filter(|(at, _)| at.elapsed() < GRANT_LIFE);
        let grants: Vec<_> = young.map(|(_, grant)| *grant).collect();
        firewall::install(self.range, &grants)
    }

    fn watch_reach(self: &Arc<Self>, events: OwnedFd) -> io::Result<()> {
        let events = descriptor::watch(events, Interest::READABLE)?;
        let host: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Ok(mut ready) = events.readable().await {
                ready.clear_ready();
                let Some(host) = host.upgrade() else { return };
                if let Err(error) = host.look() {
                    tracing::error!("addresses of this machine: {error}");
                }
            }
        });
        Ok(())
    }

    /// Reads what has changed.
    fn look(&self) -> io::Result<MutexGuard<'_, Reach>> {
        let mut reach = lock(&self.reach);
        if reach.refresh()? {
            self.changed.send_replace(());
        }
        Ok(reach)
    }

    /// Hears of every other network.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What an address is to this machine, when it is its own or next to it.
    pub(crate) fn what_is(&self, address: IpAddr) -> Option<Reason> {
        // An event may wait that nobody has read yet. What cannot be known is refused.
        self.look().map_or(Some(Reason::OwnAddress), |reach| reach.what_is(reached(address)))
    }

    /// A socket of a gate's to one of a destination's addresses, being connected.
    pub(crate) fn tcp(&self, uid: u32, to: SocketAddr, of: Option<&Destination>) -> io::Result<OwnedFd> {
        self.grant(uid, to, false)?;
        let socket = dial::tcp(uid, to)?;
        if let (Some(destination), Ok(flow)) = (of, dial::flow(&socket, to, false)) {
            let mut flows = lock(&self.flows);
            let mine = flows.entry(uid).or_default();
            if mine.len() >= MAX_FLOWS {
                mine.pop_front();
            }
            mine.push_back((destination.clone(), flow));
        }
        Ok(socket)
    }

    /// A socket of a gate's for datagrams, connected.
    pub(crate) fn udp(&self, uid: u32, to: SocketAddr) -> io::Result<OwnedFd> {
        self.grant(uid, to, true)?;
        dial::udp(uid, to)
    }

    fn grant(&self, uid: u32, to: SocketAddr, datagrams: bool) -> io::Result<()> {
        let grant = Grant { uid, to, datagrams };
        let mut recent = lock(&self.recent);
        while recent.front().is_some_and(|(at, _)| at.elapsed() > GRANT_LIFE) || recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back((Instant::now(), grant));
        drop(recent);
        let granted = lock(&self.grants).add(grant);
        // Somebody has flushed the rules a moment ago: the table comes back with this grant in it.
        let granted = granted.or_else(|_| self.install());
        granted.map_err(|error| io::Error::other(error.to_string()))
    }

    /// The resolver of that number.
    pub(crate) fn resolver(&self, which: u8) -> Option<SocketAddr> {
        if self.resolvers.is_empty() {
            let now = super::resolvers::of_host();
            let resolver = now.get(usize::from(which)).copied();
            let mut before = lock(&self.of_host);
            if *before != now {
                *before = now;
                self.changed.send_replace(());
            }
            return resolver;
        }
        self.resolvers.get(usize::from(which)).copied()
    }

    /// Takes grants back: no table that is written anew has them.
    fn take_back(&self, mut grants: Vec<Grant>) {
        grants.sort_unstable();
        grants.dedup();
        let mut recent = lock(&self.recent);
        recent.retain(|(_, grant)| grants.binary_search(grant).is_err());
        if let Err(error) = lock(&self.grants).take_back(&grants) {
            tracing::warn!("{error}");
        }
    }

    /// Has the kernel judge anew what a session may no longer reach. Says how many connections that ended.
    pub(crate) fn cut(&self, network: &SessionNetwork) -> u32 {
        let (uid, rules, translators) = (network.fixed.gate_uid, network.rules(), network.translators());
        let mut ended = Vec::new();
        if let Some(mine) = lock(&self.flows).get_mut(&uid) {
            mine.retain(|(destination, flow)| {
                let (port, address) = (flow.to.port(), flow.to.ip());
                let stays = rules.judge_address(destination, port, address, &translators).is_allowed();
                if !stays {
                    ended.push(*flow);
                }
                stays
            });
        }
        self.end(uid, ended)
    }

    /// Takes back all that a gate was given.
    pub(crate) fn forget(&self, uid: u32) {
        let mine = lock(&self.flows).remove(&uid).unwrap_or_default();
        let granted =
            lock(&self.recent).iter().map(|(_, grant)| *grant).filter(|grant| grant.uid == uid).collect();
        self.take_back(granted);
        self.end(uid, mine.into_iter().map(|(_, flow)| flow).collect());
    }

    /// Ends connections of a gate. Says how many there were.
    fn end(&self, uid: u32, flows: Vec<Flow>) -> u32 {
        // First, so that one that is only being made does not go on with its grant. A connection to the same place
        // that stays is known to the kernel and needs none.
        self.take_back(flows.iter().map(|flow| Grant { uid, to: flow.to, datagrams: false }).collect());
        flows.into_iter().map(|flow| u32::from(end(flow))).sum()
    }
}

/// Whether there was such a connection.
fn end(flow: Flow) -> bool {
    firewall::forget(flow).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        false
    })
}

/// Takes the host's table away, when no session is left; one that a killed supervisor left as well.
pub(crate) fn close(range: Range) {
    let closed = firewall::rules(range).and_then(|rules| match rules {
        0 => Ok(()),
        _ => firewall::remove(range),
    });
    if let Err(error) = closed {
        tracing::warn!("the host's table of nftables: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::network;
    use super::*;
    use agentbox_plan::net::{Rule, Verdict};

    #[test]
    fn what_is_denied_loses_its_grant_and_nothing_else_does() {
        let (host, network) = (HostNetwork::without_table(), network());
        let (uid, now) = (network.fixed.gate_uid, Instant::now());
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (denied, other) = (to("9.9.9.9:443"), to("8.8.8.8:443"));
        let grant = |uid, to, datagrams| Grant { uid, to, datagrams };
        let stay = [grant(uid, other, false), grant(uid, denied, true), grant(uid + 4, denied, false)];
        lock(&host.recent)
            .extend(stay.into_iter().chain([grant(uid, denied, false)]).map(|grant| (now, grant)));
        let flow = |to| {
            let flow = Flow { from: "10.0.0.1:50000".parse().unwrap(), to, datagrams: false };
            (Destination::Address { address: to.ip() }, flow)
        };
        lock(&host.flows).insert(uid, [flow(denied), flow(other)].into());
        network.add(
            Rule {
                verdict: Verdict::Deny,
                target: "9.9.9.9".parse().unwrap(),
                internal: false,
                origin: "x".into(),
            },
            None,
        );
        host.cut(&network);
        let left = || lock(&host.recent).iter().map(|(_, grant)| *grant).collect::<Vec<_>>();
        assert_eq!(left(), stay);
        assert_eq!(lock(&host.flows)[&uid], [flow(other)]);
        host.forget(uid);
        assert_eq!(left(), [grant(uid + 4, denied, false)]);
    }
}
