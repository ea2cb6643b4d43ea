//! What is said about a session's network, and what is asked for it.

use crate::fake::{self, Fake, Said};
use crate::{run, text};
use agentbox_plan::Exit;
use agentbox_plan::console::FromConsole;
use serde_json::Value;

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_supervisor_played_here_has_the_published_interface() {
    let published = include_str!("../../../agentbox-ipc/interface.xml");
    assert_eq!(fake::introspection().trim(), published.trim());
}

#[test]
fn rules_of_a_live_session_are_changed_by_name_and_for_a_time() {
    let fake = Fake::new(drop);
    for (arguments, words) in [
        (
            &["allow", "abc", "github.com:22", "--for", "10m"][..],
            "abc may reach github.com:22 for 10m; it has 15 rules now\n",
        ),
        (&["allow", "abc", "@npm"], "abc may reach @npm until it ends; it has 15 rules now\n"),
        (
            &["deny", "abc", "*.a.org"],
            "abc may not reach *.a.org until it ends; 2 connections were cut; it has 16 rules now\n",
        ),
    ] {
        let done = run(&fake, arguments);
        assert_eq!((done.status.code(), text(&done.stdout), text(&done.stderr)), (Some(0), words, ""));
    }
    let said = fake.said();
    assert!(matches!(&said[0], Said::Allow(id, target, 600_000) if id == "abc" && target == "github.com:22"));
    assert!(matches!(&said[1], Said::Allow(_, target, 0) if target == "@npm"));
    assert!(matches!(&said[2], Said::Deny(id, target) if id == "abc" && target == "*.a.org"));
    let answer = json(&run(&fake, &["deny", "abc", "a.org", "--json"]).stdout);
    assert_eq!(answer, serde_json::json!({ "target": "a.org", "rules": 16, "cut": 2 }));
    assert_eq!(json(&run(&fake, &["allow", "abc", "a.org", "--for", "90s", "--json"]).stdout)["cut"], 0);
    assert!(matches!(fake.said().last(), Some(Said::Allow(_, _, 90_000))));
}

#[test]
fn a_rule_above_the_ceiling_is_refused_with_its_remedy() {
    let fake = Fake::new(drop);
    let refused = run(&fake, &["allow", "abc", "above.org"]);
    let expected =
        "agentboxctl: refused: above.org\n  rule: /etc/agentbox/agentbox.toml: ceiling.allow\n  ask root\n";
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(1), expected));
    assert!(refused.stdout.is_empty());
}

#[test]
fn one_learns_why() {
    let fake = Fake::new(drop);
    let host = run(&fake, &["why", "abc", "evil.org"]);
    let words = "evil.org:443 is refused: no rule allows it\n  remedy  agentboxctl allow abc evil.org\n";
    assert_eq!((host.status.code(), text(&host.stdout)), (Some(0), words));
    let path = run(&fake, &["why", "abc", "/home/me/.cargo"]);
    let words = "/home/me/.cargo can be read, not changed\n  rule    read ~/.cargo\n  from    /etc/\\x1b: profile.w.read\n";
    assert_eq!(text(&path.stdout), words);
    let answer = json(&run(&fake, &["why", "abc", "/home/me/.cargo", "--json"]).stdout);
    assert_eq!((&answer["access"], &answer["allowed"]), (&"read-only".into(), &true.into()));
    assert!(matches!(&fake.said()[0], Said::Why(id, what) if id == "abc" && what == "evil.org"));
}

#[test]
fn a_slip_is_told_before_anybody_is_asked() {
    let fake = Fake::new(drop);
    for (arguments, status, words) in [
        (&["allow", "abc", "https://a.org/x\x1b"][..], 2, "write the host only"),
        (&["allow", "abc", "host"], 2, "host:5432"),
        (&["allow", "abc", "a.org", "--for", "0s"], 2, "until the session ends"),
        (&["why", "abc", "a/b"], 2, "a path begins with `/`"),
        (&["start", fake.project(), "--publish", "0.0.0.0:80"], 125, "127.0.0.1"),
        (&["start", fake.project(), "--deny", "*.org"], 125, "two labels"),
    ] {
        let refused = run(&fake, arguments);
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}");
        let told = text(&refused.stderr);
        assert!(told.contains(words) && !told.contains('\x1b'), "{told}");
    }
    assert!(fake.said().is_empty());
}

