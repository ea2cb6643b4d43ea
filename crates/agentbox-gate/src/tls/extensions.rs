//! Inside of a ClientHello (RFC 8446, section 4.1.2): finds `server_name` (RFC 6066, section 3).

use agentbox_plan::net::HostName;
use std::net::IpAddr;

const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const MAX_SESSION_ID_BYTES: usize = 32;

/// The bytes are no ClientHello that everybody reads alike.
#[derive(Debug)]
pub(super) struct NotAHello;

/// What was not read so far.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NotAHello> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(NotAHello)?;
        self.0 = rest;
        Ok(taken)
    }
    fn u8(&mut self) -> Result<u8, NotAHello> {
        let (first, rest) = self.0.split_first().ok_or(NotAHello)?;
        self.0 = rest;
        Ok(*first)
    }
    fn u16(&mut self) -> Result<u16, NotAHello> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }
    /// Bytes behind their length in one byte.
    fn short(&mut self) -> Result<&'a [u8], NotAHello> {
        let length = self.u8()?;
        self.take(length.into())
    }
    /// Bytes behind their length in two bytes.
    fn long(&mut self) -> Result<&'a [u8], NotAHello> {
        let length = self.u16()?;
        self.take(length.into())
    }
    fn end(&self) -> Result<(), NotAHello> {
        if self.0.is_empty() { Ok(()) } else { Err(NotAHello) }
    }
}

/// The name in the body of a ClientHello.
pub(super) fn server_name(body: &[u8]) -> Result<Option<HostName>, NotAHello> {
    let mut rest = Rest(body);
    let _version_and_random = rest.take(2 + 32)?;
    if rest.short()?.len() > MAX_SESSION_ID_BYTES {
        return Err(NotAHello);
    }
    let suites = rest.long()?;
    let compressions = rest.short()?;
    if suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return Err(NotAHello);
    }
    // Before TLS 1.3 there may be none at all.
    if rest.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = Rest(rest.long()?);
    rest.end()?;
    let mut found = None;
    while !extensions.0.is_empty() {
        let (kind, body) = (extensions.u16()?, extensions.long()?);
        // Of two, one reader takes the first and another the last.
        if kind == SERVER_NAME && found.replace(body).is_some() {
            return Err(NotAHello);
        }
    }
    found.map_or(Ok(None), only_name)
}

/// The name of a `server_name` extension, which holds exactly one. Other types of names do not exist, and
/// nobody can skip them.
fn only_name(body: &[u8]) -> Result<Option<HostName>, NotAHello> {
    let mut rest = Rest(body);
    let mut list = Rest(rest.long()?);
    rest.end()?;
    if list.u8()? != HOST_NAME {
        return Err(NotAHello);
    }
    let name = list.long()?;
    list.end()?;
    let text = str::from_utf8(name).map_err(|_| NotAHello)?;
    // Not allowed by the RFC, sent nevertheless by clients that were given an address.
    if text.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| NotAHello)
}
