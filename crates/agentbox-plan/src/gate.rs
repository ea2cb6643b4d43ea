//! What the supervisor and a session's network gate say to each other.
//!
//! The gate has no network of its own: it meets untrusted bytes and holds sockets that the supervisor made.
//! It starts with a [`GatePlan`] in a sealed memfd and the descriptors of [`descriptors`]. The supervisor
//! connects to [`descriptors::SUPERVISOR`] (`SOCK_SEQPACKET`, one message a packet), now or later again:
//! the newest connection is the one that counts. A [`Request::Dial`] carries what the gate believes; the
//! supervisor judges all of it again before it makes a socket.

use crate::net::{Destination, HostName, Reason, Rules, Translator};
use crate::wire::{Reader, Wire, WireError, wire_enum, wire_struct};
use crate::{Ids, SessionId};
use std::net::{IpAddr, Ipv6Addr};

/// Most bytes of a [`Request`].
pub const MAX_REQUEST_BYTES: usize = 1024;
/// Most prefixes in a [`Request::Translates`].
pub const MAX_TRANSLATORS: usize = 32;
/// Most bytes of an [`Answer`]: rules are the largest.
pub const MAX_ANSWER_BYTES: usize = 128 << 10;

/// The gate's own address inside, where it answers questions for names: within the range for benchmarks
/// (RFC 2544), which is nobody's. Synthetic addresses of names follow it.
pub const DNS_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 18, 0, 1);
/// First bits of all synthetic addresses, IPv4.
pub const SYNTHETIC_V4: (std::net::Ipv4Addr, u8) = (std::net::Ipv4Addr::new(198, 18, 0, 0), 15);
/// First bits of all synthetic addresses, IPv6: a unique local prefix (RFC 4193) that is only used inside.
pub const SYNTHETIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfdab, 0x6f78, 0x6167, 0, 0, 0, 0, 0), 64);
/// The gate's own address inside, IPv6.
pub const DNS_V6: Ipv6Addr = Ipv6Addr::new(0xfdab, 0x6f78, 0x6167, 0, 0, 0, 0, 1);
/// Port on the loopback inside to which connections are redirected. Below 1024, where a session cannot bind.
pub const RELAY_PORT: u16 = 2;
/// Names by which a session reaches ports of the host's loopback that a rule grants.
pub const HOST_NAMES: [&str; 2] = ["host.agentbox.internal", "host"];

/// Which descriptor number holds what when the gate starts. 0, 1 and 2 are `/dev/null`.
pub mod descriptors {
    /// Sealed memfd with the encoded [`GatePlan`](super::GatePlan).
    pub const PLAN: i32 = 3;
    /// Listening `SOCK_SEQPACKET` socket to which the supervisor connects.
    pub const SUPERVISOR: i32 = 4;
    /// UDP on port 53 of [`DNS_V4`](super::DNS_V4), inside the session.
    pub const DNS_UDP_V4: i32 = 5;
    /// UDP on port 53 of [`DNS_V6`](super::DNS_V6); `/dev/null` without IPv6.
    pub const DNS_UDP_V6: i32 = 6;
    /// Listening TCP on port 53.
    pub const DNS_TCP_V4: i32 = 7;
    /// Listening TCP on port 53; `/dev/null` without IPv6.
    pub const DNS_TCP_V6: i32 = 8;
    /// Listening TCP on `127.0.0.1` and [`RELAY_PORT`](super::RELAY_PORT).
    pub const RELAY_V4: i32 = 9;
    /// Listening TCP on `::1` and [`RELAY_PORT`](super::RELAY_PORT); `/dev/null` without IPv6.
    pub const RELAY_V6: i32 = 10;
    /// First of the listening sockets on the host's loopback, one for each of
    /// [`GatePlan::published`](super::GatePlan::published).
    pub const FIRST_PUBLISHED: i32 = 11;
}

/// First bytes of an encoded [`GatePlan`].
const MAGIC: &[u8; 8] = b"abgate02";

/// All that a gate works from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePlan {
    /// The session.
    pub session: SessionId,
    /// Under which ids it runs.
    pub ids: Ids,
    /// What the session may reach.
    pub rules: Rules,
    /// Whether the session has IPv6.
    pub ipv6: bool,
    /// Its limits.
    pub limits: GateLimits,
    /// What was sent before, by a gate that this one replaces, where that is told apart.
    pub sent: Vec<Sent>,
    /// Bytes from the session before, in all.
    pub sent_in_all: u64,
    /// Ports inside that are published, in the order of their descriptors.
    pub published: Vec<u16>,
}

wire_struct! {
    /// Limits of a gate.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct GateLimits {
        /// Most bytes that the session sends, all together.
        pub upload_max: Option<u64>,
        /// Most bytes that the session sends to one name.
        pub name_upload_max: Option<u64>,
        /// Most connections at once.
        pub connections: u32,
        /// Most names that have a synthetic address at once.
        pub names: u32,
    }
}

