//! What is signed for whom, in the words of the protocol; and any bytes at all.

mod served;

use super::answer::{chosen_keys, fingerprint, is_signature};
use super::judge::{Asked, Judge};
use super::read::Reader;
use super::verify::verify;
use agentbox_plan::Ids;
use agentbox_plan::keys::{Fingerprint, HostKey, KeyReason, KeysPlan, KnownHost, Purpose};
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::process::{Command, Stdio};
use std::rc::Rc;

const USER_KEY: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20the key of the person, 32 bytes.";
const RSA_KEY: &[u8] = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\0\x02\x7f\xff";
const OTHER_KEY: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20another key, which is not chosen";
const SESSION: &[u8] = &[7; 32];

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A host with a key of Ed25519.
struct Host(Ed25519KeyPair);

impl Host {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
    fn key(&self) -> Vec<u8> {
        [string(b"ssh-ed25519"), string(self.0.public_key().as_ref())].concat()
    }
    fn binding(&self, session: &[u8], forwarding: u8) -> Vec<u8> {
        let signature = [string(b"ssh-ed25519"), string(self.0.sign(session).as_ref())].concat();
        let name = string(b"session-bind@openssh.com");
        [&[27], &name[..], &string(&self.key()), &string(session), &string(&signature), &[forwarding]]
            .concat()
    }
}

fn plan(sign_git: bool) -> Rc<KeysPlan> {
    let known = |name: &str, seed: u8| KnownHost {
        host: name.parse().unwrap(),
        keys: vec![HostKey::new(Host::new(seed).key()).unwrap()],
    };
    Rc::new(KeysPlan {
        session: "abc".parse().unwrap(),
        ids: Ids { uid: 1, gid: 1, groups: vec![] },
        client_uid: 2,
        keys: vec![fingerprint(USER_KEY), fingerprint(RSA_KEY)],
        hosts: vec![known("a.org", 1), known("b.org:2222", 2)],
        sign_git,
    })
}

fn request(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    [&[13], &string(key)[..], &string(data), &flags.to_be_bytes()].concat()
}

fn login(session: &[u8], key: &[u8], host_key: Option<&[u8]>) -> Vec<u8> {
    let method: &[u8] =
        if host_key.is_some() { b"publickey-hostbound-v00@openssh.com" } else { b"publickey" };
    let mut data = string(session);
    data.push(50);
    for part in [b"git", &b"ssh-connection"[..], method] {
        data.extend(string(part));
    }
    data.push(1);
    data.extend(string(b"ssh-ed25519"));
    data.extend(string(key));
    data.extend(host_key.map(string).into_iter().flatten());
    data
}

fn namespace(name: &[u8]) -> Vec<u8> {
    [b"SSHSIG", &string(name)[..], &string(b""), &string(b"sha512"), &string(&[1; 64])].concat()
}

/// What the last of these messages may do.
fn last(plan: Rc<KeysPlan>, messages: &[Vec<u8>]) -> Asked {
    let mut judge = Judge::new(plan);
    messages.iter().map(|message| judge.judge(message)).last().unwrap()
}

fn reason(asked: Asked) -> Option<KeyReason> {
    match asked {
        Asked::Refused { reason, .. } => Some(reason),
        _ => None,
    }
}

#[test]
fn a_login_is_signed_for_a_chosen_host_that_proved_itself() {
    let (host, other) = (Host::new(2), Host::new(9));
    let key = fingerprint(USER_KEY);
    let signed = Asked::Sign { key, purpose: Purpose::Login { host: 1 } };
    for host_key in [None, Some(host.key())] {
        let data = login(SESSION, USER_KEY, host_key.as_deref());
        assert_eq!(last(plan(false), &[host.binding(SESSION, 0), request(USER_KEY, &data, 0)]), signed);
    }
    let data = login(SESSION, USER_KEY, None);
    for (messages, why) in [
        (vec![], KeyReason::Unbound),
        (vec![other.binding(SESSION, 0)], KeyReason::OtherHost),
        (vec![host.binding(&[8; 32], 0)], KeyReason::OtherSession),
        (vec![host.binding(SESSION, 1)], KeyReason::Forwarded),
        // Behind the first machine there is another one.
        (vec![Host::new(1).binding(&[9; 32], 0), host.binding(SESSION, 0)], KeyReason::Forwarded),
        (vec![host.binding(SESSION, 0), host.binding(&[9; 32], 0)], KeyReason::Forwarded),
        (vec![host.binding(&[1; 8], 0)], KeyReason::Malformed),
    ] {
        let messages = [messages, vec![request(USER_KEY, &data, 0)]].concat();
        assert_eq!(reason(last(plan(true), &messages)), Some(why), "{why:?}");
    }
    // The same binding twice is one.
    let twice = [host.binding(SESSION, 0), host.binding(SESSION, 0), request(USER_KEY, &data, 0)];
    assert_eq!(last(plan(false), &twice), signed);
}

