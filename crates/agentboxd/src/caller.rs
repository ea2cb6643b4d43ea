//! Who calls, and what they may ask for.
//!
//! A caller is the process that connected, by the credentials that the kernel took at that moment
//! (unix(7), SO_PEERCRED). What a client says about itself is not looked at.

use crate::supervisor::Supervisor;
use agentbox_ipc::{Error, GROUP};
use agentbox_kernel::person::{self, Person};
use std::os::fd::AsFd;

/// A method of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Start,
    Explain,
    Trust,
    KeptProfiles,
    ResetProfile,
    List,
    Status,
    Attach,
    Exec,
    Stop,
    Allow,
    Deny,
    Why,
    Log,
    VerifyLog,
    Diagnose,
    Repair,
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everybody who may use the supervisor. What is answered is about themselves.
    User,
    /// The same, and the session that is named must be theirs.
    OwnSession,
    /// Root alone.
    Root,
}

/// Every method with its rule. A test holds it against the interface.
pub(crate) const TABLE: [(Method, &str, Rule); 17] = [
    (Method::Start, "Start", Rule::User),
    (Method::Explain, "Explain", Rule::User),
    (Method::Trust, "Trust", Rule::User),
    (Method::KeptProfiles, "KeptProfiles", Rule::User),
    (Method::ResetProfile, "ResetProfile", Rule::User),
    (Method::List, "List", Rule::User),
    (Method::Status, "Status", Rule::OwnSession),
    (Method::Attach, "Attach", Rule::OwnSession),
    (Method::Exec, "Exec", Rule::OwnSession),
    (Method::Stop, "Stop", Rule::OwnSession),
    (Method::Allow, "Allow", Rule::OwnSession),
    (Method::Deny, "Deny", Rule::OwnSession),
    (Method::Why, "Why", Rule::OwnSession),
    (Method::Log, "Log", Rule::User),
    (Method::VerifyLog, "VerifyLog", Rule::User),
    (Method::Diagnose, "Diagnose", Rule::User),
    (Method::Repair, "Repair", Rule::Root),
];

/// Whether somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum Decision {
    /// They may.
    Allowed,
    /// They may not, and why.
    Refused(String),
}

/// Who connected.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Their user id.
    pub(crate) uid: u32,
    access: Decision,
}

impl Caller {
    /// The process at the other end of a socket.
    pub(crate) fn of(socket: impl AsFd, supervisor: &Supervisor) -> std::io::Result<Self> {
        let uid = rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw();
        Ok(Self { uid, access: access(uid, supervisor) })
    }

    /// Whether this is root.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether they may use the supervisor at all.
    pub(crate) fn access(&self) -> &Decision {
        &self.access
    }

    /// Judges a call by the table. Whether a named session is theirs is for [`owns`](Self::owns).
    pub(crate) fn may(&self, method: Method) -> Decision {
        if let Decision::Refused(why) = &self.access {
            return Decision::Refused(why.clone());
        }
        let (_, name, rule) = TABLE[method as usize];
        match rule {
            Rule::User | Rule::OwnSession => Decision::Allowed,
            Rule::Root if self.is_root() => Decision::Allowed,
            Rule::Root => Decision::Refused(format!("refused: {name}\nrule: for root only\nrun it as root")),
        }
    }

    /// Whether a session is theirs to see and touch.
    pub(crate) fn owns(&self, owner_uid: u32) -> bool {
        self.is_root() || self.uid == owner_uid
    }
}

impl Decision {
    /// As the answer of a call.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        match self {
            Self::Allowed => Ok(()),
            Self::Refused(why) => Err(Error::NotAuthorized(why)),
        }
    }
}

fn access(uid: u32, supervisor: &Supervisor) -> Decision {
    // First of all, and whatever any file or group says: agents do not drive their own supervisor.
    if supervisor.lease_range().contains(uid) {
        return Decision::Refused(
            "refused: this user id is one that sessions run under\nrule: uid_range\n\
             start sessions from outside of sessions"
                .to_owned(),
        );
    }
    if uid == 0 {
        return Decision::Allowed;
    }
    let person = match person::by_uid(uid) {
        Ok(Some(person)) => person,
        Ok(None) => return stranger(&format!("user id {uid}")),
        Err(error) => return Decision::Refused(format!("user id {uid} could not be looked up: {error}")),
    };
    // With a configuration that cannot be read nobody is named by it; the group still counts, so that its
    // members can see and stop what runs.
    let named = supervisor
        .configuration
        .as_ref()
        .is_ok_and(|configuration| configuration.system.users().any(|user| user == person.name));
    if named || in_group(&person) { Decision::Allowed } else { stranger(&person.name) }
}

fn in_group(person: &Person) -> bool {
    person::group_id(GROUP)
        .ok()
        .flatten()
        .is_some_and(|group| person.gid == group || person.groups.contains(&group))
}

fn stranger(name: &str) -> Decision {
    Decision::Refused(format!(
        "refused: {name} may not use agentbox\nrule: /etc/agentbox: users, and the group `{GROUP}`\n\
         name the user in `users`, or add them to the group"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, access: Decision) -> Caller {
        Caller { uid, access }
    }

    #[test]
    fn the_table_is_in_the_order_of_the_methods() {
        for (at, (method, _, _)) in TABLE.iter().enumerate() {
            assert_eq!(*method as usize, at, "{method:?}");
        }
    }

    #[test]
    fn who_may_not_use_the_supervisor_may_call_nothing() {
        for uid in [0, 1000] {
            let caller = caller(uid, Decision::Refused("no".into()));
            for (method, name, _) in TABLE {
                assert_eq!(caller.may(method), Decision::Refused("no".into()), "{name}");
            }
        }
    }

    #[test]
    fn root_alone_repairs() {
        assert_eq!(caller(0, Decision::Allowed).may(Method::Repair), Decision::Allowed);
        assert!(matches!(caller(1000, Decision::Allowed).may(Method::Repair), Decision::Refused(_)));
    }

    #[test]
    fn sessions_belong_to_their_owner_and_to_root() {
        assert!(caller(1000, Decision::Allowed).owns(1000));
        assert!(!caller(1000, Decision::Allowed).owns(1001));
        assert!(!caller(1000, Decision::Allowed).owns(0));
        assert!(caller(0, Decision::Allowed).owns(1001));
    }
}
