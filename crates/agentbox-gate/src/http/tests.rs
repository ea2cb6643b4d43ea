//! Requests as clients send them, and as an attacker would who wants another host behind an allowed one.

use super::*;
use crate::relay::{Expected, Refusal};
use agentbox_plan::net::{Destination, Mode, Reason, Rule, Rules, Verdict};
use proptest::prelude::*;
use std::rc::Rc;

fn expected(host: &str) -> Expected {
    let destination = match host.parse() {
        Ok(address) => Destination::Address { address },
        Err(_) => Destination::Name { name: host.parse().unwrap() },
    };
    let rule = Rule {
        verdict: Verdict::Allow,
        target: "a.org".parse().unwrap(),
        internal: false,
        origin: "/home/\u{1b}[31mx/agentbox.toml: allow\nevil".into(),
    };
    Expected { destination, port: 80, rules: Rc::new(Rules { mode: Mode::Allowlist, rules: vec![rule] }) }
}

/// What went on, and how it ended.
fn judge(expected: &Expected, bytes: &[u8]) -> (Vec<u8>, Result<Want, Refusal>) {
    let mut forward = Vec::new();
    let result = Requests::new().feed(expected, bytes, &mut forward);
    (forward, result)
}

fn reason(text: &str) -> Option<Reason> {
    judge(&expected("a.org"), text.as_bytes()).1.err().map(|refusal| refusal.reason)
}

