//! Ranges of addresses.

use crate::wire::{Reader, Wire, WireError};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: those whose first `prefix` bits are those of `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not an address, or not one before the `/`.
    #[error("not an IPv4 or IPv6 address")]
    Address,
    /// The length is missing, no number, or longer than the address.
    #[error("the length behind `/` is 0 to 32 for IPv4 and 0 to 128 for IPv6")]
    Prefix,
    /// Bits behind the length are set.
    #[error("the address has bits behind the length; write the first address of the range")]
    HostBits,
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Cidr {
    /// A range.
    ///
    /// # Errors
    /// [`CidrError`] when the length does not fit the address or bits behind it are set.
    pub fn new(first: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        if prefix > Self::width(first) {
            return Err(CidrError::Prefix);
        }
        if bits(first) & !mask(prefix) != 0 {
            return Err(CidrError::HostBits);
        }
        Ok(Self { first, prefix })
    }

    /// The range of that length that an address is in. A length that is too long is that of one address.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(Self::width(address));
        let kept = bits(address) & mask(prefix);
        let first = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((kept >> 96) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(kept)),
        };
        Self { first, prefix }
    }

    /// The range of one address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        Self { first: address, prefix: Self::width(address) }
    }

    fn width(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether an address is in the range. Addresses of the other family never are.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && bits(address) & mask(self.prefix) == bits(self.first)
    }

    /// The first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The length.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// `ADDRESS/LENGTH` or a single address.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(Self::single(text.parse().map_err(|_| CidrError::Address)?));
        };
        let address = address.parse().map_err(|_| CidrError::Address)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CidrError::Prefix);
        }
        Self::new(address, prefix.parse().map_err(|_| CidrError::Prefix)?)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == Self::width(self.first) {
            self.first.fmt(f)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ipv6().put(out);
        match self {
            Self::V4(address) => address.to_bits().put(out),
            Self::V6(address) => address.octets().into_iter().for_each(|byte| byte.put(out)),
        }
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        if !bool::get(input)? {
            return Ok(Self::V4(Ipv4Addr::from_bits(u32::get(input)?)));
        }
        let mut octets = [0; 16];
        for octet in &mut octets {
            *octet = u8::get(input)?;
        }
        Ok(Self::V6(Ipv6Addr::from(octets)))
    }
}

impl Wire for Cidr {
    fn put(&self, out: &mut Vec<u8>) {
        self.first.put(out);
        self.prefix.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let (first, prefix) = (IpAddr::get(input)?, u8::get(input)?);
        Self::new(first, prefix).map_err(|_| input.invalid("range of addresses"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_inside_and_their_neighbours_are_not() {
        let range: Cidr = "100.64.0.0/10".parse().unwrap();
        let contains = |text: &str| range.contains(text.parse().unwrap());
        assert!(contains("100.64.0.0") && contains("100.127.255.255"));
        assert!(!contains("100.63.255.255") && !contains("100.128.0.0") && !contains("::100.64.0.1"));
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains("ffff::1".parse().unwrap()) && !all.contains("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/+1",
            "::/129",
            "10.0.0.1/8",
            "a/8",
            "010.0.0.0/8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "1.2.3.4", "2001:db8::/32", "::1", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert_eq!(Cidr::around("10.1.2.3".parse().unwrap(), 8).to_string(), "10.0.0.0/8");
    }
}
