//! Every method of the interface with who may call it: one table, from which the supervisor judges, and the
//! policy of the system bus and the actions of polkit in `dist/` are generated.

use crate::{BUS_NAME, INTERFACE, PATH, SESSION_INTERFACE};
use std::fmt::Write;

/// A method of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `Start`
    Start,
    /// `Explain`
    Explain,
    /// `Trust`
    Trust,
    /// `KeptProfiles`
    KeptProfiles,
    /// `ResetProfile`
    ResetProfile,
    /// `List`
    List,
    /// `Status`
    Status,
    /// `Attach`
    Attach,
    /// `Exec`
    Exec,
    /// `Stop`
    Stop,
    /// `Changes`
    Changes,
    /// `Review`
    Review,
    /// `Reviewed`
    Reviewed,
    /// `Discard`
    Discard,
    /// `Allow`
    Allow,
    /// `Deny`
    Deny,
    /// `Why`
    Why,
    /// `Freeze`
    Freeze,
    /// `Thaw`
    Thaw,
    /// `Notices`
    Notices,
    /// `Report`
    Report,
    /// `Confirmations`
    Confirmations,
    /// `Confirm`
    Confirm,
    /// `Log`
    Log,
    /// `VerifyLog`
    VerifyLog,
    /// `Diagnose`
    Diagnose,
    /// `Repair`
    Repair,
    /// `Subscribe`
    Subscribe,
    /// `Unsubscribe`
    Unsubscribe,
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody who may use the supervisor. What is answered is about themselves.
    User,
    /// The same, and the session that is named must be theirs.
    OwnSession,
    /// Root alone.
    Root,
}

/// What polkit is asked for where a rule alone refuses. Nobody is asked in embedded mode: there the rule
/// decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See somebody else's session.
    Inspect,
    /// Use or end somebody else's session.
    Control,
    /// Let a session reach what the ceiling of the configuration closes.
    Widen,
    /// Start a session that is not confined.
    Unconfined,
    /// Remove what ended sessions left.
    Repair,
}

/// Every method with its name, its rule and the action that may stand in for it.
pub const METHODS: [(Method, &str, Rule, Option<Action>); 29] = [
    (Method::Start, "Start", Rule::User, Some(Action::Unconfined)),
    (Method::Explain, "Explain", Rule::User, None),
    // Of whom these are, each says itself.
    (Method::Trust, "Trust", Rule::User, None),
    (Method::KeptProfiles, "KeptProfiles", Rule::User, None),
    (Method::ResetProfile, "ResetProfile", Rule::User, None),
    (Method::List, "List", Rule::User, None),
    (Method::Status, "Status", Rule::OwnSession, Some(Action::Inspect)),
    (Method::Attach, "Attach", Rule::OwnSession, Some(Action::Control)),
    (Method::Exec, "Exec", Rule::OwnSession, Some(Action::Control)),
    (Method::Stop, "Stop", Rule::OwnSession, Some(Action::Control)),
    (Method::Changes, "Changes", Rule::User, None),
    // Nobody but its owner and root takes what a session wrote.
    (Method::Review, "Review", Rule::OwnSession, None),
    (Method::Reviewed, "Reviewed", Rule::OwnSession, None),
    (Method::Discard, "Discard", Rule::OwnSession, None),
    (Method::Allow, "Allow", Rule::OwnSession, Some(Action::Widen)),
    (Method::Deny, "Deny", Rule::OwnSession, Some(Action::Control)),
    (Method::Why, "Why", Rule::OwnSession, Some(Action::Inspect)),
    (Method::Freeze, "Freeze", Rule::OwnSession, Some(Action::Control)),
    (Method::Thaw, "Thaw", Rule::OwnSession, Some(Action::Control)),
    (Method::Notices, "Notices", Rule::OwnSession, Some(Action::Inspect)),
    (Method::Report, "Report", Rule::OwnSession, Some(Action::Inspect)),
    // Nobody agrees to a signature with another person's key.
    (Method::Confirmations, "Confirmations", Rule::OwnSession, Some(Action::Inspect)),
    (Method::Confirm, "Confirm", Rule::OwnSession, None),
    (Method::Log, "Log", Rule::User, None),
    (Method::VerifyLog, "VerifyLog", Rule::User, None),
    (Method::Diagnose, "Diagnose", Rule::User, None),
    (Method::Repair, "Repair", Rule::Root, Some(Action::Repair)),
    // Of which sessions they are told, each subscriber is asked for itself.
    (Method::Subscribe, "Subscribe", Rule::User, None),
    (Method::Unsubscribe, "Unsubscribe", Rule::User, None),
];

/// Methods that a session's own object has too, without its id. They are its owner's and root's there.
pub const SESSION_METHODS: [Method; 13] = [
    Method::Status,
    Method::Attach,
    Method::Exec,
    Method::Stop,
    Method::Allow,
    Method::Deny,
    Method::Why,
    Method::Freeze,
    Method::Thaw,
    Method::Notices,
    Method::Confirmations,
    Method::Confirm,
    Method::Log,
];

