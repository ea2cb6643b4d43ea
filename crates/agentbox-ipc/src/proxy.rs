//! The interface as a client calls it, and the names under which it is found.

use crate::{Dict, Error};
use zbus::{Fd, ObjectPath, OwnedFd};

/// Name on the system bus.
pub const BUS_NAME: &str = "org.agentbox1";
/// Path of the manager.
pub const PATH: &str = "/org/agentbox1";
/// Name of the interface.
pub const INTERFACE: &str = "org.agentbox1.Manager";
/// Name of the interface of a session's object.
pub const SESSION_INTERFACE: &str = "org.agentbox1.Session";
/// What the names of all errors begin with.
pub const ERROR_PREFIX: &str = "org.agentbox1.Error";
/// Name of the socket in the supervisor's runtime directory on which it is served peer to peer.
pub const SOCKET_NAME: &str = "bus";
/// Members of this group may use the supervisor, as may root and the users its configuration names.
pub const GROUP: &str = "agentbox";

/// Path of a session's object, which its owner and root see.
#[must_use]
pub fn session_path(id: &str) -> String {
    format!("{PATH}/session/{id}")
}

/// The supervisor.
///
/// Every method may fail with any [`Error`]; callers see and touch only their own sessions, root all. On the
/// system bus polkit may consent to more; methods that it is asked about let it ask the person.
#[zbus::proxy(
    interface = "org.agentbox1.Manager",
    default_service = "org.agentbox1",
    default_path = "/org/agentbox1"
)]
pub trait Manager {
    /// Starts a session of the directory `project`, opened for reading by the caller. Takes a
    /// [`StartRequest`](crate::StartRequest); answers a [`StartAnswer`](crate::StartAnswer) and the socket on
    /// which the caller speaks frames with the session's console. With `detach` that socket is closed
    /// at the other end already.
    #[zbus(allow_interactive_auth)]
    fn start(&self, project: Fd<'_>, request: Dict) -> Result<(Dict, OwnedFd), Error>;

    /// What a start with the same arguments would do, as an [`ExplainAnswer`](crate::ExplainAnswer). Starts nothing.
    fn explain(&self, project: Fd<'_>, request: Dict) -> Result<Dict, Error>;

    /// Accepts what the project's own file says now, instead of what it said when it was last accepted. Takes a
    /// [`StartRequest`](crate::StartRequest) as `Explain` does; answers a [`TrustAnswer`](crate::TrustAnswer).
    fn trust(&self, project: Fd<'_>, request: Dict) -> Result<Dict, Error>;

    /// Names of the profiles of a person for which something is kept. Of somebody else only for root.
    fn kept_profiles(&self, owner_uid: u32) -> Result<Vec<String>, Error>;

    /// Removes all that is kept for a profile of a person. Of somebody else only for root.
    fn reset_profile(&self, owner_uid: u32, profile: &str) -> Result<(), Error>;

    /// A [`SessionSummary`](crate::SessionSummary) of each session of the caller.
    fn list(&self) -> Result<Vec<Dict>, Error>;

    /// A [`SessionStatus`](crate::SessionStatus), or with an empty id a [`SupervisorStatus`](crate::SupervisorStatus).
    #[zbus(allow_interactive_auth)]
    fn status(&self, id: &str) -> Result<Dict, Error>;

    /// A socket to the console of a session. Takes a [`Client`](crate::Client).
    #[zbus(allow_interactive_auth)]
    fn attach(&self, id: &str, client: Dict) -> Result<OwnedFd, Error>;

    /// Starts `command` beside the agent; a socket to its console. Takes a [`Client`](crate::Client).
    #[zbus(allow_interactive_auth)]
    fn exec(&self, id: &str, command: &[String], client: Dict) -> Result<OwnedFd, Error>;

    /// Ends a session: SIGTERM, after `timeout_ms` SIGKILL. Returns when nothing of it is left.
    #[zbus(allow_interactive_auth)]
    fn stop(&self, id: &str, timeout_ms: u64) -> Result<(), Error>;

    /// A [`ChangeSet`](crate::ChangeSet) of each session on an overlay that has a layer, running or not.
    fn changes(&self) -> Result<Vec<Dict>, Error>;

    /// What a session on an overlay wrote: a [`ReviewAnswer`](crate::ReviewAnswer) and its three descriptors.
    fn review(&self, id: &str) -> Result<(Dict, Vec<OwnedFd>), Error>;

    /// Records what was applied of a session's changes: a [`Taken`](crate::Taken).
    fn reviewed(&self, id: &str, taken: Dict) -> Result<(), Error>;

    /// Removes all that a session on an overlay wrote, once it has ended.
    fn discard(&self, id: &str) -> Result<(), Error>;

    /// Lets a session reach `target` (a target or a group, as configuration writes it) for `for_ms`, and
    /// with 0 until it ends. Answers an [`AllowAnswer`](crate::AllowAnswer).
    #[zbus(allow_interactive_auth)]
    fn allow(&self, id: &str, target: &str, for_ms: u64) -> Result<Dict, Error>;

    /// Keeps a session from `target`, whatever allows it, and cuts its connections there. Answers an
    /// [`AllowAnswer`](crate::AllowAnswer).
    #[zbus(allow_interactive_auth)]
    fn deny(&self, id: &str, target: &str) -> Result<Dict, Error>;

    /// Which rule decides whether a session reaches `what`: HOST, HOST:PORT or an absolute path inside. A
    /// [`WhyAnswer`](crate::WhyAnswer).
    #[zbus(allow_interactive_auth)]
    fn why(&self, id: &str, what: &str) -> Result<Dict, Error>;

    /// Signatures that wait for the person, as [`Confirmation`](crate::Confirmation)s: those of a session, or
    /// with an empty id of all sessions of the caller.
    fn confirmations(&self, id: &str) -> Result<Vec<Dict>, Error>;

    /// Makes or declines a signature that waits.
    fn confirm(&self, id: &str, number: u64, accept: bool) -> Result<(), Error>;

    /// Has everything of a session's agent stand still, until somebody lets it go on.
    #[zbus(allow_interactive_auth)]
    fn freeze(&self, id: &str) -> Result<(), Error>;

    /// Lets a session go on that was frozen, by somebody or because of what came to be in its project; whether it was.
    fn thaw(&self, id: &str) -> Result<bool, Error>;

    /// What happened in the project of a session that its person is told at once: the lines behind the first
    /// `after`, as soon as there are some. None: it runs no more.
    fn notices(&self, id: &str, after: u64) -> Result<Vec<String>, Error>;

    /// What a session that has ended left behind in its project: a [`ReportAnswer`](crate::ReportAnswer). For one
    /// that ends it waits until that is known.
    fn report(&self, id: &str) -> Result<Dict, Error>;

    /// Lines of the audit trail with a number above `after`, oldest first, as many as fit into one
    /// answer: those of a session, or with an empty id all that the caller may see.
    fn log(&self, id: &str, after: u64) -> Result<Vec<String>, Error>;

    /// Checks the chain of the whole audit trail: a [`LogVerdict`](crate::LogVerdict).
    fn verify_log(&self) -> Result<Dict, Error>;

    /// What this host can and cannot do, as [`Check`](crate::Check)s.
    fn diagnose(&self) -> Result<Vec<Dict>, Error>;

    /// Removes what ended sessions left behind and says what that was. Root only.
    #[zbus(allow_interactive_auth)]
    fn repair(&self) -> Result<Vec<String>, Error>;

    /// Has the caller told of their sessions, root of all: `SessionNew`, `SessionRemoved`, and `PropertiesChanged` of
    /// each, in messages to the caller alone.
    fn subscribe(&self) -> Result<(), Error>;

    /// Ends that.
    fn unsubscribe(&self) -> Result<(), Error>;

    /// A session begins. Heard by those who subscribed and may see it.
    #[zbus(signal)]
    fn session_new(&self, id: &str, path: ObjectPath<'_>) -> zbus::Result<()>;

    /// Nothing of a session is left.
    #[zbus(signal)]
    fn session_removed(&self, id: &str, path: ObjectPath<'_>) -> zbus::Result<()>;
}
