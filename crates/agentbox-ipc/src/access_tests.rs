//! The table, said a second time: whoever weakens a row of it, or of a file that is made of it, has to do so here as well.

use super::*;

#[test]
fn the_table_is_in_the_order_of_the_methods() {
    for (at, (method, _, _, _)) in METHODS.iter().enumerate() {
        assert_eq!(*method as usize, at, "{method:?}");
    }
}

#[test]
fn every_method_is_in_the_policy_of_the_bus_and_behind_an_action_of_polkit() {
    let (bus, polkit) = (bus_policy(), polkit_actions());
    for (method, name, rule, action) in METHODS {
        assert!(bus.contains(&format!("send_member=\"{name}\"")), "{name}");
        if SESSION_METHODS.contains(&method) {
            let session = format!("send_interface=\"{SESSION_INTERFACE}\"\n      send_member=\"{name}\"");
            assert!(bus.contains(&session), "{name}");
        }
        match (rule, action) {
            (Rule::User, None) => {}
            (_, Some(action)) => {
                assert!(polkit.contains(&format!("<action id=\"{}\">", action.id())), "{name}");
            }
            // Nobody stands in for the person whose key or project it is.
            (Rule::OwnSession, None) => assert!(
                matches!(method, Method::Confirm | Method::Review | Method::Reviewed | Method::Discard),
                "{name}"
            ),
            _ => panic!("{method:?} has a rule that nobody can be asked about"),
        }
    }
    for described in ACTIONS {
        let used = METHODS.iter().any(|(_, _, _, action)| *action == Some(described.action));
        assert!(used, "{}", described.id);
    }
}

#[test]
fn what_widens_is_asked_for_each_time() {
    for described in ACTIONS {
        if described.action != Action::Inspect {
            assert!(!described.active.ends_with("_keep"), "{}", described.id);
        }
    }
}