#[test]
fn a_binding_is_worth_what_the_signature_of_the_host_is() {
    let host = Host::new(1);
    let good = host.binding(SESSION, 0);
    assert_eq!(last(plan(false), std::slice::from_ref(&good)), Asked::Bound);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_ne!(last(plan(false), &[bad]), Asked::Bound, "byte {at}");
        assert_ne!(last(plan(false), &[good[..at].to_vec()]), Asked::Bound, "{at} bytes");
    }
    // Another host's signature, by a host that is chosen too.
    let signature = Host::new(2).binding(SESSION, 0);
    let mixed = [&good[..good.len() - 84], &signature[signature.len() - 84..]].concat();
    assert_eq!(reason(last(plan(false), &[mixed])), Some(KeyReason::BadBinding));
}

#[test]
fn a_key_that_is_not_listed_signs_nothing() {
    let host = Host::new(1);
    let data = login(SESSION, OTHER_KEY, None);
    let asked = last(plan(true), &[host.binding(SESSION, 0), request(OTHER_KEY, &data, 0)]);
    assert_eq!(reason(asked), Some(KeyReason::KeyNotListed));
    // Nor does one key log in as another.
    let asked = last(plan(true), &[host.binding(SESSION, 0), request(USER_KEY, &data, 0)]);
    assert_eq!(reason(asked), Some(KeyReason::NotPermitted));
    let asked = last(plan(true), &[request(OTHER_KEY, &namespace(b"git"), 0)]);
    assert_eq!(reason(asked), Some(KeyReason::KeyNotListed));
}

#[test]
fn git_signs_where_it_is_permitted_and_no_other_namespace_does() {
    let key = fingerprint(USER_KEY);
    let git = request(USER_KEY, &namespace(b"git"), 0);
    assert_eq!(last(plan(true), std::slice::from_ref(&git)), Asked::Sign { key, purpose: Purpose::Git });
    assert_eq!(reason(last(plan(false), &[git])), Some(KeyReason::NotPermitted));
    for name in [&b"file"[..], b"", b"gi", b"git ", b"GIT", b"git\0"] {
        let asked = last(plan(true), &[request(USER_KEY, &namespace(name), 0)]);
        assert_eq!(reason(asked), Some(KeyReason::NotPermitted), "{name:?}");
    }
    let mut longer = namespace(b"git");
    longer.push(0);
    for data in [b"SSHSIG".to_vec(), longer, b"".to_vec(), b"anything at all".to_vec()] {
        let asked = last(plan(true), &[request(USER_KEY, &data, 0)]);
        assert_eq!(reason(asked), Some(KeyReason::NotPermitted), "{data:?}");
    }
}

#[test]
fn what_is_to_be_signed_says_in_full_what_it_is_for() {
    let git = |reserved: &[u8], hash: &[u8]| {
        [b"SSHSIG", &string(b"git")[..], &string(reserved), &string(b"sha512"), &string(hash)].concat()
    };
    let host = Host::new(2);
    let good = login(SESSION, USER_KEY, None);
    // Behind the session's id: the number of the request, and behind three strings whether it has a signature.
    let number = 4 + SESSION.len();
    let signed = number
        + 1
        + [&b"git"[..], b"ssh-connection", b"publickey"].map(|part| 4 + part.len()).iter().sum::<usize>();
    let with = |at: usize, byte: u8| {
        let mut data = good.clone();
        data[at] = byte;
        data
    };
    let service = good.windows(14).position(|bytes| bytes == b"ssh-connection").unwrap();
    let mut without_algorithm = good[..=signed].to_vec();
    without_algorithm.extend([string(b""), string(USER_KEY)].concat());
    for (data, why, what) in [
        (git(b"x", &[1; 64]), KeyReason::NotPermitted, "something reserved"),
        (git(b"", &[1; 32]), KeyReason::NotPermitted, "a hash of another length"),
        (with(number, 51), KeyReason::NotPermitted, "another request"),
        (with(service, b'S'), KeyReason::NotPermitted, "another service"),
        (with(signed, 0), KeyReason::NotPermitted, "without a signature"),
        (without_algorithm, KeyReason::NotPermitted, "without an algorithm"),
        (login(SESSION, USER_KEY, Some(&Host::new(1).key())), KeyReason::OtherSession, "another host"),
    ] {
        let asked = last(plan(true), &[host.binding(SESSION, 0), request(USER_KEY, &data, 0)]);
        assert_eq!(reason(asked), Some(why), "{what}");
    }
    let longer = [request(USER_KEY, &good, 0), vec![0]].concat();
    assert_eq!(reason(last(plan(true), &[host.binding(SESSION, 0), longer])), Some(KeyReason::Malformed));
}