wire_struct! {
    /// How much was sent to a destination.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Sent {
        /// To what.
        pub destination: Destination,
        /// Bytes from the session.
        pub sent: u64,
        /// Bytes to the session.
        pub received: u64,
    }
}

wire_enum! {
    /// How a resolver is asked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Transport {
        /// By datagrams.
        1 = Udp,
        /// By a stream.
        2 = Tcp,
    }
}

wire_enum! {
    /// From the gate.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Request {
        /// A connection to this address, which the gate believes to be one of the destination's.
        1 = Dial {
            /// Comes back in the answer.
            number: u32,
            /// What the session asked for.
            destination: Destination,
            /// Where that is.
            address: IpAddr,
            /// Port.
            port: u16,
        },
        /// A socket connected to an upstream resolver: one for each question, so that each has a source
        /// port of its own.
        2 = Resolver {
            /// Comes back in the answer.
            number: u32,
            /// Which, from 0; refused when there are fewer.
            which: u8,
            /// How.
            transport: Transport,
        },
        /// A connection to a published port on the loopback inside the session.
        3 = DialInside {
            /// Comes back in the answer.
            number: u32,
            /// Port.
            port: u16,
        },
        /// A decision, for the audit trail.
        4 = Decided {
            /// About what.
            destination: Destination,
            /// Port; 0 for a question for a name.
            port: u16,
            /// Why it was refused; none when it was allowed.
            reason: Option<Reason>,
            /// Place of the rule that decided, among the rules the gate has.
            rule: Option<u32>,
            /// The name that TLS or HTTP named instead.
            other: Option<HostName>,
        },
        /// What was sent since the last such message.
        5 = Used {
            /// To what and how much.
            sent: Sent,
        },
        /// It is confined and serves: the first message on each connection.
        6 = Ready,
        /// It could not confine itself and ends.
        7 = Failed {
            /// The step.
            step: String,
            /// What was refused or missing.
            detail: String,
        },
        /// The network translates by these prefixes as well, as its resolvers say: at most
        /// [`MAX_TRANSLATORS`] at a time.
        8 = Translates {
            /// The prefixes.
            translators: Vec<Translator>,
        },
    }
}

wire_enum! {
    /// To the gate.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Answer {
        /// A socket comes with this message (`SCM_RIGHTS`), non-blocking; a TCP one may still be connecting:
        /// it becomes writable, and `SO_ERROR` says how that went.
        1 = Socket {
            /// Of the request.
            number: u32,
        },
        /// There is none.
        2 = Refused {
            /// Of the request.
            number: u32,
            /// Why.
            reason: Reason,
        },
        /// The rules are these from now on. Connections that they do not allow are cut.
        3 = Rules {
            /// The rules.
            rules: Rules,
        },
        /// The machine's addresses, routes or resolvers have changed, or are new to the gate: the network may be
        /// another one.
        4 = OtherNetwork,
    }
}

impl Wire for GatePlan {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.session.put(out);
        self.ids.put(out);
        self.rules.put(out);
        self.ipv6.put(out);
        self.limits.put(out);
        self.sent.put(out);
        self.sent_in_all.put(out);
        self.published.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        for byte in MAGIC {
            if u8::get(input)? != *byte {
                return Err(input.invalid("gate plan of this version"));
            }
        }
        Ok(Self {
            session: Wire::get(input)?,
            ids: Wire::get(input)?,
            rules: Wire::get(input)?,
            ipv6: Wire::get(input)?,
            limits: Wire::get(input)?,
            sent: Wire::get(input)?,
            sent_in_all: Wire::get(input)?,
            published: Wire::get(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_shorter_plan_is_refused() {
        let plan = GatePlan {
            session: "abc".parse().unwrap(),
            ids: Ids { uid: 1, gid: 1, groups: vec![] },
            rules: Rules::nothing(),
            ipv6: true,
            limits: GateLimits { upload_max: Some(1), name_upload_max: None, connections: 2, names: 3 },
            sent: vec![Sent { destination: Destination::HostLoopback, sent: 1, received: 2 }],
            sent_in_all: 3,
            published: vec![3000],
        };
        let bytes = plan.to_bytes();
        assert_eq!(GatePlan::from_bytes(&bytes), Ok(plan));
        for length in 0..bytes.len() {
            assert!(GatePlan::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_longest_request_fits() {
        let name: HostName = ["abcdefg"; 31].join(".").parse().unwrap();
        let destination = Destination::Name { name: name.clone() };
        let request = Request::Decided {
            destination,
            port: 1,
            reason: Some(Reason::Budget),
            rule: Some(1),
            other: Some(name),
        };
        assert!(request.to_bytes().len() <= MAX_REQUEST_BYTES);
        let prefix = Translator::new("2001:db8::/96".parse().unwrap()).unwrap();
        let request = Request::Translates { translators: vec![prefix; MAX_TRANSLATORS] };
        assert!(request.to_bytes().len() <= MAX_REQUEST_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = Request::from_bytes(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes.clone());
            }
            let _ = Answer::from_bytes(&bytes);
            let _ = GatePlan::from_bytes(&bytes);
        }
    }
}
