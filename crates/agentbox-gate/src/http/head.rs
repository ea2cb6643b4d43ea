//! One request's head: for which host it is, and where its body ends.
//!
//! Strict where readers differ (RFC 9112, section 11): what a server could read in another way than this is
//! refused, or a request for another host could be hidden in what looks like a body here.

use crate::relay::Claim;
use std::net::IpAddr;

/// Most headers of a request, and most fields of a trailer.
const MAX_HEADERS: usize = 256;

/// The bytes are no request that everybody reads alike.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// A host and the port behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) claim: Claim,
    pub(super) port: Option<u16>,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// In the header `Host`.
    pub(super) host: Authority,
    /// In a target of the absolute form.
    pub(super) target: Option<Authority>,
    pub(super) body: Body,
    /// It asks for another protocol on this connection.
    pub(super) is_upgrade: bool,
}

/// A header that decides about framing or host.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Decisive {
    Host,
    Length,
    Encoding,
    Upgrade,
}

fn decisive(name: &str) -> Result<Option<Decisive>, Malformed> {
    let kind = match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "host" => Decisive::Host,
        "content-length" => Decisive::Length,
        "transfer-encoding" => Decisive::Encoding,
        "upgrade" => Decisive::Upgrade,
        _ => return Ok(None),
    };
    // CGI and its heirs take `content_length` for `content-length`; others do not.
    if name.contains('_') { Err(Malformed) } else { Ok(Some(kind)) }
}

/// Reads a head that ends in an empty line and has no line end other than CR LF.
pub(super) fn read(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut headers = headers_for(bytes)?;
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        _ => return Err(Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed);
    };
    let (mut host, mut length, mut encoding, mut is_upgrade) = (None, None, None, false);
    for header in request.headers.iter() {
        let place = match decisive(header.name)? {
            Some(Decisive::Host) => &mut host,
            Some(Decisive::Length) => &mut length,
            Some(Decisive::Encoding) => &mut encoding,
            Some(Decisive::Upgrade) => {
                is_upgrade = true;
                continue;
            }
            None => continue,
        };
        if place.replace(header.value).is_some() {
            return Err(Malformed);
        }
    }
    let host = match host.map(str::from_utf8).transpose().map_err(|_| Malformed)? {
        None | Some("") => Authority { claim: Claim::Nothing, port: None },
        Some(text) => authority(text)?,
    };
    let target = target_authority(method, target)?.map(authority).transpose()?;
    let body = match (length, encoding) {
        (None, None) => Body::Length(0),
        (Some(length), None) => Body::Length(decimal(length)?),
        // A server of HTTP/1.0 knows no chunks.
        (None, Some(value)) if value.eq_ignore_ascii_case(b"chunked") && version == 1 => Body::Chunked,
        _ => return Err(Malformed),
    };
    Ok(Head { host, target, body, is_upgrade })
}

/// Checks the fields behind the last chunk, with the empty line at their end.
pub(super) fn check_trailer(bytes: &[u8]) -> Result<(), Malformed> {
    let mut headers = headers_for(bytes)?;
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => {
            for field in fields {
                if decisive(field.name)?.is_some() {
                    return Err(Malformed);
                }
            }
            Ok(())
        }
        _ => Err(Malformed),
    }
}

fn headers_for(bytes: &[u8]) -> Result<Vec<httparse::Header<'_>>, Malformed> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    if lines > MAX_HEADERS { Err(Malformed) } else { Ok(vec![httparse::EMPTY_HEADER; lines]) }
}

/// The host in the target of a request, when it has the absolute form (RFC 9112, section 3.2).
fn target_authority<'a>(method: &str, target: &'a str) -> Result<Option<&'a str>, Malformed> {
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Malformed);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(None);
    }
    let (scheme, rest) = target.split_once("://").ok_or(Malformed)?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Malformed);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // Browsers and some servers take `\` for `/`; authority() refuses it, and `user@`.
    Ok(Some(&rest[..end]))
}

/// Reads `HOST`, `HOST:PORT` and `[ADDRESS]:PORT`.
fn authority(text: &str) -> Result<Authority, Malformed> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(Malformed)?;
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| Malformed)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(self::port(port)?),
            None if rest.is_empty() => None,
            None => return Err(Malformed),
        };
        return Ok(Authority { claim: Claim::Address(IpAddr::V6(address)), port });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(self::port(port)?)),
        None => (text, None),
    };
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return Ok(Authority { claim: Claim::Address(IpAddr::V4(address)), port });
    }
    Ok(Authority { claim: Claim::Name(host.parse().map_err(|_| Malformed)?), port })
}

/// A number that begins with zeros is one to some readers and none to others.
fn port(text: &str) -> Result<u16, Malformed> {
    if text.starts_with('0') {
        return Err(Malformed);
    }
    u16::try_from(decimal(text.as_bytes())?).map_err(|_| Malformed)
}

/// Digits and nothing else: `+5`, `5, 5` and ` 5` have several readings.
fn decimal(text: &[u8]) -> Result<u64, Malformed> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

/// Reads the line before a chunk, without its end: hexadecimal digits, perhaps extensions.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    // Fifteen digits fit into 64 bits, in every language that servers are written in.
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed);
    }
    str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Malformed)
}