#[test]
fn a_key_of_rsa_does_not_sign_with_sha_1() {
    let data = namespace(b"git");
    assert_eq!(reason(last(plan(true), &[request(RSA_KEY, &data, 0)])), Some(KeyReason::Sha1));
    for flags in [2, 4] {
        assert_eq!(reason(last(plan(true), &[request(RSA_KEY, &data, flags)])), None);
    }
    assert_eq!(reason(last(plan(true), &[request(RSA_KEY, &data, 8)])), Some(KeyReason::Malformed));
}

#[test]
fn everything_else_is_refused() {
    assert_eq!(last(plan(true), &[vec![11]]), Asked::List);
    for number in (0..=255_u8).filter(|number| ![11, 13, 27].contains(number)) {
        for rest in [&b""[..], b"\0\0\0\x01a"] {
            let asked = last(plan(true), &[[&[number], rest].concat()]);
            assert_eq!(reason(asked), Some(KeyReason::Request), "{number}");
        }
    }
    for name in ["query", "restrict-destination-v00@openssh.com", "session-bind@openssh.com "] {
        let asked = last(plan(true), &[[&[27], &string(name.as_bytes())[..]].concat()]);
        assert_eq!(reason(asked), Some(KeyReason::Request), "{name}");
    }
    for bad in [&b""[..], b"\x0b\0", b"\x0d", b"\x1b", b"\x1b\xff\xff\xff\xff", b"\x0d\0\0\0\x02a"] {
        assert_eq!(reason(last(plan(true), &[bad.to_vec()])), Some(KeyReason::Malformed), "{bad:?}");
    }
    // A connection for another machine is told nothing.
    assert_eq!(
        reason(last(plan(true), &[Host::new(1).binding(SESSION, 1), vec![11]])),
        Some(KeyReason::Forwarded)
    );
}

#[test]
fn the_list_has_chosen_keys_and_no_comments() {
    let list = |keys: &[(&[u8], &[u8])]| {
        let mut answer = vec![12];
        answer.extend(u32::try_from(keys.len()).unwrap().to_be_bytes());
        keys.iter().for_each(|(key, comment)| answer.extend([string(key), string(comment)].concat()));
        answer
    };
    let chosen = [fingerprint(USER_KEY)];
    let told = chosen_keys(&list(&[(OTHER_KEY, b"a"), (USER_KEY, b"/home/me"), (OTHER_KEY, b"b")]), &chosen);
    assert_eq!(told, list(&[(USER_KEY, b"agentbox")]));
    assert_eq!(chosen_keys(&list(&[(OTHER_KEY, b"a")]), &chosen), list(&[]));
    let mut longer = list(&[(USER_KEY, b"x")]);
    longer.push(0);
    let mut other = list(&[(USER_KEY, b"x")]);
    other[0] = 13;
    let too_many = list(&vec![(&b""[..], &b""[..]); 4097]);
    for bad in [&b""[..], b"\x05", b"\x0c\xff\xff\xff\xff", &longer, &other, &too_many] {
        assert_eq!(chosen_keys(bad, &chosen), [5], "{bad:?}");
    }
    assert!(is_signature(&[&[14], &string(b"x")[..]].concat()));
    for bad in [&b""[..], b"\x0e", b"\x05", b"\x0e\0\0\0\x01ab", b"\x0c\0\0\0\0"] {
        assert!(!is_signature(bad), "{bad:?}");
    }
}

/// A key, what ssh-keygen(1) signed with it, and the signature.
fn signed(kind: &[&str]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("key");
    let keygen = |arguments: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command.args(arguments).arg("-f").arg(&path).stdin(Stdio::null());
        command
    };
    assert!(keygen(&[&["-q", "-N", "", "-t"], kind].concat()).status().unwrap().success());
    let file = place.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let mut sign = keygen(&["-Y", "sign", "-n", "x", "-q"]);
    assert!(sign.arg(&file).output().unwrap().status.success());
    let armored = std::fs::read_to_string(place.path().join("file.sig")).unwrap();
    let text: String = armored.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = base64(&text);
    let mut parts = Reader::new(&bytes[6 + 4..]);
    let (key, namespace) = (parts.string().unwrap(), parts.string().unwrap());
    let (reserved, algorithm, signature) =
        (parts.string().unwrap(), parts.string().unwrap(), parts.string().unwrap());
    let hash = ring::digest::digest(&ring::digest::SHA512, b"text");
    let data = [string(namespace), string(reserved), string(algorithm), string(hash.as_ref())].concat();
    (key.to_vec(), [b"SSHSIG", &data[..]].concat(), signature.to_vec())
}

/// By the program that everybody has.
fn base64(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut decoder =
        Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    decoder.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    decoder.wait_with_output().unwrap().stdout
}

