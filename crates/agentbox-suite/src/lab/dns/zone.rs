//! What resolvers know, and how they lie.

use super::message::{A, AAAA, Asked, Data, NO_SUCH_NAME, Record, Reply, SERVER_FAILURE};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Lifetime of answers that say nothing else, in seconds: short, so that tests see changes.
const TTL: u32 = 1;
/// Most aliases that are followed.
const ALIASES: usize = 12;

/// What is said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// These addresses, each to its own type of question.
    Addresses(Vec<IpAddr>),
    /// Some addresses of a pool, others each time that this long has passed.
    Rotating(Vec<IpAddr>, usize, Duration),
    /// These at first, for so many questions, then the others: rebinding.
    Then(Vec<IpAddr>, u32, Vec<IpAddr>),
    /// Another name, whose addresses come along.
    Alias(String),
    /// There is none.
    NoSuchName,
    /// It exists without an address.
    Nothing,
    /// The resolver failed.
    Failure,
    /// No answer at all.
    Silence,
    /// An answer with another id, to these addresses.
    WrongId(Vec<IpAddr>),
    /// A wrong id first, then the right answer: an answer that is forged from outside loses.
    ForgedThenRight(Vec<IpAddr>, Vec<IpAddr>),
    /// An answer to another question.
    WrongQuestion(Vec<IpAddr>),
    /// More than fits into any buffer of a reasonable size.
    Huge(IpAddr),
    /// Truncated by datagram; whole by stream.
    Truncated(Vec<IpAddr>),
    /// Truncated by datagram, and silent by stream.
    TruncatedForever,
    /// A name in the answer points at itself.
    CompressionLoop,
    /// The name is an alias of itself, through another.
    AliasLoop,
    /// Bytes without sense behind a right header.
    Garbage,
    /// An answer, and addresses for another name besides, which nobody asked for.
    Poison(Vec<IpAddr>, String, IpAddr),
}

#[derive(Debug)]
struct Entry {
    says: Says,
    since: Instant,
    asked: u32,
}

/// Names with what is said of them; under a resolver what only that one says.
#[derive(Debug, Default)]
pub(super) struct Zone {
    entries: HashMap<(Option<IpAddr>, String), Entry>,
}

impl Zone {
    pub(super) fn set(&mut self, resolver: Option<IpAddr>, name: &str, says: Says) {
        let entry = Entry { says, since: Instant::now(), asked: 0 };
        self.entries.insert((resolver, name.to_lowercase()), entry);
    }

    /// What is said: of the name itself, or of `*.` and what is behind its first label.
    fn entry(&mut self, resolver: IpAddr, name: &str) -> Option<&mut Entry> {
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let names = std::iter::once(name.to_owned()).chain(wildcard);
        let keys = names.flat_map(|name| [(Some(resolver), name.clone()), (None, name)]);
        let key = keys.into_iter().find(|key| self.entries.contains_key(key))?;
        self.entries.get_mut(&key)
    }

