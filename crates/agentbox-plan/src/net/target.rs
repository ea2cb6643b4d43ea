//! What a rule is about, as it is written: `github.com`, `github.com:22`, `*.example.org`, `**.example.org`,
//! `10.0.0.5:22`, `10.1.0.0/24:443`, `[2606:4700::]/32:443`, `host:5432`.

use super::{Cidr, HostName};
use crate::wire::{wire_enum, wire_struct};
use std::fmt;
use std::str::FromStr;

/// Ports of a rule that names none.
const DEFAULT_PORTS: [u16; 2] = [80, 443];
/// What is written for the host's loopback.
const HOST: &str = "host";

wire_enum! {
    /// Which hosts a rule is about.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Pattern {
        /// A name: `example.org`.
        1 = Name {
            /// The name.
            name: HostName,
        },
        /// Names with one label more: `*.example.org`.
        2 = Child {
            /// The name that they end in.
            parent: HostName,
        },
        /// Names with any number of labels more: `**.example.org`.
        3 = Below {
            /// The name that they end in.
            parent: HostName,
        },
        /// Addresses: `10.0.0.5`, `10.1.0.0/24`.
        4 = Network {
            /// Their range.
            range: Cidr,
        },
        /// The loopback of the machine that the session runs on: `host`.
        5 = HostLoopback,
    }
}

wire_struct! {
    /// Hosts and a port.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Target {
        /// Which hosts.
        pub pattern: Pattern,
        /// Which port; without one 80 and 443 in a rule that allows, every port in one that denies.
        pub port: Option<u16>,
    }
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The port.
    #[error("the port behind `:` is 1 to 65535")]
    Port,
    /// More than a host.
    #[error("write the host only: github.com or github.com:443, without https:// and path")]
    Url,
    /// The loopback of the host without a port.
    #[error("`host` needs a port: host:5432")]
    HostWithoutPort,
    /// A `*` elsewhere than as the first label.
    #[error("`*.` stands for one label and `**.` for one or more, at the beginning only")]
    Wildcard,
    /// A wildcard over a whole top-level domain, or one label.
    #[error("a wildcard needs a name of two labels or more behind it: *.example.org")]
    TooWide,
    /// The name.
    #[error("{0}")]
    Name(#[from] super::HostNameError),
    /// The range of addresses.
    #[error("{0}")]
    Cidr(#[from] super::CidrError),
    /// A bracket without its other.
    #[error("an IPv6 address with a port is written [ADDRESS]:PORT or [ADDRESS]/LENGTH:PORT")]
    Bracket,
}

impl Target {
    /// Whether a rule that allows is about this port.
    #[must_use]
    pub fn allows_port(&self, port: u16) -> bool {
        self.allowed_ports().contains(&port)
    }

    /// The ports that a rule that allows is about.
    pub(super) fn allowed_ports(&self) -> &[u16] {
        self.port.as_ref().map_or(&DEFAULT_PORTS, std::slice::from_ref)
    }

    /// Whether a rule that denies is about this port.
    #[must_use]
    pub fn denies_port(&self, port: u16) -> bool {
        self.port.is_none_or(|mine| mine == port)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.contains("://") {
            return Err(TargetError::Url);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(TargetError::Bracket)?;
            let (length, port) = match rest.split_once(':') {
                Some((length, port)) => (length, Some(parse_port(port)?)),
                None => (rest, None),
            };
            if !address.contains(':') || !(length.is_empty() || length.starts_with('/')) {
                return Err(TargetError::Bracket);
            }
            let range = format!("{address}{length}").parse()?;
            return Ok(Self { pattern: Pattern::Network { range }, port });
        }
        // More than one colon: an IPv6 address without a port.
        if text.matches(':').count() > 1 {
            return Ok(Self { pattern: Pattern::Network { range: text.parse()? }, port: None });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        let pattern = pattern(host)?;
        if pattern == Pattern::HostLoopback && port.is_none() {
            return Err(TargetError::HostWithoutPort);
        }
        Ok(Self { pattern, port })
    }
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_plain.then(|| text.parse::<u16>().ok()).flatten();
    port.filter(|port| *port != 0).ok_or(TargetError::Port)
}

fn pattern(host: &str) -> Result<Pattern, TargetError> {
    let parent = |text: &str| -> Result<HostName, TargetError> {
        if text.contains('*') {
            return Err(TargetError::Wildcard);
        }
        let name: HostName = text.parse()?;
        if name.as_str().contains('.') { Ok(name) } else { Err(TargetError::TooWide) }
    };
    if let Some(rest) = host.strip_prefix("**.") {
        return Ok(Pattern::Below { parent: parent(rest)? });
    }
    if let Some(rest) = host.strip_prefix("*.") {
        return Ok(Pattern::Child { parent: parent(rest)? });
    }
    if host.contains('*') {
        return Err(TargetError::Wildcard);
    }
    let looks_like_address =
        host.contains('/') || host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if looks_like_address && !host.is_empty() {
        return Ok(Pattern::Network { range: host.parse()? });
    }
    let name: HostName = host.parse()?;
    // Compared as a name: `Host` and `host.` are shown as `host`, and mean it.
    Ok(if name.as_str() == HOST { Pattern::HostLoopback } else { Pattern::Name { name } })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => name.fmt(f),
            Self::Child { parent } => write!(f, "*.{parent}"),
            Self::Below { parent } => write!(f, "**.{parent}"),
            Self::Network { range } => range.fmt(f),
            Self::HostLoopback => f.write_str(HOST),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pattern, self.port) {
            (pattern, None) => pattern.fmt(f),
            (Pattern::Network { range }, Some(port)) if range.first().is_ipv6() => {
                write!(f, "[{}]", range.first())?;
                if range.prefix() != 128 {
                    write!(f, "/{}", range.prefix())?;
                }
                write!(f, ":{port}")
            }
            (pattern, Some(port)) => write!(f, "{pattern}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_target_is_written_as_it_is_read() {
        for text in [
            "github.com",
            "github.com:22",
            "*.example.org",
            "**.example.org:8443",
            "10.0.0.5:22",
            "10.1.0.0/24:443",
            "10.1.0.0/24",
            "2606:4700::/32",
            "[2606:4700::1]:443",
            "[2606:4700::]/32:443",
            "::1",
            "host:5432",
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn the_loopback_of_the_host_is_meant_in_every_spelling() {
        for text in ["host:5432", "Host:5432", "HOST:5432", "host.:5432"] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.pattern), ("host:5432", Pattern::HostLoopback));
        }
        assert_eq!("Host".parse::<Target>(), Err(TargetError::HostWithoutPort));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for bad in [
            "",
            ":22",
            "a:0",
            "a:65536",
            "a:+1",
            "a:",
            "host",
            "*",
            "*.",
            "*.org",
            "**.com",
            "a.*.org",
            "*a.org",
            "***.a.org",
            "*.*.a.org",
            "[1.2.3.4]:22",
            "[::1",
            "[::1]x:22",
            "10.0.0.1/8",
            "1.2.3",
            "a/b",
            "a b",
            "https://a.org",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "[a-z*.:/0-9\\[\\]]{0,24}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