#[test]
fn requests_for_the_host_go_on_unchanged() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:A.Org.:80\r\nAccept: */*\r\n\r\n",
        "GET http://A.ORG/x HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET HTTP://a.org:80?q HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET //evil.com/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.org\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: a.org\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=\"y\"\r\nabcde\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n",
        "GET /1 HTTP/1.1\r\nHost: a.org\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\n\r\nx\r\nGET /2 HTTP/1.1\r\nHost: a.org\r\n\r\n",
    ] {
        assert_eq!(
            judge(&expected("a.org"), text.as_bytes()),
            (text.as_bytes().to_vec(), Ok(Want::More)),
            "{text}"
        );
    }
}

#[test]
fn another_host_is_refused_wherever_it_stands() {
    let mismatch = Some(Reason::NameMismatch);
    for (text, expected) in [
        ("GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: a.org.evil.com\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: x.a.org\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: a.org:8080\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", mismatch),
        ("GET http://evil.com/ HTTP/1.1\r\nHost: a.org\r\n\r\n", mismatch),
        ("GET http://a.org/ HTTP/1.1\r\nHost: evil.com\r\n\r\n", mismatch),
        ("GET http://a.org:81/ HTTP/1.1\r\nHost: a.org\r\n\r\n", mismatch),
        ("GET / HTTP/1.1\r\nHost: a.org\r\n\r\nGET / HTTP/1.1\r\nHost: evil.com\r\n\r\n", mismatch),
        (
            "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: evil.com\r\n\r\n",
            mismatch,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: evil.com\r\n\r\n",
            mismatch,
        ),
        ("GET / HTTP/1.1\r\n\r\n", Some(Reason::NoName)),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Some(Reason::NoName)),
        ("GET / HTTP/1.0\r\n\r\n", Some(Reason::NoName)),
        ("GET http://a.org/ HTTP/1.0\r\n\r\n", Some(Reason::NoName)),
    ] {
        assert_eq!(reason(text), expected, "{text}");
    }
    let refusal = judge(&expected("a.org"), b"GET / HTTP/1.1\r\nHost: Evil.com\r\n\r\n").1.unwrap_err();
    assert_eq!(refusal.other, Some("evil.com".parse().unwrap()));
}

/// Each is read in two ways by servers that exist, or is no HTTP/1 at all.
#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    let head = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a.org\r\n{headers}\r\n\r\n");
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for text in [
        // Both lengths, several lengths, lengths that are none.
        head("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        head("Content-Length: 5\r\nContent-Length: 6"),
        head("Content-Length: 5\r\nContent-Length: 5"),
        head("Content-Length: 5, 5"),
        head("Content-Length: +5"),
        head("Content-Length: -1"),
        head("Content-Length: 0x5"),
        head("Content-Length:"),
        head("Content-Length: 99999999999999999999"),
        head("Content_Length: 5"),
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: identity"),
        head("Transfer-Encoding: xchunked"),
        head("Transfer-Encoding: \"chunked\""),
        head("Transfer_Encoding: chunked"),
        head("Transfer-Encoding : chunked"),
        head("Transfer-Encoding:\u{b}chunked"),
        "POST / HTTP/1.0\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        // Lines.
        head("X: a\r\n b"),
        head("X: a\n Content-Length: 5"),
        head("X: a\nTransfer-Encoding: chunked"),
        head("X: a\rTransfer-Encoding: chunked"),
        head("X: a\0"),
        head(" X: a"),
        head("X"),
        head(": a"),
        "GET / HTTP/1.1\nHost: a.org\n\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org\r\n\n".to_owned(),
        "\r\nGET / HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org\r\n\r\n\r\n\r\n".to_owned(),
        // Hosts.
        head("Host: a.org"),
        head("Host: evil.com"),
        "GET / HTTP/1.1\r\n Host: a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost : a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org:080\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org, evil.com\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org evil.com\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org/evil\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: evil.com@a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org:80x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org:\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.org:65616\r\n\r\n".to_owned(),
        "GET http://a.org@evil.com/ HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET http://a.org\\@evil.com/ HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET https://a.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET evil.com HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        // Methods and versions.
        "CONNECT evil.com:443 HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "CONNECT / HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.2\r\nHost: a.org\r\n\r\n".to_owned(),
        "GET / HTTP/1.1 \r\nHost: a.org\r\n\r\n".to_owned(),
        // Chunks.
        chunked("5 \r\nabcde\r\n0\r\n\r\n"),
        chunked("0x5\r\nabcde\r\n0\r\n\r\n"),
        chunked("+5\r\nabcde\r\n0\r\n\r\n"),
        chunked("5;a\rb\r\nabcde\r\n0\r\n\r\n"),
        chunked("\r\nabcde\r\n"),
        chunked("5\nabcde\r\n0\r\n\r\n"),
        chunked("5;a\nb\r\nabcde\r\n0\r\n\r\n"),
        chunked("5\r\nabcdeX\r\n0\r\n\r\n"),
        chunked("5\r\nabcde0\r\n\r\n"),
        chunked("5\r\nabcde\n0\r\n\r\n"),
        chunked("1000000000000000\r\n"),
        chunked(&format!("5;{}\r\n", "x".repeat(300))),
        chunked("0\r\nContent-Length: 5\r\n\r\n"),
        chunked("0\r\nHost: evil.com\r\n\r\n"),
        chunked("0\r\nno field\r\n\r\n"),
    ] {
        assert_eq!(reason(&text), Some(Reason::Malformed), "{text:?}");
    }
}

#[test]
fn at_an_address_the_host_is_the_address_or_what_the_rules_allow() {
    for (at, host, expected_reason) in [
        ("1.2.3.4", "1.2.3.4", None),
        ("1.2.3.4", "a.org", None),
        ("1.2.3.4", "b.org", Some(Reason::NotListed)),
        ("1.2.3.4", "1.2.3.5", Some(Reason::NameMismatch)),
        ("2620:fe::fe", "[2620:fe::fe]:80", None),
        ("2620:fe::fe", "[2620:fe::fe]:81", Some(Reason::NameMismatch)),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let said = judge(&expected(at), text.as_bytes()).1.err().map(|refusal| refusal.reason);
        assert_eq!(said, expected_reason, "{host} at {at}");
    }
    assert_eq!(judge(&expected("1.2.3.4"), b"GET / HTTP/1.0\r\n\r\n").1, Ok(Want::More));
    let host = Expected { destination: Destination::HostLoopback, ..expected("a.org") };
    assert_eq!(judge(&host, b"GET / HTTP/1.1\r\nHost: localhost:3000\r\n\r\n").1, Ok(Want::More));
    let two = b"GET http://a.org/ HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n";
    assert_eq!(judge(&expected("1.2.3.4"), two).1, Err(Refusal::because(Reason::Malformed)));
}

#[test]
fn nothing_goes_on_behind_a_request_for_another_protocol_before_the_answer() {
    let expected = expected("a.org");
    let ask = b"GET / HTTP/1.1\r\nHost: a.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let behind = b"GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n";
    for is_upgraded in [true, false] {
        let (mut requests, mut forward) = (Requests::new(), Vec::new());
        let bytes = [&ask[..], behind].concat();
        assert_eq!(requests.feed(&expected, &bytes, &mut forward), Ok(Want::Answer));
        assert_eq!(forward, ask);
        let result = requests.answered(&expected, is_upgraded, &mut forward);
        if is_upgraded {
            assert_eq!((result, &forward), (Ok(Want::Nothing), &bytes));
        } else {
            assert_eq!(result.unwrap_err().reason, Reason::NameMismatch);
            assert_eq!(forward, ask);
        }
    }
    // With a body; and behind another request, where the answer would not be known from others.
    let body = b"POST / HTTP/1.1\r\nHost: a.org\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(judge(&expected, body), (body.to_vec(), Ok(Want::Answer)));
    let second = [&b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n"[..], ask].concat();
    assert_eq!(judge(&expected, &second), (second.clone(), Ok(Want::More)));
    assert_eq!(
        judge(&expected, &[&second[..], b"\x81\x05hello"].concat()).1.unwrap_err().reason,
        Reason::Malformed
    );
}

#[test]
fn only_a_101_is_an_answer_that_changes_the_protocol() {
    for (text, answered) in [
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02", Answered::Upgraded),
        ("HTTP/1.1 101 \r\n\r\n", Answered::Upgraded),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 X\r\n\r\n", Answered::Upgraded),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Answered::Stays),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 X\r\n\r\n", Answered::Stays),
        ("HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n", Answered::Http2),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket, H2C\r\n\r\n", Answered::Http2),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n", Answered::NeedMore),
        ("HTTP/1.1 100 Continue\r\n\r\n", Answered::NeedMore),
        ("\x16\x03\x01\x00\n", Answered::Stays),
        ("", Answered::NeedMore),
    ] {
        assert_eq!(Upgrade::new().feed(text.as_bytes()), answered, "{text:?}");
        let mut upgrade = Upgrade::new();
        let mut last = Answered::NeedMore;
        for byte in text.bytes() {
            if last == Answered::NeedMore {
                last = upgrade.feed(&[byte]);
            }
        }
        assert_eq!(last, answered, "{text:?} in pieces");
    }
}

#[test]
fn what_is_held_is_bounded() {
    let expected = expected("a.org");
    let mut endless = b"GET / HTTP/1.1\r\nHost: a.org\r\nX: ".to_vec();
    endless.resize(MAX_HEAD_BYTES + 1, b'x');
    assert_eq!(judge(&expected, &endless).1.unwrap_err().reason, Reason::Malformed);
    let many = format!("GET / HTTP/1.1\r\nHost: a.org\r\n{}\r\n", "X: y\r\n".repeat(300));
    assert_eq!(judge(&expected, many.as_bytes()).1.unwrap_err().reason, Reason::Malformed);
    // A body is not held at all.
    let (mut requests, mut forward) = (Requests::new(), Vec::new());
    let head = b"PUT / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(requests.feed(&expected, head, &mut forward), Ok(Want::Body(1_000_000)));
    requests.passed(999_999);
    assert_eq!(requests.feed(&expected, b"xGET", &mut forward), Ok(Want::More));
    assert_eq!(forward, [&head[..], b"x"].concat());
}

#[test]
fn a_refusal_names_rule_and_remedy_in_harmless_lines() {
    let session = "abc".parse().unwrap();
    let expected = expected("evil.com");
    let said = |refusal: &Refusal| {
        String::from_utf8(response(&Words { session: &session, expected: &expected, refusal })).unwrap()
    };
    let text = said(&Refusal::because(Reason::NotListed));
    assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{text}");
    assert!(
        text.contains("no rule allows it") && text.contains("agentboxctl allow abc evil.com\n"),
        "{text}"
    );
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\nConnection: close", body.len())));
    let text = said(&Refusal { reason: Reason::Denied, rule: Some(0), other: None });
    assert!(text.contains("\nrule:   a.org (/home/\\u{1b}[31mx/agentbox.toml: allow\\nevil)\n"), "{text}");
    assert!(said(&Refusal::because(Reason::NotFound)).starts_with("HTTP/1.1 502 "));
    assert!(said(&Refusal::because(Reason::Malformed)).starts_with("HTTP/1.1 400 "));
    let other = Refusal { reason: Reason::NameMismatch, rule: None, other: Some("b.org".parse().unwrap()) };
    assert!(said(&other).contains("named:  b.org\n"));
    for (reason, remedy) in [
        (Reason::Budget, "start with a larger `upload_max`"),
        (Reason::NameBudget, "start with a larger `name_upload_max`"),
        (Reason::Internal, "name it in `internal` of the profile: internal = [\"evil.com\"]"),
        (Reason::OnLink, "name it in `internal` of the profile: internal = [\"evil.com\"]"),
        (Reason::OwnAddress, "name it in `internal` of the profile: internal = [\"evil.com\"]"),
    ] {
        let text = said(&Refusal::because(reason));
        assert!(text.contains(&format!("\nremedy: {remedy}\n")), "{text}");
    }
}

/// Parts of requests, so that streams of them are often almost right.
const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST http://a.org/ HTTP/1.1\r\n",
    "Host: a.org\r\n",
    "Host: evil.com\r\n",
    "Upgrade: websocket\r\n",
    "Content-Length: 4\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X: y\r\n",
    "\r\n",
    "4\r\nabcd\r\n",
    "0\r\n",
    "abcd",
    "\n",
    "\r",
    "HTTP/1.1 101 X\r\n",
];

proptest! {
    #[test]
    fn cutting_the_stream_makes_no_difference(
        parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..16),
        begins_well in any::<bool>(),
        cuts in proptest::collection::vec(1usize..40, 0..30),
        at_address in any::<bool>(),
    ) {
        let begin = if begins_well { "POST / HTTP/1.1\r\nHost: a.org\r\n" } else { "" };
        let bytes = [begin, &parts.concat()].concat().into_bytes();
        let expected = expected(if at_address { "1.2.3.4" } else { "a.org" });
        let whole = judge(&expected, &bytes);
        let (mut requests, mut forward) = (Requests::new(), Vec::new());
        let mut rest = &bytes[..];
        let mut result = Ok(Want::More);
        for cut in cuts {
            if rest.is_empty() || result.is_err() {
                break;
            }
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            // Half of the bodies go past the judge.
            match result {
                Ok(Want::Body(left)) if left as usize >= piece.len() && cut % 2 == 0 => {
                    requests.passed(piece.len() as u64);
                    forward.extend_from_slice(piece);
                    result = requests.feed(&expected, &[], &mut forward);
                }
                _ => result = requests.feed(&expected, piece, &mut forward),
            }
            rest = behind;
        }
        if result.is_ok() {
            result = requests.feed(&expected, rest, &mut forward);
        }
        prop_assert_eq!((forward, result), whole);
    }

    /// Whatever goes on is a beginning of what came; and no head that goes on names another host.
    #[test]
    fn what_goes_on_is_what_came(parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..16)) {
        let bytes = parts.concat().into_bytes();
        let (forward, _) = judge(&expected("a.org"), &bytes);
        prop_assert!(bytes.starts_with(&forward));
        let text = String::from_utf8(forward).unwrap();
        prop_assert!(!text.split("\r\n\r\n").next().unwrap().contains("evil"));
    }

    #[test]
    fn any_bytes_have_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = judge(&expected("a.org"), &bytes);
        let _ = judge(&expected("a.org"), &[b"POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat());
        let _ = Upgrade::new().feed(&bytes);
    }

    #[test]
    fn a_host_that_passes_is_the_name(host in "[aA]?[.]?[oO]?rg[.:@/ 80\\x00-\\x20]{0,4}") {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        if judge(&expected("a.org"), text.as_bytes()).1.is_ok() {
            let bare = host.trim().trim_end_matches("80").trim_end_matches(':').trim_end_matches('.');
            prop_assert_eq!(bare.to_ascii_lowercase(), "a.org");
        }
    }
}