    pub(super) fn reply(&mut self, asked: &Asked, resolver: IpAddr, stream: bool) -> Vec<Vec<u8>> {
        let of_kind = |addresses: &[IpAddr]| records(asked.kind, None, addresses);
        let Some(entry) = self.entry(resolver, &asked.name) else {
            return vec![Reply::new(asked, NO_SUCH_NAME).bytes()];
        };
        if [A, AAAA].contains(&asked.kind) {
            entry.asked += 1;
        }
        let right = |addresses: &[IpAddr]| vec![Reply::with(asked, &of_kind(addresses)).bytes()];
        match entry.says.clone() {
            Says::Addresses(_) | Says::Rotating(..) | Says::Then(..) | Says::Nothing => {
                right(&addresses(entry))
            }
            Says::Alias(_) => vec![self.follow(asked, resolver)],
            Says::NoSuchName => vec![Reply::new(asked, NO_SUCH_NAME).bytes()],
            Says::Failure => vec![Reply::new(asked, SERVER_FAILURE).bytes()],
            Says::Silence => Vec::new(),
            Says::WrongId(addresses) => vec![with_id(asked, &of_kind(&addresses), !asked.id)],
            Says::ForgedThenRight(forged, addresses) => {
                let mut packets = vec![with_id(asked, &of_kind(&forged), !asked.id)];
                packets.extend(right(&addresses));
                packets
            }
            Says::WrongQuestion(addresses) => {
                let mut bytes = Reply::with(asked, &of_kind(&addresses)).bytes();
                // The first letter of the name that the question was about.
                if let Some(letter) = bytes.get_mut(13) {
                    *letter ^= 1;
                }
                vec![bytes]
            }
            Says::Huge(address) => {
                let many = vec![address; if stream { 3000 } else { 1800 }];
                let mut bytes = Reply::with(asked, &records(AAAA, None, &many)).bytes();
                bytes.extend(Reply::with(asked, &records(A, None, &many)).bytes());
                bytes.resize(if stream { 65_000 } else { 60_000 }, 0);
                vec![bytes]
            }
            Says::Truncated(addresses) if stream => right(&addresses),
            Says::TruncatedForever if stream => Vec::new(),
            Says::Truncated(_) | Says::TruncatedForever => vec![Reply::truncate(asked).bytes()],
            Says::CompressionLoop => {
                let mut reply = Reply::new(asked, 0);
                reply.add_compression_loop();
                vec![reply.bytes()]
            }
            Says::AliasLoop => {
                let other = format!("loop.{}", asked.name);
                let alias =
                    |owner: Option<String>, to: String| Record { owner, data: Data::Alias(to), ttl: TTL };
                let records = [alias(None, other.clone()), alias(Some(other), asked.name.clone())];
                vec![Reply::with(asked, &records).bytes()]
            }
            Says::Garbage => {
                let mut bytes = Reply::with(asked, &of_kind(&[IpAddr::from([9, 0, 0, 1])])).bytes();
                bytes.truncate(14);
                bytes.extend([0xff; 300]);
                vec![bytes]
            }
            Says::Poison(addresses, name, address) => {
                let mut all = of_kind(&addresses);
                all.extend(records(A, Some(&name), &[address]));
                all.extend(records(AAAA, Some(&name), &[address]));
                vec![Reply::with(asked, &all).bytes()]
            }
        }
    }

    fn follow(&mut self, asked: &Asked, resolver: IpAddr) -> Vec<u8> {
        let (mut chain, mut name) = (Vec::new(), asked.name.clone());
        let mut owner = None;
        for _ in 0..ALIASES {
            match self.entry(resolver, &name) {
                Some(Entry { says: Says::Alias(to), .. }) => {
                    let to = to.clone();
                    chain.push(Record { owner: owner.clone(), data: Data::Alias(to.clone()), ttl: TTL });
                    owner = Some(to.clone());
                    name = to;
                }
                Some(entry) => {
                    let addresses = addresses(entry);
                    chain.extend(records(asked.kind, owner.as_deref(), &addresses));
                    break;
                }
                None => break,
            }
        }
        Reply::with(asked, &chain).bytes()
    }
}

fn with_id(asked: &Asked, records: &[Record], id: u16) -> Vec<u8> {
    let mut reply = Reply::with(asked, records);
    reply.set_id(id);
    reply.bytes()
}

fn records(kind: u16, owner: Option<&str>, addresses: &[IpAddr]) -> Vec<Record> {
    let fits = |address: &&IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
    let record = |address: &IpAddr| Record {
        owner: owner.map(str::to_owned),
        data: Data::Address(*address),
        ttl: TTL,
    };
    addresses.iter().filter(fits).map(record).collect()
}

fn addresses(entry: &Entry) -> Vec<IpAddr> {
    match &entry.says {
        Says::Addresses(addresses) => addresses.clone(),
        Says::Rotating(pool, count, every) => {
            let turn = entry.since.elapsed().as_millis() / every.as_millis().max(1);
            let first = usize::try_from(turn).unwrap_or(0) * count;
            (first..first + count).map(|at| pool[at % pool.len()]).collect()
        }
        Says::Then(first, count, then) => if entry.asked <= *count { first } else { then }.clone(),
        _ => Vec::new(),
    }
}
