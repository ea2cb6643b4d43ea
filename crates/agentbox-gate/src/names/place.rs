//! Synthetic addresses, as numbers: the same number stands for one name in both families.

use agentbox_plan::gate::{SYNTHETIC_V4, SYNTHETIC_V6};
use agentbox_plan::net::{Cidr, canonical};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The place of an address behind the first one of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// Of the loopback of the machine that the session runs on.
    pub const HOST: Self = Self(2);
    /// Of the first name. Those before it are the gate's own.
    pub const FIRST: Self = Self(16);
    /// Of the last name: the last address of the IPv4 range but one, because some programs take the last one
    /// of a network for a broadcast.
    pub const LAST: Self = Self((1 << (32 - SYNTHETIC_V4.1)) - 2);
    /// How many names can have a place.
    pub const COUNT: usize = (Self::LAST.0 - Self::FIRST.0) as usize + 1;

    /// The place of a synthetic address, in whichever way it is written.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        let (address, behind) = (canonical(address), |bits: u128| u32::try_from(bits).ok());
        let place = match address {
            _ if !is_synthetic(address) => None,
            IpAddr::V4(v4) => Some(v4.to_bits() - SYNTHETIC_V4.0.to_bits()),
            IpAddr::V6(v6) => behind(v6.to_bits() - SYNTHETIC_V6.0.to_bits()),
        };
        place.map(Self).filter(|place| *place == Self::HOST || (Self::FIRST..=Self::LAST).contains(place))
    }

    /// The IPv4 address.
    #[must_use]
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(SYNTHETIC_V4.0.to_bits() + self.0)
    }

    /// The IPv6 address.
    #[must_use]
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(SYNTHETIC_V6.0.to_bits() + u128::from(self.0))
    }

    /// One that nobody foresees.
    ///
    /// # Errors
    /// When the kernel has no random bytes (getrandom(2)).
    pub(super) fn any() -> io::Result<Self> {
        let mut bytes = [0; 4];
        // So few bytes are never interrupted (getrandom(2)).
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self(Self::FIRST.0 + u32::from_ne_bytes(bytes) % Self::COUNT as u32))
    }

    /// The place of the name after this one's, round and round.
    #[must_use]
    pub(super) fn next(self) -> Self {
        if self < Self::LAST { Self(self.0 + 1) } else { Self::FIRST }
    }
}

/// Whether an address is in one of the ranges of synthetic addresses, whether or not it stands for a name.
#[must_use]
pub fn is_synthetic(address: IpAddr) -> bool {
    let address = canonical(address);
    let (v4, v6) = (
        Cidr::around(SYNTHETIC_V4.0.into(), SYNTHETIC_V4.1),
        Cidr::around(SYNTHETIC_V6.0.into(), SYNTHETIC_V6.1),
    );
    v4.contains(address) || v6.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::gate::{DNS_V4, DNS_V6};

    #[test]
    fn a_place_has_one_address_of_each_family() {
        for place in [Place::HOST, Place::FIRST, Place(77_777), Place::LAST] {
            for address in [place.v4().into(), place.v6().into(), place.v4().to_ipv6_mapped().into()] {
                assert_eq!(Place::of(address), Some(place));
                assert!(is_synthetic(address));
            }
        }
        assert_eq!(Place::FIRST.v4().to_string(), "198.18.0.16");
        assert_eq!(Place::LAST.v4().to_string(), "198.19.255.254");
        assert_eq!(Place::FIRST.v6().to_string(), "fdab:6f78:6167::10");
        assert_eq!(Place::LAST.next(), Place::FIRST);
    }

    #[test]
    fn what_stands_for_no_name_has_no_place() {
        for text in [
            "198.18.0.0",
            "198.18.0.3",
            "198.18.0.15",
            "198.19.255.255",
            "198.17.255.255",
            "198.20.0.16",
            "8.8.8.8",
            "fdab:6f78:6167::",
            "fdab:6f78:6167::1:0:10",
            "fdab:6f78:6167::2:0",
            "fdab:6f78:6168::10",
            "::10",
        ] {
            assert_eq!(Place::of(text.parse().unwrap()), None, "{text}");
        }
        assert_eq!((Place::of(DNS_V4.into()), Place::of(DNS_V6.into())), (None, None));
    }
}
