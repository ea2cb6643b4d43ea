//! The first message of TLS (RFC 8446, section 4.1.2), built by hand, with whatever name and in whatever
//! pieces an attack wants.

/// Type of a record with a handshake.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_HELLO: u16 = 0xfe0d;

/// A ClientHello.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hello {
    /// Each is an extension with a list of names.
    names: Vec<Vec<Vec<u8>>>,
    /// Bytes of padding before the names.
    padding: usize,
    encrypted: bool,
}

impl Hello {
    /// One that names this host.
    pub(crate) fn naming(name: impl AsRef<[u8]>) -> Self {
        Self { names: vec![vec![name.as_ref().to_vec()]], ..Self::default() }
    }

    /// One that names nobody.
    pub(crate) fn silent() -> Self {
        Self::default()
    }

    /// One list with several names.
    pub(crate) fn naming_all(names: &[&str]) -> Self {
        Self { names: vec![names.iter().map(|name| name.as_bytes().to_vec()).collect()], ..Self::default() }
    }

    /// The extension once more.
    pub(crate) fn and_again(mut self, name: &str) -> Self {
        self.names.push(vec![name.as_bytes().to_vec()]);
        self
    }

    /// So many bytes before the names.
    pub(crate) fn padded(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// With an encrypted hello (RFC 9849), as a browser sends it, whether real or made up.
    pub(crate) fn with_encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// The handshake message, without records.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0x5a; 32]);
        body.extend(short(&[0xa5; 32]));
        // Three suites of TLS 1.3 and two of 1.2.
        body.extend(long(&[0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f]));
        body.extend([1, 0]);
        body.extend(long(&self.extensions()));
        let length = (body.len() as u32).to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Made up, so that nobody depends on its absence (RFC 8701).
        put(&mut out, 0x0a0a, &[]);
        let mut padding = self.padding;
        // One extension takes less than 64 KiB; an unknown number each, for none may come twice.
        for number in 0xff10.. {
            if padding == 0 {
                break;
            }
            let length = padding.min(16_000);
            put(&mut out, number, &vec![0; length]);
            padding -= length;
        }
        for names in &self.names {
            let list: Vec<u8> = names.iter().flat_map(|name| [vec![0], long(name)].concat()).collect();
            put(&mut out, SERVER_NAME, &long(&list));
        }
        put(&mut out, 10, &long(&[0, 0x1d, 0, 0x17]));
        put(&mut out, 11, &short(&[0]));
        put(&mut out, 13, &long(&[4, 3, 8, 4, 4, 1, 8, 7]));
        put(&mut out, 16, &long(&[&short(b"h2")[..], &short(b"http/1.1")].concat()));
        put(&mut out, 43, &short(&[3, 4, 3, 3]));
        put(&mut out, 51, &long(&[&[0, 0x1d][..], &long(&[9; 32])].concat()));
        if self.encrypted {
            // Outer, HKDF-SHA256 and AES-128-GCM, configuration 7, a key and a sealed hello.
            let content = [&[0, 0, 1, 0, 1, 7][..], &long(&[8; 32]), &long(&[6; 208])].concat();
            put(&mut out, ENCRYPTED_HELLO, &content);
        }
        out
    }

    /// In one record, as everybody does.
    pub(crate) fn record(&self) -> Vec<u8> {
        records(&self.message(), usize::MAX)
    }
}

/// A handshake message in records of so many bytes.
pub(crate) fn records(message: &[u8], length: usize) -> Vec<u8> {
    // 16 KiB is the longest that a record may be.
    message
        .chunks(length.clamp(1, 1 << 14))
        .flat_map(|piece| [&[HANDSHAKE, 3, 1][..], &long(piece)].concat())
        .collect()
}

/// A record as it follows on a handshake; what is in it looks encrypted to whoever cannot read it.
pub(crate) fn data(content: &[u8]) -> Vec<u8> {
    [&[APPLICATION_DATA, 3, 3][..], &long(content)].concat()
}

/// A hello of SSL 2, which has no place for a name (RFC 5246, appendix E.2).
pub(crate) fn ancient() -> Vec<u8> {
    let body = [&[1, 3, 3, 0, 6, 0, 0, 0, 16, 0, 0xc0, 0x2f, 0, 0, 0x9c][..], &[0x5a; 16]].concat();
    [&[0x80, body.len() as u8][..], &body].concat()
}

fn put(out: &mut Vec<u8>, number: u16, content: &[u8]) {
    out.extend(number.to_be_bytes());
    out.extend(long(content));
}

/// Behind its length in one byte.
fn short(content: &[u8]) -> Vec<u8> {
    [&[content.len() as u8][..], content].concat()
}

/// Behind its length in two bytes.
fn long(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> usize {
        usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
    }

    /// Number and content of each extension of a message.
    fn extensions(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
        assert_eq!(message[0], 1);
        assert_eq!(word(message, 2) + (usize::from(message[1]) << 16), message.len() - 4);
        let mut at = 4 + 2 + 32;
        at += 1 + usize::from(message[at]);
        at += 2 + word(message, at);
        at += 1 + usize::from(message[at]);
        assert_eq!(at + 2 + word(message, at), message.len());
        at += 2;
        let mut found = Vec::new();
        while at < message.len() {
            let length = word(message, at + 2);
            found.push((word(message, at) as u16, message[at + 4..at + 4 + length].to_vec()));
            at += 4 + length;
        }
        found
    }

    #[test]
    fn the_lengths_of_a_hello_are_right_and_its_name_is_in_it() {
        let found = extensions(&Hello::naming("a.example").message());
        let names: Vec<_> = found.iter().filter(|(number, _)| *number == SERVER_NAME).collect();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].1, b"\x00\x0c\x00\x00\x09a.example");
        assert!(extensions(&Hello::silent().message()).iter().all(|(number, _)| *number != SERVER_NAME));
    }

    #[test]
    fn an_extension_may_come_twice_and_may_be_long() {
        let hello = Hello::naming_all(&["a.example", "b.example"]).and_again("c.example").padded(40_000);
        let found = extensions(&hello.with_encrypted().message());
        assert_eq!(found.iter().filter(|(number, _)| *number == SERVER_NAME).count(), 2);
        assert_eq!(
            found.iter().map(|(_, content)| content.len()).filter(|length| *length > 5000).sum::<usize>(),
            40_000
        );
        assert!(found.iter().any(|(number, content)| *number == ENCRYPTED_HELLO && content.len() == 250));
    }

    #[test]
    fn records_of_any_size_hold_the_same_message() {
        let message = Hello::naming("a.example").message();
        for size in [1, 7, 100, usize::MAX] {
            let (bytes, mut whole, mut at) = (records(&message, size), Vec::<u8>::new(), 0);
            while at < bytes.len() {
                assert_eq!(bytes[at], HANDSHAKE);
                let length = word(&bytes, at + 3);
                assert!(length <= size && length > 0);
                whole.extend(&bytes[at + 5..at + 5 + length]);
                at += 5 + length;
            }
            assert_eq!(whole, message);
        }
    }

    #[test]
    fn an_ancient_hello_says_its_length() {
        let bytes = ancient();
        assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
        assert_eq!(bytes.len(), 2 + 9 + 6 + 16);
    }
}
