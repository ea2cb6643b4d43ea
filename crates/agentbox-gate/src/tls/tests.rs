//! Hellos that are built here, that rustls says, and that an attacker would.

use super::*;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// A `server_name` extension with these entries of type and name.
fn server_name(entries: &[(u8, &[u8])]) -> (u16, Vec<u8>) {
    let mut list = Vec::new();
    for (kind, name) in entries {
        list.push(*kind);
        list.extend_from_slice(&(name.len() as u16).to_be_bytes());
        list.extend_from_slice(name);
    }
    let mut body = (list.len() as u16).to_be_bytes().to_vec();
    body.extend(list);
    (0, body)
}

fn message(extensions: Option<&[(u16, Vec<u8>)]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0x13, 0x01, 0, 0x2f, 1, 0]);
    if let Some(extensions) = extensions {
        let mut block = Vec::new();
        for (kind, value) in extensions {
            block.extend(kind.to_be_bytes());
            block.extend((value.len() as u16).to_be_bytes());
            block.extend(value);
        }
        body.extend((block.len() as u16).to_be_bytes());
        body.extend(block);
    }
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}

fn records(message: &[u8], bytes_each: usize, version: [u8; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in message.chunks(bytes_each) {
        out.push(22);
        out.extend(version);
        out.extend((part.len() as u16).to_be_bytes());
        out.extend(part);
    }
    out
}

fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    records(&message(Some(extensions)), 1 << 14, [3, 1])
}

fn outcome(bytes: &[u8]) -> Outcome {
    Hello::new().feed(bytes)
}

fn named(text: &str) -> Outcome {
    Outcome::Name(Some(text.parse().unwrap()))
}

/// What rustls would send first.
fn real(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_hellos_of_a_real_client_give_their_name() {
    use rustls::version::{TLS12, TLS13};
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS12, &TLS13]] {
        assert_eq!(outcome(&real("Api.Example.com", versions)), named("api.example.com"));
        assert_eq!(outcome(&real("192.0.2.1", versions)), Outcome::Name(None));
    }
}

#[test]
fn old_and_new_hellos_give_a_result() {
    // TLS 1.0 and 1.1 without and with extensions; none has signature_algorithms.
    for version in [[3, 0], [3, 1], [3, 2], [3, 3]] {
        assert_eq!(outcome(&records(&message(None), 1 << 14, version)), Outcome::Name(None));
        let with = message(Some(&[server_name(&[(0, b"a.org")])]));
        assert_eq!(outcome(&records(&with, 1 << 14, version)), named("a.org"));
    }
    assert_eq!(outcome(&hello(&[])), Outcome::Name(None));
    // A post-quantum key share, GREASE of several kinds, among them a grease Encrypted Client Hello.
    let extensions = [
        (0x0a0a, vec![]),
        (51, vec![9; 1300]),
        (0xfe0d, vec![0; 250]),
        server_name(&[(0, b"a.org")]),
        (0xdada, vec![0]),
    ];
    assert_eq!(outcome(&hello(&extensions)), named("a.org"));
    assert_eq!(outcome(&records(&message(Some(&extensions)), 100, [3, 1])), named("a.org"));
}

#[test]
fn names_are_read_as_hosts_are_written() {
    for (name, expected) in [
        ("a.org", named("a.org")),
        ("A.Org", named("a.org")),
        ("a.org.", named("a.org")),
        ("localhost", named("localhost")),
        ("xn--bcher-kva.example", named("xn--bcher-kva.example")),
        ("10.0.0.1", Outcome::Name(None)),
        ("::1", Outcome::Name(None)),
        ("", Outcome::Malformed),
        (".", Outcome::Malformed),
        ("a.org..", Outcome::Malformed),
        ("a.org\0", Outcome::Malformed),
        ("a.org\0.evil.com", Outcome::Malformed),
        ("a.org:443", Outcome::Malformed),
        (" a.org", Outcome::Malformed),
        ("bücher.example", Outcome::Malformed),
        ("0x7f000001", Outcome::Malformed),
        ("127.1", Outcome::Malformed),
        ("*.a.org", Outcome::Malformed),
    ] {
        assert_eq!(outcome(&hello(&[server_name(&[(0, name.as_bytes())])])), expected, "{name:?}");
    }
}

