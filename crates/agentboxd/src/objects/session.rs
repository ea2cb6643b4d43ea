//! The interface of a session's object: what the manager does with its id, and properties.

use crate::calls::Kept;
use crate::manager::Manager;
use crate::session::Session;
use agentbox_ipc::{Dict, Error};
use std::sync::Arc;
use zbus::message::Header;
use zbus::names::ErrorName;
use zbus::{Connection, DBusError, Message, OwnedFd, fdo};

/// A session as those see it who may.
#[derive(Debug, Clone)]
pub(crate) struct SessionObject {
    manager: Manager,
    session: Arc<Session>,
}

/// Why a method of a session's object did nothing.
#[derive(Debug)]
pub(crate) enum ObjectError {
    /// There is no such object, for this caller.
    Unknown(fdo::Error),
    /// The manager says why.
    Manager(Error),
}

impl From<fdo::Error> for ObjectError {
    fn from(error: fdo::Error) -> Self {
        Self::Unknown(error)
    }
}

impl std::fmt::Display for ObjectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(error) => error.fmt(f),
            Self::Manager(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ObjectError {}

impl DBusError for ObjectError {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        match self {
            Self::Unknown(error) => error.create_reply(call),
            Self::Manager(error) => error.create_reply(call),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        match self {
            Self::Unknown(error) => error.name(),
            Self::Manager(error) => error.name(),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Unknown(error) => error.description(),
            Self::Manager(error) => error.description(),
        }
    }
}

impl SessionObject {
    pub(super) fn new(manager: Manager, session: Arc<Session>) -> Self {
        Self { manager, session }
    }

    /// Nothing for those who may see it. To all others the object is one that is not there, in the same words.
    pub(super) async fn visible(&self, header: &Header<'_>, connection: &Connection) -> fdo::Result<()> {
        if self.manager.may_see(&self.session, header, connection).await {
            return Ok(());
        }
        let path = header.path().map_or("", |path| path.as_str());
        Err(fdo::Error::UnknownObject(format!("Unknown object '{path}'")))
    }

    fn id(&self) -> &str {
        self.session.id().as_str()
    }
}

/// Calls the method of the manager with the same name.
macro_rules! ask {
    ($self:ident, $header:ident, $connection:ident, $method:ident($($argument:expr),*)) => {{
        $self.visible(&$header, $connection).await?;
        let answer = $self.manager.$method($self.id(), $($argument,)* $header, $connection).await;
        answer.map_err(ObjectError::Manager)
    }};
}

#[zbus::interface(name = "org.agentbox1.Session")]
impl SessionObject {
    #[zbus(out_args("status"))]
    async fn status(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, ObjectError> {
        ask!(self, header, connection, status())
    }

    #[zbus(out_args("console"))]
    async fn attach(
        &self,
        client: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedFd, ObjectError> {
        ask!(self, header, connection, attach(client))
    }

    #[zbus(out_args("console"))]
    async fn exec(
        &self,
        command: Vec<String>,
        client: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedFd, ObjectError> {
        ask!(self, header, connection, exec(command, client))
    }

    async fn stop(
        &self,
        timeout_ms: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), ObjectError> {
        ask!(self, header, connection, stop(timeout_ms))
    }

    #[zbus(out_args("answer"))]
    async fn allow(
        &self,
        target: &str,
        for_ms: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, ObjectError> {
        ask!(self, header, connection, allow(target, for_ms))
    }

    #[zbus(out_args("answer"))]
    async fn deny(
        &self,
        target: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, ObjectError> {
        ask!(self, header, connection, deny(target))
    }

    #[zbus(out_args("answer"))]
    async fn why(
        &self,
        what: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, ObjectError> {
        ask!(self, header, connection, why(what))
    }

    async fn freeze(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), ObjectError> {
        ask!(self, header, connection, freeze())
    }

    #[zbus(out_args("was_frozen"))]
    async fn thaw(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<bool, ObjectError> {
        ask!(self, header, connection, thaw())
    }

    #[zbus(out_args("notices"))]
    async fn notices(
        &self,
        after: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<String>, ObjectError> {
        ask!(self, header, connection, notices(after))
    }

    #[zbus(out_args("confirmations"))]
    async fn confirmations(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, ObjectError> {
        ask!(self, header, connection, confirmations())
    }

    async fn confirm(
        &self,
        number: u64,
        accept: bool,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), ObjectError> {
        ask!(self, header, connection, confirm(number, accept))
    }

    #[zbus(out_args("lines"))]
    async fn log(
        &self,
        after: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Kept<Vec<String>>, ObjectError> {
        ask!(self, header, connection, log(after))
    }

    #[zbus(property(emits_changed_signal = "const"), name = "Id")]
    fn session_id(&self) -> String {
        self.id().to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.session.record.name.clone().unwrap_or_default()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn project(&self) -> String {
        self.session.record.project.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn profile(&self) -> String {
        self.session.record.profile.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn posture(&self) -> String {
        self.session.record.posture.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn agent(&self) -> String {
        self.session.record.agent.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn network(&self) -> String {
        self.session.record.network.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn workspace(&self) -> String {
        self.session.record.workspace.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn policy_hash(&self) -> String {
        self.session.record.policy_hash.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn owner_uid(&self) -> u32 {
        self.session.record.owner_uid
    }

    /// In seconds of the Unix epoch.
    #[zbus(property(emits_changed_signal = "const"))]
    fn since(&self) -> u64 {
        self.session.record.started_unix_s
    }

    /// `starting`, `running`, `frozen`, `stopping` or `ending`.
    #[zbus(property)]
    fn state(&self) -> String {
        self.session.summary((None, None)).state.as_str().to_owned()
    }

    /// Why it stands still; empty when it does not.
    #[zbus(property)]
    fn frozen(&self) -> String {
        self.session.live().frozen.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::tests::methods;
    use crate::session::Record;
    use crate::supervisor::Supervisor;
    use agentbox_ipc::SESSION_METHODS;
    use zbus::object_server::Interface;

    fn introspection() -> String {
        let dir = tempfile::TempDir::new().unwrap();
        let supervisor = Arc::new(Supervisor::in_directory(dir.path()));
        let session = Session::without_driver(Record::unknown("abc12345".parse().unwrap()));
        let object = SessionObject::new(Manager::on_bus(supervisor), Arc::new(session));
        let mut xml = String::new();
        object.introspect_to_writer(&mut xml, 0);
        xml
    }

    #[test]
    fn every_method_of_a_sessions_object_is_one_of_the_table() {
        let mut table: Vec<_> = SESSION_METHODS.iter().map(|method| method.name()).collect();
        table.sort_unstable();
        assert_eq!(methods(&introspection()), table);
    }

    #[test]
    fn the_interface_is_the_one_that_is_published() {
        assert_eq!(introspection().trim(), include_str!("../../../agentbox-ipc/session.xml").trim());
    }
}
