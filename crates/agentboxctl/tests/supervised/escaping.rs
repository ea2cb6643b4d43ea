//! Nothing that an agent or a project named reaches the terminal as anything but text.

use crate::fake::{Fake, Said};
use crate::{run, text};

#[test]
fn lists_logs_and_findings_are_escaped() {
    let fake = Fake::new(drop);
    for (arguments, status) in [
        (&["list"][..], 0),
        (&["list", "--json"], 0),
        (&["log"], 0),
        (&["log", "--json"], 0),
        (&["explain", fake.project()], 0),
        (&["explain", fake.project(), "--json"], 0),
        (&["status", "abc"], 0),
        (&["status", "abc", "--json"], 0),
        (&["why", "abc", "/x"], 0),
        (&["why", "abc", "/x", "--json"], 0),
        (&["doctor"], 1),
        (&["doctor", "--json"], 1),
        (&["doctor", "--repair"], 0),
        (&["log", "--verify"], 1),
        (&["stop", "abc", "--timeout", "2s"], 0),
        (&["stop", "--all"], 0),
    ] {
        let shown = run(&fake, arguments);
        assert_eq!(shown.status.code(), Some(status), "{arguments:?}: {}", text(&shown.stderr));
        for stream in [&shown.stdout, &shown.stderr] {
            assert!(
                !text(stream).contains(['\x1b', '\u{202e}', '\u{9b}']),
                "{arguments:?}: {:?}",
                text(stream)
            );
        }
        if arguments.contains(&"--json") && arguments[0] != "log" {
            assert!(serde_json::from_slice::<serde_json::Value>(&shown.stdout).is_ok(), "{arguments:?}");
        }
    }
    let stops: Vec<_> = fake.said().into_iter().filter(|said| matches!(said, Said::Stop(..))).collect();
    assert!(
        matches!(&stops[..], [Said::Stop(one, 2000), Said::Stop(all, 10_000)] if one == "abc" && all == "abc")
    );
    let log = run(&fake, &["log"]);
    assert_eq!(text(&log.stdout).lines().count(), 3, "both answers of the supervisor: {}", text(&log.stdout));
}