#[test]
fn the_files_that_are_installed_are_made_of_this_table() {
    let file = |name: &str| {
        let path = format!("{}/../../dist/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let hint = "`cargo xtask dist` writes it anew";
    assert_eq!(file("usr/share/dbus-1/system.d/org.agentbox1.conf"), bus_policy(), "{hint}");
    assert_eq!(file("usr/share/polkit-1/actions/org.agentbox1.policy"), polkit_actions(), "{hint}");
}

/// Methods that are about the caller's own things alone.
const OWN: [Method; 13] = [
    Method::Start,
    Method::Explain,
    Method::Trust,
    Method::KeptProfiles,
    Method::ResetProfile,
    Method::List,
    Method::Changes,
    Method::Log,
    Method::VerifyLog,
    Method::Diagnose,
    Method::Subscribe,
    Method::Unsubscribe,
    Method::Repair,
];
/// What is seen of somebody else's session, what is done to it, and what is nobody else's at all.
const SEEN: [Method; 5] =
    [Method::Status, Method::Why, Method::Notices, Method::Report, Method::Confirmations];
const DONE: [Method; 6] =
    [Method::Attach, Method::Exec, Method::Stop, Method::Deny, Method::Freeze, Method::Thaw];
const NOBODYS: [Method; 4] = [Method::Review, Method::Reviewed, Method::Discard, Method::Confirm];
/// What a person at the machine shows for each action; nobody else does with less than an administrator.
const SHOWN: [(&str, &str); 5] = [
    ("inspect", "auth_admin_keep"),
    ("control", "auth_admin"),
    ("widen", "auth_admin"),
    ("start-unconfined", "auth_self"),
    ("repair", "auth_admin"),
];

type Row = (Method, &'static str, Rule, Option<Action>);

/// Whether this row is the one that is meant.
fn is_meant((method, _, rule, action): Row) -> bool {
    let meant = match method {
        Method::Repair => (Rule::Root, Some(Action::Repair)),
        Method::Start => (Rule::User, Some(Action::Unconfined)),
        Method::Allow => (Rule::OwnSession, Some(Action::Widen)),
        _ if SEEN.contains(&method) => (Rule::OwnSession, Some(Action::Inspect)),
        _ if DONE.contains(&method) => (Rule::OwnSession, Some(Action::Control)),
        _ if NOBODYS.contains(&method) => (Rule::OwnSession, None),
        _ if OWN.contains(&method) => (Rule::User, None),
        _ => return false,
    };
    meant == (rule, action)
}

/// Each element of a file, without the white space between its parts.
fn elements(text: &str) -> Vec<String> {
    let parts = text.split('<').skip(1).map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    parts.filter(|part| !part.starts_with(['/', '!', '?'])).map(|part| format!("<{part}")).collect()
}

/// What the policy of the bus lets anybody but root do, element by element.
fn bus_is_meant(text: &str) -> bool {
    let name = "org.agentbox1";
    let mut meant: Vec<String> = ["<busconfig>", "<policy user=\"root\">"].map(str::to_owned).into();
    meant.extend(
        ["own", "send_destination", "receive_sender"].map(|what| format!("<allow {what}=\"{name}\"/>")),
    );
    meant.push("<policy context=\"default\">".to_owned());
    meant.push(format!("<deny send_destination=\"{name}\"/>"));
    let call = |path: &str, interface: &str, member: &str| {
        format!(
            "<allow send_destination=\"{name}\"{path} send_interface=\"{interface}\" send_member=\"{member}\" \
             send_type=\"method_call\"/>"
        )
    };
    for (interface, member) in
        [("Introspectable", "Introspect"), ("Peer", "Ping"), ("Properties", "Get"), ("Properties", "GetAll")]
    {
        meant.push(call("", &format!("org.freedesktop.DBus.{interface}"), member));
    }
    let root = " send_path=\"/org/agentbox1\"";
    meant.extend(METHODS.iter().map(|(_, member, ..)| call(root, "org.agentbox1.Manager", member)));
    meant.extend(SESSION_METHODS.iter().map(|method| call("", "org.agentbox1.Session", method.name())));
    meant.push(format!("<allow receive_sender=\"{name}\"/>"));
    elements(text) == meant
}

fn actions_are_meant(text: &str) -> bool {
    let plain = |element: &String| !element.starts_with("<description>") && !element.starts_with("<message>");
    let found: Vec<_> = elements(text).into_iter().filter(plain).collect();
    let mut meant: Vec<String> = ["<policyconfig>", "<vendor>agentbox"].map(str::to_owned).into();
    for (action, active) in SHOWN {
        meant.push(format!("<action id=\"org.agentbox1.{action}\">"));
        meant.push("<defaults>".to_owned());
        meant.extend(["any", "inactive"].map(|who| format!("<allow_{who}>auth_admin")));
        meant.push(format!("<allow_active>{active}"));
    }
    found == meant
}

/// A weaker row, in words.
type Weaker = (String, bool);

/// Every row with another rule or another action than it has.
fn other_rows() -> Vec<Weaker> {
    let actions = [Action::Inspect, Action::Control, Action::Widen, Action::Unconfined, Action::Repair];
    let actions: Vec<Option<Action>> = actions.map(Some).into_iter().chain([None]).collect();
    let mut all = Vec::new();
    for (method, name, rule, action) in METHODS {
        for other in [Rule::User, Rule::OwnSession, Rule::Root].into_iter().filter(|other| *other != rule) {
            all.push((format!("{name}: {other:?}"), is_meant((method, name, other, action))));
        }
        for other in actions.iter().filter(|other| **other != action) {
            all.push((format!("{name}: {other:?}"), is_meant((method, name, rule, *other))));
        }
    }
    all
}

/// Every element of the policy of the bus without one of its conditions, or away.
fn wider_bus() -> Vec<Weaker> {
    let text = bus_policy();
    let mut all = Vec::new();
    let default = text.find("<policy context").unwrap();
    for (at, _) in text[default..].match_indices(" send_").map(|(at, word)| (default + at, word)) {
        let end = at + text[at..].find("\" ").or_else(|| text[at..].find("\"/")).unwrap() + 1;
        let condition = text[at..end].split_whitespace().collect::<Vec<_>>().join(" ");
        let before = text[..at].rsplit_once('<').unwrap().1.split_whitespace().next().unwrap();
        let wider = [&text[..at], &text[end..]].concat();
        let line = 1 + text[..at].matches('\n').count();
        all.push((format!("bus, line {line}: {before} without {condition}"), bus_is_meant(&wider)));
    }
    for (what, from, to) in [
        (
            "everybody has the name",
            "<policy context=\"default\">",
            "<policy context=\"default\"><allow own=\"org.agentbox1\"/>",
        ),
        ("everybody is root", "<policy user=\"root\">", "<policy context=\"default\">"),
        ("nothing is refused", "<deny send_destination=\"org.agentbox1\"/>", ""),
        ("everybody sends everything", "<deny send_destination", "<allow send_destination"),
        ("everybody sets properties", "send_member=\"GetAll\"", "send_member=\"Set\""),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        all.push((format!("bus: {what}"), bus_is_meant(&text.replace(from, to))));
    }
    all
}

/// Every default of every action as something less.
fn weaker_actions() -> Vec<Weaker> {
    let text = polkit_actions();
    let mut all = Vec::new();
    for (at, _) in text.match_indices("<allow_") {
        let (tag, rest) = text[at + 1..].split_once('>').unwrap();
        let (is, _) = rest.split_once('<').unwrap();
        let action = text[..at].rsplit_once("action id=\"").unwrap().1.split('"').next().unwrap();
        for less in
            ["yes", "auth_self", "auth_self_keep", "auth_admin_keep"].iter().filter(|less| **less != is)
        {
            let start = at + tag.len() + 2;
            let weaker = [&text[..start], less, &text[start + is.len()..]].concat();
            all.push((format!("{action}: {tag} {less}"), actions_are_meant(&weaker)));
        }
    }
    all
}

#[test]
fn every_row_that_is_weakened_is_noticed() {
    for (method, name, rule, action) in METHODS {
        assert!(is_meant((method, name, rule, action)), "{name}");
    }
    assert!(bus_is_meant(&bus_policy()) && actions_are_meant(&polkit_actions()));
    let all = [other_rows(), wider_bus(), weaker_actions()].concat();
    let mut missed = Vec::new();
    for (what, is_meant) in &all {
        println!("{what:<70} {}", if *is_meant { "MISSED" } else { "noticed" });
        if *is_meant {
            missed.push(what);
        }
    }
    println!("{} of {} red", all.len() - missed.len(), all.len());
    assert!(missed.is_empty(), "{missed:#?}");
}