#[test]
fn a_start_brings_its_rules_and_ports_and_tells_the_network() {
    let fake = Fake::new(|mut console| console.say(&FromConsole::Exited(Exit::Code { status: 0 })));
    let arguments = [
        "start",
        fake.project(),
        "--verbose",
        "--network",
        "allowlist",
        "--allow",
        "github.com:22",
        "--allow",
        "@npm",
        "--deny",
        "evil.org",
        "--publish",
        "3000",
        "--publish",
        "8080:8000",
        "--",
        "x",
    ];
    let started = run(&fake, &arguments);
    let banner = text(&started.stderr);
    assert!(banner.contains("\n  network public: any public name; internal ranges refused\n"), "{banner}");
    assert!(banner.contains("\n  http://127.0.0.1:8080 → 3000\n"), "{banner}");
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert_eq!(request.options.network, Some(agentbox_policy::Network::Allowlist));
    let allow: Vec<_> = request.options.allow.iter().map(ToString::to_string).collect();
    let deny: Vec<_> = request.options.deny.iter().map(ToString::to_string).collect();
    let publish: Vec<_> = request.options.publish.iter().map(ToString::to_string).collect();
    assert_eq!((allow, deny), (vec!["github.com:22".into(), "@npm".into()], vec!["evil.org".to_owned()]));
    assert_eq!(publish, ["3000", "8080:8000"]);
}

#[test]
fn list_and_status_show_what_the_network_did() {
    let fake = Fake::new(drop);
    let list = run(&fake, &["list"]);
    let head = text(&list.stdout).lines().next().unwrap();
    assert!(head.contains("MEMORY   DENIED"), "{head}");
    assert!(text(&list.stdout).lines().nth(1).unwrap().contains("5.0 MiB  7"), "{}", text(&list.stdout));
    assert_eq!(json(&run(&fake, &["list", "--json"]).stdout)[0]["denied"], 7);
    let status = run(&fake, &["status", "abc"]);
    let shown = text(&status.stdout);
    let rows: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in [
        "network allowlist, 15 rules",
        "gate process 4711, restarted 1 time",
        "sent 2.0 KiB",
        "received 5.0 MiB",
        "denied 7 times",
        "published http://127.0.0.1:8080 → 3000",
        "DESTINATION SENT RECEIVED DENIED",
        "github.com 2.0 KiB 5.0 MiB 0",
        "evil\\u{9b}\\x1b.org 0 B 0 B 7",
        "network allowlist posture L2",
    ] {
        assert!(rows.iter().any(|shown| shown == row), "{row} in {shown}");
    }
    let status = json(&run(&fake, &["status", "abc", "--json"]).stdout);
    assert_eq!(status["network"]["destinations"][1]["denied"], 7);
    assert_eq!(status["network"]["published"][0]["inside"], 3000);
}

#[test]
fn the_log_tells_events_of_the_network_in_words() {
    let fake = Fake::new(drop);
    fake.event(
        r#""event":"net-denied","destination":"evil\u001b.org","port":443,"reason":"not-listed","rule":null,"origin":null,"other":null,"count":3"#,
    );
    fake.event(r#""event":"rule-added","verdict":"allow","target":"a.org","for_ms":600000,"caller_uid":0,"cut":0,"note":"x""#);
    fake.event(r#""event":"of-tomorrow","what":"y""#);
    let log = run(&fake, &["log", "abc"]);
    let lines: Vec<&str> = text(&log.stdout).lines().skip(3).collect();
    assert_eq!(
        lines,
        [
            "1970-01-01T00:00:00.000Z  net-denied    evil\\x1b.org:443: no rule allows it; 3 times",
            "1970-01-01T00:00:00.000Z  rule-added    allow a.org for 10m; by user id 0 note=x",
            "1970-01-01T00:00:00.000Z  of-tomorrow   owner_uid=1000 what=y",
        ]
    );
}