#[test]
fn signatures_of_every_kind_of_host_key_are_verified() {
    for kind in [
        &["ed25519"][..],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["rsa", "-b", "2048"],
        &["rsa", "-b", "4096"],
    ] {
        // Numbers of ECDSA have leading zeros now and then.
        for _ in 0..if kind[0] == "ecdsa" { 12 } else { 1 } {
            let (key, data, signature) = signed(kind);
            assert_eq!(verify(&key, &data, &signature), Ok(()), "{kind:?}");
            let mut other = data.clone();
            other[8] ^= 1;
            assert_eq!(verify(&key, &other, &signature), Err(KeyReason::BadBinding), "{kind:?}");
            let end = signature.len() - 1;
            assert!(verify(&key, &data, &signature[..end]).is_err());
            let mut changed = signature.clone();
            changed[end] ^= 1;
            assert!(verify(&key, &data, &changed).is_err());
        }
    }
    for kind in [&["ecdsa", "-b", "521"][..], &["rsa", "-b", "1024"]] {
        let (key, data, signature) = signed(kind);
        assert!(verify(&key, &data, &signature).is_err(), "{kind:?}");
    }
    // The curve is said twice, the second time behind the kind.
    let (mut key, data, signature) = signed(&["ecdsa", "-b", "256"]);
    let at = key.windows(8).rposition(|bytes| bytes == b"nistp256").unwrap();
    key[at..at + 8].copy_from_slice(b"nistp384");
    assert_eq!(verify(&key, &data, &signature), Err(KeyReason::Malformed));
    let (key, data, _) = signed(&["ed25519"]);
    let (_, _, other) = signed(&["ed25519"]);
    assert_eq!(verify(&key, &data, &other), Err(KeyReason::BadBinding));
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    let key =
        || prop_oneof![Just(USER_KEY.to_vec()), Just(OTHER_KEY.to_vec()), Just(RSA_KEY.to_vec()), bytes()];
    let session = || prop_oneof![Just(SESSION.to_vec()), Just(vec![9; 32]), bytes()];
    let host = || prop_oneof![Just(None), (0..4_u8).prop_map(|seed| Some(Host::new(seed).key()))];
    let data = prop_oneof![
        (session(), key(), host()).prop_map(|(session, key, host)| login(&session, &key, host.as_deref())),
        prop_oneof![Just(b"git".to_vec()), bytes()].prop_map(|name| namespace(&name)),
        bytes(),
    ];
    prop_oneof![
        (key(), data, prop_oneof![Just(0), Just(2), any::<u32>()])
            .prop_map(|(key, data, flags)| request(&key, &data, flags)),
        (0..4_u8, session(), 0..3_u8)
            .prop_map(|(seed, session, flag)| Host::new(seed).binding(&session, flag)),
        bytes(),
    ]
}

proptest! {
    /// Whatever is said in whatever order: what is signed is by a listed key, and for git where that is permitted
    /// or for a session of ssh whose host is chosen and proved itself on this connection before.
    #[test]
    fn nothing_is_signed_for_another_key_or_an_unbound_connection(
        messages in proptest::collection::vec(any_message(), 1..12), sign_git in any::<bool>(),
    ) {
        let plan = plan(sign_git);
        let mut judge = Judge::new(Rc::clone(&plan));
        let mut bound = Vec::new();
        for message in &messages {
            let asked = judge.judge(message);
            if let Asked::Bound = asked {
                let hosts = (0..2_u8).filter(|host| {
                    [SESSION.to_vec(), vec![9; 32]].iter().any(|session| Host::new(host + 1).binding(session, 0) == *message)
                        || message.windows(51).any(|window| window == Host::new(host + 1).key())
                });
                bound.extend(hosts.map(u16::from));
            }
            if let Asked::Sign { key, purpose } = asked {
                let listed: &[Fingerprint] = &plan.keys;
                prop_assert!(listed.contains(&key));
                let named = [USER_KEY, RSA_KEY].iter().any(|key| message[1..].starts_with(&string(key)));
                prop_assert!(named);
                match purpose {
                    Purpose::Git => prop_assert!(sign_git && message.windows(13).any(|window| window == b"SSHSIG\0\0\0\x03git")),
                    Purpose::Login { host } => prop_assert!(bound.contains(&host)),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_judged(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..6),
    ) {
        let mut judge = Judge::new(plan(true));
        for message in &messages {
            let asked = judge.judge(message);
            let is_signed = matches!(asked, Asked::Sign { .. });
            prop_assert!(!is_signed);
            let told = chosen_keys(message, &[]);
            prop_assert!(told == [5] || told == [12, 0, 0, 0, 0]);
            let _ = is_signature(message);
            let _ = verify(message, message, message);
        }
    }
}
