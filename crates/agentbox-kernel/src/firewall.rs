//! The host's table: whoever runs under an id of a session reaches nothing but what was granted.
//!
//! It is a second layer. Gates live in a network namespace without a way out, and agents likewise; the
//! sockets that a gate gets are made by the supervisor and belong to the gate's id, which is what is matched
//! here. The table has the same size for any number of sessions. Its last rule drops whatever no grant let
//! through, so that a set that loses its elements while somebody flushes the rules lets nothing through.

use crate::lease::Range;
use crate::netlink::{Message, NETFILTER, Socket};
use crate::nft::{self, NftError, equals, field, meta};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Name of the table; a supervisor with ids of its own has one with their first behind it, so that two of
/// them do not take each other's away.
fn table_name(range: Range) -> String {
    if range == Range::DEFAULT { "agentbox".to_owned() } else { format!("agentbox_{}", range.first) }
}

const GRANTS_V4: &str = "ab_grants4";
const GRANTS_V6: &str = "ab_grants6";
/// A grant has to live until the connection is made; after that conntrack knows it. Not refreshed: adding an
/// element again does not extend it.
pub const GRANT_LIFE: Duration = Duration::from_secs(30);
/// Most grants at once: a flood of one session cannot use up the kernel's memory.
const MOST_GRANTS: u32 = 65_536;
/// Grants in one message: the length of a list is 16 bits, and one of IPv6 has less than 64 bytes.
const IN_MESSAGE: usize = 512;

/// Subsystems and messages of nfnetlink (linux/netfilter/nfnetlink.h, nf_tables.h).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM_CONNTRACK: u16 = 1;
const SUBSYSTEM_TABLES: u16 = 10;
const TABLES: u16 = SUBSYSTEM_TABLES << 8;
const NEW_ELEMENT: u16 = TABLES | 12;
const DELETE_ELEMENT: u16 = TABLES | 14;
const DELETE_TABLE: u16 = TABLES | 2;
const DELETE_CHAIN: u16 = TABLES | 5;
const GET_RULE: u16 = TABLES | 7;
const NEW_RULE: u16 = TABLES | 6;
const DELETE_RULE: u16 = TABLES | 8;
const DELETE_SET: u16 = TABLES | 11;
const DELETE_FLOW: u16 = SUBSYSTEM_CONNTRACK << 8 | 2;
/// Group of the events of nftables.
const EVENTS: u32 = 7;
/// NFPROTO_INET.
const INET: u8 = 1;

