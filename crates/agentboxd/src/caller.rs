//! Who calls, and what they may ask for.
//!
//! A caller is the process that connected, by the credentials that the kernel took at that moment: of a
//! socket of ours (unix(7), SO_PEERCRED), or as the system bus tells them (GetConnectionCredentials). What a
//! client says about itself is not looked at. On the bus polkit may allow what the rules do not.

use crate::calls::Calls;
use crate::objects::is_there;
use crate::supervisor::Supervisor;
use crate::system::polkit::Subject;
use agentbox_ipc::{Action, Error, GROUP, Method, Rule};
use agentbox_kernel::failpoint::in_force;
use agentbox_kernel::person::{self, Person};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use zbus::message::{Flags, Header};

/// How often the bus is asked whether somebody who waits is still there.
const LOOK: Duration = Duration::from_secs(10);

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
    /// On the bus: about whom polkit is asked.
    subject: Option<Subject>,
    /// Of a call: its place among those of the user that are in hand.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Caller {
    /// The process at the other end of a socket.
    pub(crate) fn of(socket: impl AsFd, supervisor: &Supervisor) -> std::io::Result<Self> {
        let uid = rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw();
        Ok(Self { uid, access: access(uid, supervisor), subject: None, _place: None })
    }

    /// Who sent a message on the bus. The bus itself says so, and never gives the name of a connection to
    /// another one.
    pub(crate) async fn on_bus(
        connection: &zbus::Connection,
        header: &Header<'_>,
        supervisor: &Supervisor,
    ) -> Result<Self, Error> {
        let unknown = || Error::NotAuthorized("the bus does not say who calls".to_owned());
        let sender = header.sender().ok_or_else(unknown)?.to_owned();
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        let credentials =
            bus.get_connection_credentials(sender.clone().into()).await.map_err(|_error| unknown())?;
        let uid = credentials.unix_user_id().ok_or_else(unknown)?;
        let subject = Subject {
            connection: connection.clone(),
            name: sender.into(),
            interactive: header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH),
        };
        Ok(Self { uid, access: access(uid, supervisor), subject: Some(subject), _place: None })
    }

    /// The same, with a place for a call that is in hand for as long as this is there.
    pub(crate) fn calling(self, calls: &Calls) -> Result<Self, Error> {
        let place = Some(Arc::new(calls.begin(self.uid)?));
        Ok(Self { _place: place, ..self })
    }

    /// Returns when who calls has left.
    pub(crate) async fn gone(&self, connection: &zbus::Connection) {
        let Some(subject) = &self.subject else { return connection.closed().await };
        // A rule at the bus for each of those who wait would cost more than to ask for them.
        while is_there(&subject.connection, &subject.name).await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Root, for tests.
    #[cfg(test)]
    pub(crate) fn root() -> Self {
        Self { uid: 0, access: Decision::Allowed, subject: None, _place: None }
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
        match method.rule() {
            Rule::User | Rule::OwnSession => Decision::Allowed,
            Rule::Root if self.is_root() || !in_force("caller-root") => Decision::Allowed,
            Rule::Root => {
                Decision::Refused(format!("refused: {}\nrule: for root only\nrun it as root", method.name()))
            }
        }
    }

    /// Whether an action stands in for a rule that refuses them. Root needs none; without a bus nobody can be
    /// asked, and the rule stands.
    pub(crate) async fn is_authorized(&self, action: Action, session: &str) -> bool {
        if matches!(self.access, Decision::Refused(_)) {
            return false;
        }
        match &self.subject {
            _ if self.is_root() => true,
            Some(subject) => subject.is_authorized(action, session).await,
            None => false,
        }
    }

    /// Whether the caller came over the bus, where some things are asked for that embedded mode leaves to
    /// root.
    pub(crate) fn is_on_bus(&self) -> bool {
        self.subject.is_some()
    }

    /// Whether what a method is about is theirs to see and touch.
    pub(crate) fn owns(&self, method: Method, owner_uid: u32) -> bool {
        self.is_root() || self.uid == owner_uid || !in_force(method.name())
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
    if supervisor.lease_range().contains(uid) && in_force("caller-leased") {
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
    let configuration = supervisor.configuration();
    let named = configuration
        .as_ref()
        .as_ref()
        .is_ok_and(|configuration| configuration.system.users().any(|user| user == person.name));
    let may = named || in_group(&person) || !in_force("caller-users");
    if may { Decision::Allowed } else { stranger(&person.name) }
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
    use agentbox_ipc::METHODS;

    fn caller(uid: u32, access: Decision) -> Caller {
        Caller { uid, access, subject: None, _place: None }
    }

    #[test]
    fn who_may_not_use_the_supervisor_may_call_nothing() {
        for uid in [0, 1000] {
            let caller = caller(uid, Decision::Refused("no".into()));
            for (method, name, _, _) in METHODS {
                assert_eq!(caller.may(method), Decision::Refused("no".into()), "{name}");
            }
        }
    }

    #[test]
    fn root_alone_repairs() {
        assert_eq!(caller(0, Decision::Allowed).may(Method::Repair), Decision::Allowed);
        assert!(matches!(caller(1000, Decision::Allowed).may(Method::Repair), Decision::Refused(_)));
    }

    #[tokio::test]
    async fn root_needs_no_consent_and_without_a_bus_nobody_gives_it() {
        for (uid, access, may) in [
            (0, Decision::Allowed, true),
            (1000, Decision::Allowed, false),
            (1000, Decision::Refused("no".into()), false),
        ] {
            assert_eq!(caller(uid, access).is_authorized(Action::Control, "abc").await, may, "{uid}");
        }
    }

    #[test]
    fn sessions_belong_to_their_owner_and_to_root() {
        assert!(caller(1000, Decision::Allowed).owns(Method::Status, 1000));
        assert!(!caller(1000, Decision::Allowed).owns(Method::Status, 1001));
        assert!(!caller(1000, Decision::Allowed).owns(Method::Status, 0));
        assert!(caller(0, Decision::Allowed).owns(Method::Status, 1001));
    }
}
