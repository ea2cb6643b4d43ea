//! Ports that are published, ranges of them, and addresses of resolvers.
//!
//! Addresses come from `core::net`, which has no sockets.

use core::net::{IpAddr, SocketAddr};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// First port that programs without privilege listen on (ip(7), `ip_unprivileged_port_start`).
const FIRST_UNPRIVILEGED: u16 = 1024;
/// Where resolvers are asked when no port is given.
const DNS_PORT: u16 = 53;

fn port(text: &str) -> Result<u16, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_plain.then(|| text.parse::<u16>().ok()).flatten();
    port.filter(|port| *port != 0).ok_or_else(|| "a port is 1 to 65535".to_owned())
}

/// A port of a session that is published on the host's loopback: `3000`, or `8080:3000` for another port
/// of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publish {
    /// On the host.
    pub host_port: u16,
    /// In the session. At least 1024: below that a session cannot listen.
    pub port: u16,
}

impl Publish {
    /// Whether only root's sessions may have it.
    #[must_use]
    pub fn is_privileged(self) -> bool {
        self.host_port < FIRST_UNPRIVILEGED
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, inside) = text.split_once(':').unwrap_or((text, text));
        let publish = Self { host_port: port(host)?, port: port(inside)? };
        if publish.port < FIRST_UNPRIVILEGED {
            return Err(format!(
                "a session cannot listen on port {}: ports inside are 1024 to 65535, as in 80:8080",
                publish.port
            ));
        }
        Ok(publish)
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host_port == self.port {
            self.port.fmt(f)
        } else {
            write!(f, "{}:{}", self.host_port, self.port)
        }
    }
}

/// Ports of the host: `3000`, or `3000-3999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Whether a port is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            return Err("a range of ports begins with the smaller one: 3000-3999".to_owned());
        }
        Ok(range)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A resolver: `9.9.9.9`, `9.9.9.9:5353`, `2620:fe::fe`, `[2620:fe::fe]:53`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolver(SocketAddr);

impl Resolver {
    /// Its address and port.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Resolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.parse::<IpAddr>() {
            Ok(address) => Ok(SocketAddr::new(address, DNS_PORT)),
            Err(_) => text.parse::<SocketAddr>(),
        };
        let address = address
            .map_err(|_| "a resolver is an address: 9.9.9.9, 9.9.9.9:53, [2620:fe::fe]:53".to_owned())?;
        let odd = address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0;
        if odd { Err(format!("`{address}` is nobody's address")) } else { Ok(Self(address)) }
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == DNS_PORT { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Reads a text, or a number where numbers are ports.
struct Read<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for Read<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! ports {
    ($($name:ident $expected:literal $pattern:literal)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                output.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_any(Read(std::marker::PhantomData, $expected))
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [
                    { "type": "integer", "minimum": 1, "maximum": 65535 },
                    { "type": "string", "pattern": $pattern },
                ]})
            }
        }
    )*};
}
ports! {
    Publish "a port such as 3000 or \"8080:3000\"" "^[0-9]+(:[0-9]+)?$"
    PortRange "ports such as 3000 or \"3000-3999\"" "^[0-9]+(-[0-9]+)?$"
}

impl Serialize for Resolver {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Resolver {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Resolver {
    fn schema_name() -> Cow<'static, str> {
        "Resolver".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f:.\\[\\]]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_they_are_read() {
        for text in ["3000", "8080:3000", "80:8080"] {
            assert_eq!(text.parse::<Publish>().map(|publish| publish.to_string()), Ok(text.to_owned()));
        }
        for text in ["3000", "3000-3999"] {
            assert_eq!(text.parse::<PortRange>().map(|range| range.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "0", "80", "65536", "3000:80", ":3000", "3000:", "+3000", "1:2:3000", "3000-3001"] {
            assert!(bad.parse::<Publish>().is_err(), "{bad:?}");
        }
        for bad in ["", "0", "2-1", "-1", "1-", "1-65536"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_resolver_is_an_address_with_a_port() {
        for (text, address) in [
            ("9.9.9.9", "9.9.9.9:53"),
            ("9.9.9.9:5353", "9.9.9.9:5353"),
            ("2620:fe::fe", "[2620:fe::fe]:53"),
            ("[2620:fe::fe]:53", "[2620:fe::fe]:53"),
            ("127.0.0.53", "127.0.0.53:53"),
        ] {
            assert_eq!(text.parse::<Resolver>().map(|is| is.address().to_string()), Ok(address.to_owned()));
        }
        for bad in ["", "dns.example.org", "0.0.0.0", "224.0.0.251", "9.9.9.9:0", "[::]:53", "9.9.9.9/32"] {
            assert!(bad.parse::<Resolver>().is_err(), "{bad:?}");
        }
    }
}
