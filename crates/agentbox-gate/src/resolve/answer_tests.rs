use super::*;
use crate::resolve::forge::{Forged, asked};
use crate::resolve::question::{Family, wire_name};
use proptest::prelude::*;

fn a_org() -> Asked {
    asked("a.org", Family::V4)
}

fn forged(code: u8) -> Forged {
    Forged::to(&a_org().to_bytes(true), code)
}

fn read(forged: Forged) -> Result<Reply, AnswerError> {
    read_answer(&forged.0, &a_org())
}

fn addresses(list: &[&str], ttl: u32) -> Result<Reply, AnswerError> {
    let addresses = list.iter().map(|text| text.parse().unwrap()).collect();
    Ok(Reply::Addresses { addresses, ttl })
}

#[test]
fn addresses_are_read_once_each_with_the_shortest_time() {
    let answer = forged(0)
        .address("a.org", "9.9.9.9", 300)
        .address("A.ORG", "8.8.8.8", 20)
        .address("a.org", "9.9.9.9", 300);
    assert_eq!(read(answer), addresses(&["9.9.9.9", "8.8.8.8"], 20));
    let v6 = asked("a.org", Family::V6);
    let answer = Forged::to(&v6.to_bytes(false), 0).address("a.org", "2001:db8::1", 7);
    assert_eq!(read_answer(&answer.0, &v6), addresses(&["2001:db8::1"], 7));
}

#[test]
fn the_question_may_come_back_in_any_case() {
    let mut answer = forged(0).address("a.org", "9.9.9.9", 1);
    answer.0[13] = b'A';
    assert_eq!(read(answer), addresses(&["9.9.9.9"], 1));
}

#[test]
fn what_belongs_to_another_question_is_a_stray() {
    let good = forged(0).address("a.org", "6.6.6.6", 60);
    let with = |at: usize, byte: u8| {
        let mut answer = good.clone();
        answer.0[at] = byte;
        answer
    };
    for (answer, what) in [
        (with(1, 0x35), "another id"),
        (with(2, 0x01), "a question"),
        (with(2, 0xa1), "another kind of request"),
        (with(13, b'b'), "another name"),
        (with(20, 28), "another type"),
        (with(22, 3), "another class"),
        (with(5, 2), "two questions"),
        (with(5, 0), "no question"),
        (Forged(good.0[..11].to_vec()), "less than a header"),
        (Forged(good.0[..20].to_vec()), "half a question"),
    ] {
        assert_eq!(read(answer), Err(AnswerError::Stray), "{what}");
    }
}

#[test]
fn records_about_others_are_not_believed() {
    let answer = forged(0).address("b.org", "6.6.6.6", 60).address("x.a.org", "6.6.6.7", 60);
    assert_eq!(read(answer), Ok(Reply::NoData { ttl: None }));
    let answer =
        forged(0).alias("b.org", "c.org", 60).address("a.org", "9.9.9.9", 60).address("c.org", "6.6.6.6", 60);
    assert_eq!(read(answer), addresses(&["9.9.9.9"], 60));
    // Of another class than the internet: behind it are the time, a length and four bytes.
    let mut chaos = forged(0).address("a.org", "6.6.6.6", 60);
    let at = chaos.0.len() - 11;
    chaos.0[at] = 3;
    assert_eq!(read(chaos), Ok(Reply::NoData { ttl: None }));
}

#[test]
fn aliases_are_followed_in_whatever_order_they_come() {
    let answer =
        forged(0).address("c.org", "9.9.9.9", 60).alias("b.org", "c.org", 5).alias("a.org", "B.org", 60);
    assert_eq!(read(answer), addresses(&["9.9.9.9"], 5));
    assert_eq!(read(forged(0).chain("a.org", 16, "9.9.9.9")), addresses(&["9.9.9.9"], 60));
}

#[test]
fn more_than_sixteen_aliases_and_circles_are_not_followed() {
    assert_eq!(read(forged(0).chain("a.org", 17, "9.9.9.9")), Err(AnswerError::Aliases));
    assert_eq!(read(forged(0).alias("a.org", "a.org", 60)), Err(AnswerError::Aliases));
    let circle = forged(0).alias("a.org", "b.org", 60).alias("b.org", "a.org", 60);
    assert_eq!(read(circle), Err(AnswerError::Aliases));
}

#[test]
fn a_chain_without_an_address_at_its_end_is_to_be_asked_for() {
    let name = wire_name(&"c.org".parse().unwrap()).unwrap();
    let chain = || forged(0).alias("a.org", "b.org", 60).alias("b.org", "c.org", 50);
    assert_eq!(read(chain()), Ok(Reply::Alias { name, aliases: 14, ttl: 50 }));
    // With an authority there is nothing to be asked for.
    assert_eq!(read(chain().authority("org", 30, 20)), Ok(Reply::NoData { ttl: Some(20) }));
}

