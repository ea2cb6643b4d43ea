//! Signatures that wait for the person.

use crate::fake::{Fake, Said};
use crate::{run, text};

#[test]
fn what_waits_is_shown_with_what_confirms_it_and_is_harmless() {
    let fake = Fake::new(drop);
    let shown = run(&fake, &["confirm"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("agentboxctl confirm abc 3") && shown.contains("login at git"), "{shown}");
    assert!(!shown.contains(['\x1b', '\u{202e}']));
    assert_eq!(text(&run(&fake, &["confirm", "none"]).stdout), "nothing waits to be confirmed\n");
    let json = run(&fake, &["confirm", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json[0]["number"], &json[0]["left_s"]), (&3.into(), &42.into()));
}

#[test]
fn one_signature_is_confirmed_or_declined() {
    let fake = Fake::new(drop);
    assert_eq!(text(&run(&fake, &["confirm", "abc", "3"]).stdout), "confirmed\n");
    assert_eq!(text(&run(&fake, &["confirm", "abc", "4", "--deny"]).stdout), "declined\n");
    let said = fake.said();
    assert!(matches!(&said[0], Said::Confirm(id, 3, true) if id == "abc"));
    assert!(matches!(&said[1], Said::Confirm(id, 4, false) if id == "abc"));
}
