//! Keys and hosts as ssh writes them.

use crate::base64;
use crate::net::{Destination, HostName, Pattern, Target, TargetError};
use crate::wire::{Bytes, Reader, Wire, WireError};
use std::fmt;
use std::str::FromStr;

/// Port of ssh (RFC 4253, section 4.1).
const PORT: u16 = 22;
/// Most bytes of a key. RSA with 16384 bits has 2071.
const MAX_KEY_BYTES: usize = 4096;
const PREFIX: &str = "SHA256:";

/// Fingerprint of a public key: SHA-256 of its bytes on the wire, written `SHA256:…` (ssh-keygen(1), -l).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is `SHA256:` and 43 characters, as `ssh-add -l` prints it")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digest = text.strip_prefix(PREFIX).filter(|rest| !rest.contains('=')).and_then(base64::decode);
        digest.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(FingerprintError)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base64::encode(&self.0))
    }
}

impl Wire for Fingerprint {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut digest = [0; 32];
        for byte in &mut digest {
            *byte = u8::get(input)?;
        }
        Ok(Self(digest))
    }
}

/// Public key of a host: its bytes on the wire (RFC 4253, section 6.6), written `TYPE BASE64`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(Vec<u8>);

/// The text is no host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host key is its type and its base64, as a line of known_hosts has them: ssh-ed25519 AAAA…")]
pub struct HostKeyError;

impl HostKey {
    /// Takes the bytes of a key when they begin with a type.
    ///
    /// # Errors
    /// [`HostKeyError`].
    pub fn new(blob: Vec<u8>) -> Result<Self, HostKeyError> {
        let key = Self(blob);
        if key.0.len() <= MAX_KEY_BYTES && key.kind().is_some() { Ok(key) } else { Err(HostKeyError) }
    }

    /// Its bytes on the wire.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.0
    }

    fn kind(&self) -> Option<&str> {
        let length = u32::from_be_bytes(*self.0.first_chunk()?) as usize;
        let kind = std::str::from_utf8(self.0.get(4..length.checked_add(4)?)?).ok()?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'@' | b'.');
        ((1..=64).contains(&kind.len()) && kind.bytes().all(fits)).then_some(kind)
    }
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        let (kind, key) = text.split_once(' ').ok_or(HostKeyError)?;
        let key = Self::new(base64::decode(key).ok_or(HostKeyError)?)?;
        if key.kind() == Some(kind) { Ok(key) } else { Err(HostKeyError) }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64::encode(&self.0);
        let padding = "==".get(..(4 - key.len() % 4) % 4).unwrap_or_default();
        write!(f, "{} {key}{padding}", self.kind().unwrap_or_default())
    }
}

impl Wire for HostKey {
    fn put(&self, out: &mut Vec<u8>) {
        Bytes(self.0.clone()).put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let Bytes(blob) = Bytes::get(input)?;
        Self::new(blob).map_err(|_| input.invalid("host key"))
    }
}

/// A host that is reached by ssh: `github.com`, `git.example.org:2222`, `[2001:db8::1]:22`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshHost {
    destination: Destination,
    port: u16,
}

/// The text is no host of ssh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshHostError {
    /// It is no host at all.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// More hosts than one, or this machine.
    #[error(
        "a host of `ssh_agent` is one name or address, and maybe a port: github.com, git.example.org:2222"
    )]
    NotOne,
}

impl SshHost {
    /// How known_hosts names it (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
    #[must_use]
    pub fn known_as(&self) -> String {
        match self.port {
            PORT => self.name(),
            port => format!("[{}]:{port}", self.name()),
        }
    }

    fn name(&self) -> String {
        match &self.destination {
            Destination::Name { name } => name.to_string(),
            Destination::Address { address } => address.to_string(),
            Destination::HostLoopback => String::new(),
        }
    }
}

impl FromStr for SshHost {
    type Err = SshHostError;

    fn from_str(text: &str) -> Result<Self, SshHostError> {
        // On a machine's own word `host` nothing of ssh listens under that name.
        let Target { pattern, port } = text.parse()?;
        let destination = match pattern {
            Pattern::Name { name } => Destination::Name { name },
            Pattern::Network { range }
                if range.prefix() == if range.first().is_ipv4() { 32 } else { 128 } =>
            {
                Destination::Address { address: range.first() }
            }
            _ => return Err(SshHostError::NotOne),
        };
        Ok(Self { destination, port: port.unwrap_or(PORT) })
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self.port {
            PORT => f.write_str(&name),
            port if name.contains(':') => write!(f, "[{name}]:{port}"),
            port => write!(f, "{name}:{port}"),
        }
    }
}

impl Wire for SshHost {
    fn put(&self, out: &mut Vec<u8>) {
        self.destination.put(out);
        self.port.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let destination = Destination::get(input)?;
        match (destination, u16::get(input)?) {
            (Destination::HostLoopback, _) | (_, 0) => Err(input.invalid("host of ssh")),
            (destination, port) => Ok(Self { destination, port }),
        }
    }
}

impl From<HostName> for SshHost {
    fn from(name: HostName) -> Self {
        Self { destination: Destination::Name { name }, port: PORT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_written_as_they_are_read() {
        let text = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        assert_eq!(text.parse::<Fingerprint>().map(|key| key.to_string()), Ok(text.to_owned()));
        for bad in
            ["", "SHA256:", "MD5:16:27:ac", "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU=", &text[7..]]
        {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_keys_are_written_as_they_are_read() {
        let text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        assert_eq!(text.parse::<HostKey>().map(|key| key.to_string()), Ok(text.to_owned()));
        for bad in
            ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnk", "a AAAAAWEK x"]
        {
            assert!(bad.parse::<HostKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_written_as_they_are_read() {
        for (text, known) in [
            ("github.com", "github.com"),
            ("git.example.org:2222", "[git.example.org]:2222"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:2222", "[192.0.2.1]:2222"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:2222", "[2001:db8::1]:2222"),
        ] {
            let host: SshHost = text.parse().unwrap();
            assert_eq!((host.to_string().as_str(), host.known_as().as_str()), (text, known));
            assert_eq!(SshHost::from_bytes(&host.to_bytes()), Ok(host));
        }
        assert_eq!("github.com:22".parse::<SshHost>().unwrap().to_string(), "github.com");
        for bad in
            ["", "*.example.org", "10.0.0.0/8", "host:22", "a.org:0", "git@github.com", "-oProxyCommand=x"]
        {
            assert!(bad.parse::<SshHost>().is_err(), "{bad}");
        }
    }
}