#[test]
fn where_two_readers_could_find_different_names_it_is_malformed() {
    let (a, b) = (server_name(&[(0, b"a.org")]), server_name(&[(0, b"b.org")]));
    let mut longer = a.clone();
    longer.1.push(0);
    for extensions in [
        vec![a.clone(), b],
        vec![a.clone(), a.clone()],
        vec![server_name(&[(0, b"a.org"), (0, b"b.org")])],
        vec![server_name(&[(0, b"a.org"), (1, b"b.org")])],
        vec![server_name(&[(1, b"b.org")])],
        vec![server_name(&[])],
        vec![(0, vec![])],
        vec![longer],
    ] {
        assert_eq!(outcome(&hello(&extensions)), Outcome::Malformed, "{extensions:?}");
    }
    let good = message(Some(&[a]));
    // Something behind the hello in its record, behind the extensions, before the hello.
    let twice = [good.clone(), good.clone()].concat();
    assert_eq!(outcome(&records(&twice, 1 << 14, [3, 1])), Outcome::Malformed);
    assert_eq!(Skim::new().feed(&records(&twice, 1 << 14, [3, 1])), Skimmed::Malformed);
    // Without extensions, what is behind it could be taken for theirs.
    let bare = message(None);
    let none = [&bare[..], &[0, 0]].concat();
    assert_eq!(outcome(&records(&bare, 1 << 14, [3, 1])), Outcome::Name(None));
    assert_eq!(outcome(&records(&none, 1 << 14, [3, 1])), Outcome::Malformed);
    // A session id that is longer than any, no suite, half a suite, no compression: from behind the random bytes.
    for (fields, what) in [
        ([&[33][..], &[7; 33], &[0, 2, 0x13, 1, 1, 0]].concat(), "session id"),
        (vec![0, 0, 0, 1, 0], "suites"),
        (vec![0, 0, 3, 0x13, 1, 0, 1, 0], "half a suite"),
        (vec![0, 0, 2, 0x13, 1, 0], "compressions"),
    ] {
        let mut odd = [&bare[..38], &fields].concat();
        odd[3] = (odd.len() - 4) as u8;
        assert_eq!(outcome(&records(&odd, 1 << 14, [3, 1])), Outcome::Malformed, "{what}");
    }
    let mut behind = good.clone();
    behind.push(0);
    behind[3] += 1;
    assert_eq!(outcome(&records(&behind, 1 << 14, [3, 1])), Outcome::Malformed);
    let mut other = good.clone();
    other[0] = 2;
    assert_eq!(outcome(&records(&other, 1 << 14, [3, 1])), Outcome::Malformed);
    assert_eq!(Skim::new().feed(&records(&other, 1 << 14, [3, 1])), Skimmed::Malformed);
    // An alert, an empty record and application data between two parts.
    let (first, second) = good.split_at(20);
    for between in [alert(10).to_vec(), vec![22, 3, 1, 0, 0], vec![23, 3, 3, 0, 1, 0]] {
        let bytes = [records(first, 99, [3, 1]), between.clone(), records(second, 1 << 14, [3, 1])].concat();
        assert_eq!(outcome(&bytes), Outcome::Malformed, "{between:?}");
    }
}

#[test]
fn what_is_no_tls_is_known_at_once() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0", &[0x80, 0x2e, 1, 0, 2], &[22, 2], &[22, 3, 1, 0x40, 1]]
    {
        assert_eq!(outcome(bytes), Outcome::Malformed, "{bytes:?}");
        assert_eq!(Skim::new().feed(bytes), Skimmed::Malformed, "{bytes:?}");
    }
    assert!(begins_like_record(&[]) && begins_like_record(&[22]) && begins_like_record(&[22, 3, 1]));
    assert!(!begins_like_record(b"S") && !begins_like_record(&[22, 4]));
}

#[test]
fn the_length_is_bounded() {
    // The length says more than is ever read.
    assert_eq!(outcome(&records(&[1, 1, 0, 1], 4, [3, 1])), Outcome::Malformed);
    // Many records of one byte: the headers count as well.
    let large = message(Some(&[(51, vec![0; 60_000]), server_name(&[(0, b"a.org")])]));
    assert_eq!(outcome(&records(&large, 1 << 14, [3, 1])), named("a.org"));
    let many = records(&large, 1, [3, 1]);
    let mut reader = Hello::new();
    let mut fed = 0;
    while reader.feed(&many[fed..=fed]) == Outcome::NeedMore {
        fed += 1;
    }
    assert!(fed <= MAX_HELLO_BYTES);
    assert_eq!(outcome(&many), Outcome::Malformed);
    assert_eq!(Skim::new().feed(&many), Skimmed::Malformed);
    assert_eq!(Skim::new().feed(&records(&[1, 1, 0, 1], 4, [3, 1])), Skimmed::Malformed);
}