#[test]
fn nothing_is_told_from_no_such_name() {
    assert_eq!(read(forged(3).authority("org", 30, 900)), Ok(Reply::NotFound { ttl: Some(30) }));
    assert_eq!(read(forged(3).alias("a.org", "b.org", 60)), Ok(Reply::NotFound { ttl: None }));
    assert_eq!(read(forged(0)), Ok(Reply::NoData { ttl: None }));
    for code in [1, 2, 4, 5, 9] {
        assert_eq!(read(forged(code)), Err(AnswerError::Code(code)));
    }
    // Who understood nothing does not repeat the question.
    let mut bare = forged(1);
    bare.0.truncate(12);
    bare.0[5] = 0;
    assert_eq!(read(bare), Err(AnswerError::Code(1)));
}

#[test]
fn a_truncated_answer_is_not_read() {
    let mut answer = forged(0).address("a.org", "9.9.9.9", 60);
    answer.0[2] |= 2;
    assert_eq!(read(answer), Ok(Reply::Truncated));
}

#[test]
fn an_answer_that_ends_within_a_record_is_malformed() {
    let answer = forged(0).address("a.org", "9.9.9.9", 60).alias("x.org", "y.org", 60);
    let records = Forged::to(&a_org().to_bytes(true), 0).0.len();
    for length in records..answer.0.len() {
        assert_eq!(read(Forged(answer.0[..length].to_vec())), Err(AnswerError::Malformed), "{length} bytes");
    }
}

#[test]
fn records_that_do_not_hold_what_their_type_says_are_malformed() {
    assert_eq!(read(forged(0).raw("a.org", 1, &[9, 9, 9])), Err(AnswerError::Malformed));
    assert_eq!(read(forged(0).raw("a.org", 1, &[9, 9, 9, 9, 9])), Err(AnswerError::Malformed));
    assert_eq!(read(forged(0).raw("a.org", 5, b"\x01b\x03org\0x")), Err(AnswerError::Malformed));
    assert_eq!(read(forged(0).raw("a.org", 5, b"\x09b")), Err(AnswerError::Malformed));
    // A name that points at itself, forwards, and back to where it began.
    let at = forged(0).raw("a.org", 5, b"").0.len() as u8;
    for data in [&[0xc0, at][..], &[0xc0, at + 2, 0xc0, at], &[1, b'x', 0xc0, at], &[0xc0, 0xff]] {
        assert_eq!(read(forged(0).raw("a.org", 5, data)), Err(AnswerError::Malformed), "{data:?}");
    }
}

#[test]
fn a_flood_of_records_is_not_read_to_its_end() {
    let mut answer = forged(0);
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x09\x09\x09\x09";
    for _ in 0..4000 {
        answer.0.extend_from_slice(record);
    }
    answer.0[6..8].copy_from_slice(&4000u16.to_be_bytes());
    assert_eq!(read(answer), Err(AnswerError::Malformed));
    let mut answer = forged(0);
    for last in 0..200 {
        answer = answer.address("a.org", &format!("9.9.9.{last}"), 60);
    }
    let Ok(Reply::Addresses { addresses, .. }) = read(answer) else { panic!("addresses") };
    assert_eq!(addresses.len(), MAX_ADDRESSES);
}

/// The worst that a stream can carry: names that are chains of pointers, in every record.
#[test]
fn the_most_laborious_answer_takes_little_time() {
    let mut answer = forged(0);
    for at in 0..255 {
        // Each owner points at the one before it.
        let before = if at == 0 { 12 } else { answer.0.len() - 16 };
        answer.0.extend_from_slice(&(0xc000 | before as u16).to_be_bytes());
        answer.0.extend_from_slice(b"\0\x05\0\x01\0\0\0\x3c\0\x04\x01y\xc0\x0c");
    }
    answer.0[6..8].copy_from_slice(&255u16.to_be_bytes());
    let begun = std::time::Instant::now();
    let _ = read(answer);
    assert!(begun.elapsed() < std::time::Duration::from_millis(200));
}

fn any_answer() -> impl Strategy<Value = Forged> {
    const NAMES: &[&str] = &["a.org", "b.org", "c.org", "x.a.org"];
    let name = || proptest::sample::select(NAMES);
    let record = prop_oneof![
        (name(), name()).prop_map(|(owner, target)| (owner, Some(target), None)),
        (name(), any::<IpAddr>()).prop_map(|(owner, address)| (owner, None, Some(address))),
    ];
    (0u8..6, proptest::collection::vec(record, 0..8)).prop_map(|(code, records)| {
        records.into_iter().fold(forged(code), |forged, (owner, target, address)| match (target, address) {
            (Some(target), _) => forged.alias(owner, target, 9),
            (None, Some(address)) => forged.address(owner, &address.to_string(), 9),
            (None, None) => forged,
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_answer(&bytes, &a_org());
    }

    #[test]
    fn a_changed_answer_is_one_or_none(
        answer in any_answer(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = answer.0;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_answer(&bytes, &a_org());
        let _ = read_answer(&bytes[..cut.index(bytes.len())], &a_org());
    }

    #[test]
    fn addresses_are_of_the_family_that_was_asked_for(answer in any_answer()) {
        match read(answer) {
            Ok(Reply::Addresses { addresses, .. }) => {
                prop_assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv4));
            }
            Ok(Reply::Alias { aliases, name, .. }) => {
                prop_assert!(aliases < 16 && name != a_org().name);
            }
            _ => {}
        }
    }
}