/// The table or a grant could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// The table.
    #[error(transparent)]
    Table(#[from] NftError),
    /// Netlink.
    #[error("cannot {doing}: {cause}")]
    Netlink {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> FirewallError {
    move |cause| FirewallError::Netlink { doing, cause }
}

/// A way that an id is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The id of a gate.
    pub uid: u32,
    /// Where it leads.
    pub to: SocketAddr,
    /// Whether by datagrams.
    pub datagrams: bool,
}

/// Writes the table, in place of one that is there, in the network namespace of this thread. With the table
/// come the grants of connections that are being made just now.
///
/// # Errors
/// [`FirewallError`] when it cannot be written; then the one before is still there.
pub fn install(range: Range, grants: &[Grant]) -> Result<(), FirewallError> {
    Ok(nft::apply(table(range, grants))?)
}

/// Takes the table away.
///
/// # Errors
/// [`FirewallError`] when it cannot be removed.
pub fn remove(range: Range) -> Result<(), FirewallError> {
    let mut commands = nft::replace("inet", &table_name(range));
    commands.pop();
    Ok(nft::apply(commands)?)
}

/// How many rules the table has; none when it is not there.
///
/// # Errors
/// [`FirewallError`] when the kernel does not say.
pub fn rules(range: Range) -> Result<usize, FirewallError> {
    let doing = failed("look at the table");
    let mut message = Message::default();
    let mut count = 0;
    message.begin(GET_RULE, libc::NLM_F_DUMP as u16, &[INET, 0, 0, 0]).text(1, &table_name(range)).end();
    let dumped = Socket::open(NETFILTER)
        .and_then(|mut socket| socket.dump(&message, |kind, _| count += usize::from(kind == NEW_RULE)));
    match dumped {
        Ok(()) => Ok(count),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(0),
        Err(error) => Err(doing(error)),
    }
}

fn table(range: Range, grants: &[Grant]) -> Vec<Value> {
    let name = &table_name(range);
    let mut commands = nft::replace("inet", name);
    if !crate::failpoint::in_force("firewall-table") {
        return commands;
    }
    for (set, address) in [(GRANTS_V4, "ipv4_addr"), (GRANTS_V6, "ipv6_addr")] {
        commands.push(json!({ "add": { "set": {
            "family": "inet", "table": name, "name": set,
            "type": ["uid", address, "inet_proto", "inet_service"],
            "flags": ["timeout"], "size": MOST_GRANTS,
        } } }));
    }
    for (set, v4) in [(GRANTS_V4, true), (GRANTS_V6, false)] {
        let mine = grants.iter().filter(|grant| grant.to.is_ipv4() == v4);
        let elements: Vec<_> = mine.take(MOST_GRANTS as usize).map(element).collect();
        if !elements.is_empty() {
            commands.push(json!({ "add": { "element": {
                "family": "inet", "table": name, "name": set, "elem": elements,
            } } }));
        }
    }
    commands.push(json!({ "add": { "chain": { "family": "inet", "table": name, "name": "ab_held" } } }));
    commands.push(json!({ "add": { "chain": {
        "family": "inet", "table": name, "name": "ab_output", "type": "filter", "hook": "output", "prio": 0,
        "policy": "accept",
    } } }));
    let mut rule = |chain: &str, expressions: Vec<Value>| {
        commands.push(json!({ "add": { "rule": {
            "family": "inet", "table": name, "chain": chain, "expr": expressions,
        } } }));
    };
    let ids = json!({ "range": [range.first, range.first + (range.count - 1)] });
    rule("ab_output", vec![equals(meta("skuid"), ids), json!({ "jump": { "target": "ab_held" } })]);
    let accept = json!({ "accept": null });
    rule("ab_held", vec![equals(json!({ "ct": { "key": "state" } }), json!("established")), accept.clone()]);
    let reset = json!({ "reject": { "type": "tcp reset" } });
    // A grant is for the beginning of a connection. Conntrack takes up one that it does not know in its middle, as a
    // new one: it would go on with the grant of another.
    rule("ab_held", vec![is_no_beginning(), reset.clone()]);
    for (set, protocol) in [(GRANTS_V4, "ip"), (GRANTS_V6, "ip6")] {
        let key = json!({ "concat": [
            meta("skuid"), field(protocol, "daddr"), meta("l4proto"), field("th", "dport"),
        ] });
        rule("ab_held", vec![equals(key, json!(format!("@{set}"))), accept.clone()]);
    }
    rule("ab_held", vec![equals(meta("l4proto"), json!("tcp")), reset]);
    rule("ab_held", vec![json!({ "drop": null })]);
    commands
}

/// A packet of TCP that is not the first of a connection.
fn is_no_beginning() -> Value {
    let flags = json!({ "&": [field("tcp", "flags"), ["fin", "syn", "rst", "ack"]] });
    json!({ "match": { "op": "!=", "left": flags, "right": "syn" } })
}

fn element(grant: &Grant) -> Value {
    let protocol = if grant.datagrams { "udp" } else { "tcp" };
    let key = json!([grant.uid, grant.to.ip().to_string(), protocol, grant.to.port()]);
    json!({ "elem": { "val": { "concat": key }, "timeout": GRANT_LIFE.as_secs() } })
}

/// Grants connections.
#[derive(Debug)]
pub struct Grants {
    socket: Socket,
    table: String,
}

impl Grants {
    /// Opens the way to the kernel, in the network namespace of this thread.
    ///
    /// # Errors
    /// [`FirewallError`] when there is no nfnetlink.
    pub fn open(range: Range) -> Result<Self, FirewallError> {
        let socket = Socket::open(NETFILTER).map_err(failed("open nfnetlink"))?;
        Ok(Self { socket, table: table_name(range) })
    }

    /// Grants an id the way to an address and port, for as long as a connection takes to be made.
    ///
    /// # Errors
    /// [`FirewallError`] when the table is not there or full.
    pub fn add(&mut self, grant: Grant) -> Result<(), FirewallError> {
        if !crate::failpoint::in_force("firewall-table") {
            return Ok(());
        }
        self.change(&[grant], &[NEW_ELEMENT]).map_err(failed("grant a connection"))
    }

    /// Takes grants back, whether they are there or not.
    ///
    /// # Errors
    /// [`FirewallError`] when the table is not there.
    pub fn take_back(&mut self, grants: &[Grant]) -> Result<(), FirewallError> {
        if !crate::failpoint::in_force("firewall-table") {
            return Ok(());
        }
        let (v4, v6): (Vec<_>, Vec<_>) = grants.iter().partition(|grant| grant.to.is_ipv4());
        for grants in v4.chunks(IN_MESSAGE).chain(v6.chunks(IN_MESSAGE)) {
            // What is not there cannot be deleted, and the kernel lets elements go when their time is over: in one
            // transaction they are made, which does nothing to those that are there, and deleted.
            self.change(grants, &[NEW_ELEMENT, DELETE_ELEMENT]).map_err(failed("take a grant back"))?;
        }
        Ok(())
    }

    /// Does this to grants of one family, all or nothing of it.
    fn change(&mut self, grants: &[Grant], kinds: &[u16]) -> io::Result<()> {
        let is_v4 = grants.first().is_none_or(|grant| grant.to.is_ipv4());
        let set = if is_v4 { GRANTS_V4 } else { GRANTS_V6 };
        let life = u64::try_from(GRANT_LIFE.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
        let mut batch = Message::default();
        let tables = SUBSYSTEM_TABLES.to_be_bytes();
        batch.begin(BATCH_BEGIN, 0, &[0, 0, tables[0], tables[1]]).end();
        for kind in kinds {
            let create = if *kind == NEW_ELEMENT { libc::NLM_F_CREATE } else { 0 };
            // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS; an element's key and timeout.
            let flags = (libc::NLM_F_ACK | create) as u16;
            batch.begin(*kind, flags, &[INET, 0, 0, 0]).text(1, &self.table).text(2, set).nest(
                3,
                |elements| {
                    for Grant { uid, to, datagrams } in grants {
                        elements.nest(1, |element| {
                            element.nest(1, |key| {
                                key.put(1, &grant_key(*uid, *to, *datagrams));
                            });
                            element.put(4, &life);
                        });
                    }
                },
            );
            batch.end();
        }
        batch.begin(BATCH_END, 0, &[0, 0, tables[0], tables[1]]).end();
        self.socket.request(&batch)
    }
}

/// Each part of a concatenated key begins at a multiple of four bytes. Ids are in the host's order of bytes.
fn grant_key(uid: u32, to: SocketAddr, datagrams: bool) -> Vec<u8> {
    let mut key = uid.to_ne_bytes().to_vec();
    match to.ip() {
        IpAddr::V4(address) => key.extend(address.octets()),
        IpAddr::V6(address) => key.extend(address.octets()),
    }
    let protocol = if datagrams { libc::IPPROTO_UDP } else { libc::IPPROTO_TCP };
    key.extend([protocol as u8, 0, 0, 0]);
    key.extend(to.port().to_be_bytes());
    key.extend([0, 0]);
    key
}

/// A connection as conntrack knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// This side.
    pub from: SocketAddr,
    /// The other side.
    pub to: SocketAddr,
    /// Whether it is one of datagrams.
    pub datagrams: bool,
}

/// Has conntrack forget a connection, so that the table judges its next packet as a new one; where its grant was not
/// taken back, one that is only being made goes on with that. Says whether it was known.
///
/// # Errors
/// [`FirewallError`] when conntrack cannot be asked.
pub fn forget(flow: Flow) -> Result<bool, FirewallError> {
    let mut message = Message::default();
    let family = if flow.to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
    let protocol = if flow.datagrams { libc::IPPROTO_UDP } else { libc::IPPROTO_TCP } as u8;
    message.begin(DELETE_FLOW, libc::NLM_F_ACK as u16, &[family, 0, 0, 0]);
    // CTA_TUPLE_ORIG with CTA_TUPLE_IP (source and destination) and CTA_TUPLE_PROTO (number and ports).
    message.nest(1, |tuple| {
        tuple.nest(1, |addresses| match (flow.from.ip(), flow.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                addresses.put(1, &from.octets()).put(2, &to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                addresses.put(3, &from.octets()).put(4, &to.octets());
            }
            _ => {}
        });
        tuple.nest(2, |ports| {
            ports.put(1, &[protocol]);
            ports.put(2, &flow.from.port().to_be_bytes()).put(3, &flow.to.port().to_be_bytes());
        });
    });
    message.end();
    match Socket::open(NETFILTER).and_then(|mut socket| socket.request(&message)) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(failed("end a connection")(error)),
    }
}

/// Tells when the table was taken away.
#[derive(Debug)]
pub struct Watcher {
    socket: Socket,
}

impl Watcher {
    /// Begins to watch, in the network namespace of this thread.
    ///
    /// # Errors
    /// [`FirewallError`] when the kernel has no such events.
    pub fn open() -> Result<Self, FirewallError> {
        let open = || {
            let socket = Socket::open(NETFILTER)?;
            socket.join(EVENTS)?;
            socket.set_nonblocking()?;
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(failed("watch nftables"))? })
    }

    /// A descriptor that becomes readable when something happened.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn events(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Reads what happened; true when something of any table was removed, or events were lost.
    pub fn drain(&mut self) -> bool {
        let mut removed = false;
        let read = self.socket.events(|kind, _| {
            removed |= matches!(kind, DELETE_TABLE | DELETE_CHAIN | DELETE_RULE | DELETE_SET);
        });
        // Events that were lost may have been those.
        read.is_err() || removed
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