impl Method {
    /// Its name on the bus.
    #[must_use]
    pub fn name(self) -> &'static str {
        METHODS[self as usize].1
    }

    /// Who may call it.
    #[must_use]
    pub fn rule(self) -> Rule {
        METHODS[self as usize].2
    }

    /// What polkit is asked for where the rule refuses.
    #[must_use]
    pub fn action(self) -> Option<Action> {
        METHODS[self as usize].3
    }
}

/// An action with what a person reads about it.
struct Described {
    action: Action,
    id: &'static str,
    description: &'static str,
    message: &'static str,
    /// What a person at the machine has to show; everybody else shows that they are an administrator.
    active: &'static str,
}

/// Widening and control are asked for each time: an answer that is kept would be there for the next program
/// of the same person too.
const ACTIONS: [Described; 5] = [
    Described {
        action: Action::Inspect,
        id: "org.agentbox1.inspect",
        description: "See somebody else's session of an agent",
        message: "Authentication is required to see a session of another user",
        active: "auth_admin_keep",
    },
    Described {
        action: Action::Control,
        id: "org.agentbox1.control",
        description: "Use or end somebody else's session of an agent",
        message: "Authentication is required to use or end a session of another user",
        active: "auth_admin",
    },
    Described {
        action: Action::Widen,
        id: "org.agentbox1.widen",
        description: "Let a session of an agent reach more than the configuration allows",
        message: "Authentication is required to let a session reach more than the configuration allows",
        active: "auth_admin",
    },
    Described {
        action: Action::Unconfined,
        id: "org.agentbox1.start-unconfined",
        description: "Start an agent without confinement",
        message: "Authentication is required to start an agent that is not confined",
        active: "auth_self",
    },
    Described {
        action: Action::Repair,
        id: "org.agentbox1.repair",
        description: "Remove what ended sessions of agents left behind",
        message: "Authentication is required to remove what ended sessions left behind",
        active: "auth_admin",
    },
];

impl Action {
    /// Its id for polkit.
    #[must_use]
    pub fn id(self) -> &'static str {
        ACTIONS.iter().find(|described| described.action == self).map_or("", |described| described.id)
    }
}

const HEADER: &str = "  Written by `cargo xtask dist` from crates/agentbox-ipc/src/access.rs.";

/// The policy of the system bus: everything is refused but these methods. Who may call which of them is
/// judged by the supervisor, which knows the configuration.
#[must_use]
pub fn bus_policy() -> String {
    let mut text = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n  \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<!--\n{HEADER}\n-->\n<busconfig>\n  \
         <policy user=\"root\">\n    <allow own=\"{BUS_NAME}\"/>\n    <allow send_destination=\"{BUS_NAME}\"/>\n    \
         <allow receive_sender=\"{BUS_NAME}\"/>\n  </policy>\n  <policy context=\"default\">\n    \
         <deny send_destination=\"{BUS_NAME}\"/>\n"
    );
    let mut allow = |path: &str, interface: &str, member: &str| {
        let path = if path.is_empty() { String::new() } else { format!(" send_path=\"{path}\"") };
        let _ = writeln!(
            text,
            "    <allow send_destination=\"{BUS_NAME}\"{path} send_interface=\"{interface}\"\n      \
             send_member=\"{member}\" send_type=\"method_call\"/>"
        );
    };
    // Of any object: a session's answers only who may see it.
    for (interface, member) in [
        ("org.freedesktop.DBus.Introspectable", "Introspect"),
        ("org.freedesktop.DBus.Peer", "Ping"),
        ("org.freedesktop.DBus.Properties", "Get"),
        ("org.freedesktop.DBus.Properties", "GetAll"),
    ] {
        allow("", interface, member);
    }
    for (_, name, _, _) in METHODS {
        allow(PATH, INTERFACE, name);
    }
    for method in SESSION_METHODS {
        allow("", SESSION_INTERFACE, method.name());
    }
    let _ = write!(text, "    <allow receive_sender=\"{BUS_NAME}\"/>\n  </policy>\n</busconfig>\n");
    text
}

/// The actions of polkit.
#[must_use]
pub fn polkit_actions() -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE policyconfig PUBLIC \"-//freedesktop//DTD PolicyKit Policy \
         Configuration 1.0//EN\"\n  \"http://www.freedesktop.org/standards/PolicyKit/1/policyconfig.dtd\">\n<!--\n{HEADER}\n-->\n\
         <policyconfig>\n  <vendor>agentbox</vendor>\n"
    );
    for Described { id, description, message, active, .. } in ACTIONS {
        let _ = write!(
            text,
            "  <action id=\"{id}\">\n    <description>{description}</description>\n    <message>{message}</message>\n    \
             <defaults>\n      <allow_any>auth_admin</allow_any>\n      <allow_inactive>auth_admin</allow_inactive>\n      \
             <allow_active>{active}</allow_active>\n    </defaults>\n  </action>\n"
        );
    }
    text.push_str("</policyconfig>\n");
    text
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