#[test]
fn what_follows_a_hello_is_kept() {
    let mut bytes = hello(&[server_name(&[(0, b"a.org")])]);
    bytes.extend([20, 3, 3, 0, 1, 1]);
    bytes.extend(vec![9; MAX_HELLO_BYTES]);
    let mut reader = Hello::new();
    assert_eq!(reader.feed(&bytes), named("a.org"));
    assert_eq!(reader.feed(b"more"), named("a.org"));
    assert_eq!(reader.into_bytes(), [&bytes[..], b"more"].concat());
}

/// What a server made of rustls finds in a hello; none when it refuses it.
fn by_rustls(mut bytes: &[u8]) -> Option<Option<String>> {
    let mut acceptor = rustls::server::Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            return Some(accepted.client_hello().server_name().map(str::to_owned));
        }
    }
    None
}

/// A hello in records of so many bytes, with more behind it and a few bytes that are others.
fn spoiled(name: &str, bytes_each: usize, behind: &[u8], others: Vec<(prop::sample::Index, u8)>) -> Vec<u8> {
    let message = message(Some(&[(51, vec![0; 300]), server_name(&[(0, name.as_bytes())])]));
    let mut bytes = records(&message, bytes_each, [3, 1]);
    bytes.extend(behind);
    for (at, byte) in others {
        let at = at.index(bytes.len());
        bytes[at] = byte;
    }
    bytes
}

proptest! {
    #[test]
    fn cutting_the_stream_makes_no_difference(
        name in "[a-z.\\x00]{0,12}",
        garbage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        bytes_each in 1usize..300,
        cuts in proptest::collection::vec(1usize..200, 0..40),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = spoiled(&name, bytes_each, &behind, garbage);
        let whole = outcome(&bytes);
        let mut reader = Hello::new();
        let mut last = Outcome::NeedMore;
        let mut rest = &bytes[..];
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            let said = reader.feed(piece);
            prop_assert!(last == Outcome::NeedMore || last == said);
            last = said;
            rest = behind;
        }
        prop_assert_eq!(reader.feed(rest), whole);
        prop_assert_eq!(reader.into_bytes(), bytes);
    }

    /// Who reads over a hello finds its end where who reads it does.
    #[test]
    fn what_is_read_over_ends_where_it_would_be_whole(
        name in "[a-z.]{0,12}",
        garbage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        bytes_each in 1usize..300,
        piece in 1usize..200,
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = spoiled(&name, bytes_each, &behind, garbage);
        let mut skim = Skim::new();
        let skimmed = bytes.chunks(piece).map(|piece| skim.feed(piece)).last();
        match outcome(&bytes) {
            Outcome::Name(_) => prop_assert_eq!(skimmed, Some(Skimmed::Hello)),
            // What is wrong is seen at once, and not with the end of its record.
            Outcome::NeedMore => prop_assert_ne!(skimmed, Some(Skimmed::Hello)),
            Outcome::Malformed => prop_assert_ne!(skimmed, Some(Skimmed::NeedMore)),
        }
    }

    /// A server that reads something else than the gate would be reached under a name that was not judged.
    #[test]
    fn a_server_never_finds_another_name(
        garbage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        bytes_each in prop_oneof![Just(1usize << 14), 20usize..300],
    ) {
        let whole = real("api.example.com", rustls::ALL_VERSIONS);
        let mut bytes = records(&whole[5..], bytes_each, [3, 1]);
        for (at, byte) in garbage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let (Outcome::Name(ours), Some(theirs)) = (outcome(&bytes), by_rustls(&bytes)) {
            prop_assert_eq!(ours.map(|name| name.to_string()), theirs.map(|name| name.trim_end_matches('.').to_owned()));
        }
    }

    #[test]
    fn any_bytes_have_an_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = outcome(&bytes);
        let _ = outcome(&records(&bytes, 100, [3, 3]));
        let _ = outcome(&records(&[&[1, 0, 0, bytes.len().min(255) as u8], &bytes[..bytes.len().min(255)]].concat(), 100, [3, 3]));
    }
}
