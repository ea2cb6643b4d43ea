//! The interface on the bus. Peer to peer there is one object for each connection, which knows who is at
//! the other end; on the system bus one for all, which asks the bus at each call.
//!
//! Each method says who may call it (the table in [`caller`](crate::caller)), reads its typed arguments and
//! hands over to the part that does it.

use crate::audit::Reader;
use crate::caller::Caller;
use crate::calls::Kept;
use crate::network::live::{self, Change};
use crate::objects::{self, Subscriber};
use crate::session::supervise::{connect_patiently, greet_patiently};
use crate::session::{Session, State, shown_id, sources};
use crate::supervisor::Supervisor;
use crate::{layers, neighbours, profiles, reconcile, start, status, workspace};
use agentbox_ipc::{Action, Client, Dict, Error, Method, Rule, StartRequest, from_dict, to_dict};
use agentbox_kernel::failpoint::in_force;
use agentbox_plan::console::{Client as ConsoleClient, Hello};
use agentbox_plan::{Plan, Process, SessionId, Streams, TerminalSize, Wire, inner};
use serde_json::json;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath};
use zeroize::Zeroizing;

/// A launcher that does not take a greeting within this time is stuck; it normally takes microseconds.
const GREETING_LIMIT: Duration = Duration::from_secs(5);
/// Longest time between SIGTERM and SIGKILL that may be asked for.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(3600);

/// The supervisor as callers see it.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    supervisor: Arc<Supervisor>,
    /// Who is at the other end; none on the bus.
    peer: Option<Caller>,
    /// Of the connection, among those of this process.
    number: u64,
}

impl Manager {
    /// For one connection.
    pub(crate) fn for_peer(supervisor: Arc<Supervisor>, caller: Caller) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { supervisor, peer: Some(caller), number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// For the system bus.
    pub(crate) fn on_bus(supervisor: Arc<Supervisor>) -> Self {
        Self { supervisor, peer: None, number: 0 }
    }

    /// The number of its connection.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether callers share it, as on the bus.
    pub(crate) fn is_shared(&self) -> bool {
        self.peer.is_none()
    }

    /// Whether a session has an object here: all have on the bus, which asks who calls each time.
    pub(crate) fn shows(&self, session: &Session) -> bool {
        self.peer.as_ref().is_none_or(|caller| caller.owns(Method::List, session.record.owner_uid))
    }

    /// Whether a session's object is there for who calls: its owner, and root.
    pub(crate) async fn may_see(
        &self,
        session: &Session,
        header: &Header<'_>,
        connection: &Connection,
    ) -> bool {
        let caller = self.known(Method::List, header, connection).await;
        caller.is_ok_and(|caller| caller.owns(Method::List, session.record.owner_uid))
    }

    /// Who calls, when they may call this at all. Whose session it is, is for [`session`](Self::session).
    /// With them goes the call's place among those that are in hand.
    async fn caller(
        &self,
        method: Method,
        header: &Header<'_>,
        connection: &Connection,
    ) -> Result<Caller, Error> {
        self.known(method, header, connection).await?.calling(&self.supervisor.calls)
    }

    async fn known(
        &self,
        method: Method,
        header: &Header<'_>,
        connection: &Connection,
    ) -> Result<Caller, Error> {
        let caller = match &self.peer {
            Some(caller) => caller.clone(),
            None => Caller::on_bus(connection, header, &self.supervisor).await?,
        };
        match (caller.may(method).into_result(), method.rule(), method.action()) {
            (Err(_), Rule::Root, Some(action)) if caller.is_authorized(action, "").await => {}
            (result, ..) => result?,
        }
        Ok(caller)
    }

    /// A session of the caller, or of somebody else with the consent of polkit. Without that it is as unknown
    /// as one that never was.
    async fn session(&self, caller: &Caller, method: Method, id: &str) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.by_id_or_name(caller, id) {
            let asked = match method {
                // Widening is about one's own as well; whose it is, is the other question.
                Method::Allow => Some(Action::Control),
                other => other.action(),
            };
            if caller.owns(method, session.record.owner_uid) {
                return Ok(session);
            }
            if let Some(action) = asked
                && caller.is_authorized(action, session.id().as_str()).await
            {
                return Ok(session);
            }
        }
        let shown = shown_id(id);
        Err(Error::NotFound(format!("there is no session `{shown}`\n`agentboxctl list` shows yours")))
    }

    /// A session by its id, or by the name that its owner gave it: of the caller's sessions one has it.
    fn by_id_or_name(&self, caller: &Caller, id: &str) -> Option<Arc<Session>> {
        let by_id = id.parse::<SessionId>().ok().and_then(|id| self.supervisor.session(&id));
        by_id.or_else(|| {
            let sessions = self.supervisor.sessions();
            let mut named = sessions.into_iter().filter(|session| {
                session.record.name.as_deref() == Some(id)
                    && caller.owns(Method::List, session.record.owner_uid)
            });
            // For root several persons' may have it.
            named.next().filter(|_| named.next().is_none())
        })
    }

    /// A connection to the console of a session that runs.
    async fn console(&self, session: &Session, hello: Hello) -> Result<OwnedFd, Error> {
        if session.live().state != State::Running {
            return Err(Error::NotFound(format!("session `{}` does not run", session.id())));
        }
        let failed = |error: &dyn std::error::Error| Error::Failed(format!("the console: {error}"));
        let directory =
            self.supervisor.directories.open_session(session.id()).map_err(|error| failed(&error))?;
        let directory = directory.ok_or_else(|| Error::NotFound("the session has just ended".into()))?;
        let connection = match tokio::time::timeout(GREETING_LIMIT, connect_patiently(&directory)).await {
            Ok(connected) => connected.map_err(|error| failed(&error))?,
            Err(_elapsed) => {
                return Err(Error::Refused(format!(
                    "refused: the console of session `{}` is busy: it has not taken a connection for {} s\n\
                     rule: built-in: a call does not wait longer\nread or end the commands whose output nobody reads",
                    session.id(),
                    GREETING_LIMIT.as_secs()
                )));
            }
        };
        match tokio::time::timeout(GREETING_LIMIT, greet_patiently(connection, hello)).await {
            Ok(greeted) => greeted.map_err(|error| failed(&error)),
            Err(_elapsed) => Err(Error::Failed("the console does not answer".into())),
        }
    }

    /// Waits for what may never come, no longer than who waits is there.
    async fn patiently<T>(
        &self,
        caller: &Caller,
        connection: &Connection,
        what: impl Future<Output = T>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = what => Ok(done),
            () = caller.gone(connection) => Err(Error::Failed("who asked has left".to_owned())),
        }
    }

    fn audit(
        &self,
        caller: &Caller,
        session: &Session,
        event: &str,
        command: &[String],
    ) -> Result<(), Error> {
        let mut event = json!({
            "event": event, "session": session.id().as_str(),
            "owner_uid": session.record.owner_uid, "caller_uid": caller.uid,
        });
        if !command.is_empty() {
            event["command"] = command.into();
        }
        self.supervisor.audit().record(event).map_err(|error| Error::Failed(error.to_string()))
    }
}

#[zbus::interface(name = "org.agentbox1.Manager")]
impl Manager {
    #[zbus(out_args("answer", "console"))]
    async fn start(
        &self,
        project: zbus::OwnedFd,
        request: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(Dict, zbus::OwnedFd), Error> {
        let caller = self.caller(Method::Start, &header, connection).await?;
        let request: StartRequest = from_dict(request)?;
        if let Some(resume) = &request.resume {
            layers::settle(&self.supervisor, resume).await;
        }
        let (answer, console) = start::start(&self.supervisor, &caller, project.into(), request).await?;
        Ok((to_dict(&answer)?, console.into()))
    }

    #[zbus(out_args("answer"))]
    async fn explain(
        &self,
        project: zbus::OwnedFd,
        request: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Explain, &header, connection).await?;
        let request: StartRequest = from_dict(request)?;
        Ok(to_dict(&start::explain(&self.supervisor, &caller, project.into(), request).await?)?)
    }

    #[zbus(out_args("answer"))]
    async fn trust(
        &self,
        project: zbus::OwnedFd,
        request: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Trust, &header, connection).await?;
        let request: StartRequest = from_dict(request)?;
        Ok(to_dict(&start::trust(&self.supervisor, &caller, project.into(), request).await?)?)
    }

    #[zbus(out_args("profiles"))]
    async fn kept_profiles(
        &self,
        owner_uid: u32,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<String>, Error> {
        let caller = self.caller(Method::KeptProfiles, &header, connection).await?;
        profiles::kept(&self.supervisor, &caller, owner_uid)
    }

    async fn reset_profile(
        &self,
        owner_uid: u32,
        profile: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::ResetProfile, &header, connection).await?;
        profiles::reset(&self.supervisor, &caller, owner_uid, profile).await
    }

    #[zbus(out_args("sessions"))]
    async fn list(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, Error> {
        let caller = self.caller(Method::List, &header, connection).await?;
        let sessions = self.supervisor.sessions();
        let mine = sessions.iter().filter(|session| caller.owns(Method::List, session.record.owner_uid));
        mine.map(|session| Ok(to_dict(&status::summary(&self.supervisor, session))?)).collect()
    }

    #[zbus(out_args("status"))]
    pub(crate) async fn status(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Status, &header, connection).await?;
        if id.is_empty() {
            return Ok(to_dict(&status::supervisor(&self.supervisor))?);
        }
        let session = self.session(&caller, Method::Status, id).await?;
        Ok(to_dict(&status::session(&self.supervisor, &session).await)?)
    }

    #[zbus(out_args("console"))]
    pub(crate) async fn attach(
        &self,
        id: &str,
        client: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<zbus::OwnedFd, Error> {
        let caller = self.caller(Method::Attach, &header, connection).await?;
        let session = self.session(&caller, Method::Attach, id).await?;
        let (streams, size) = terminal(from_dict(client)?);
        let hello = Hello::Attach { client: ConsoleClient { streams, size } };
        self.audit(&caller, &session, "attached", &[])?;
        Ok(self.console(&session, hello).await?.into())
    }

    #[zbus(out_args("console"))]
    pub(crate) async fn exec(
        &self,
        id: &str,
        command: Vec<String>,
        client: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<zbus::OwnedFd, Error> {
        let caller = self.caller(Method::Exec, &header, connection).await?;
        let session = self.session(&caller, Method::Exec, id).await?;
        let (streams, size) = terminal(from_dict(client)?);
        let hello = Hello::Exec { process: self.process(&session, &command, streams, size)? };
        self.audit(&caller, &session, "exec", &command)?;
        Ok(self.console(&session, hello).await?.into())
    }

    pub(crate) async fn stop(
        &self,
        id: &str,
        timeout_ms: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Stop, &header, connection).await?;
        let session = self.session(&caller, Method::Stop, id).await?;
        let stop = session.stop(Duration::from_millis(timeout_ms).min(MAX_STOP_TIMEOUT));
        self.patiently(&caller, connection, stop).await
    }

    #[zbus(out_args("sets"))]
    async fn changes(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, Error> {
        let caller = self.caller(Method::Changes, &header, connection).await?;
        let sets = layers::sets(&self.supervisor);
        let mine = sets.iter().filter(|set| caller.owns(Method::Changes, set.owner_uid));
        mine.map(|set| Ok(to_dict(set)?)).collect()
    }

    #[zbus(out_args("answer", "descriptors"))]
    async fn review(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(Dict, Vec<zbus::OwnedFd>), Error> {
        let caller = self.caller(Method::Review, &header, connection).await?;
        layers::settle(&self.supervisor, id).await;
        let (answer, view) = layers::review(&self.supervisor, &caller, id).await?;
        let descriptors = [view.upper, view.merged, view.review].map(zbus::OwnedFd::from);
        Ok((to_dict(&answer)?, descriptors.into()))
    }

    async fn reviewed(
        &self,
        id: &str,
        taken: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Reviewed, &header, connection).await?;
        layers::reviewed(&self.supervisor, &caller, id, from_dict(taken)?)
    }

    async fn discard(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Discard, &header, connection).await?;
        layers::settle(&self.supervisor, id).await;
        layers::discard(&self.supervisor, &caller, id).await
    }

    #[zbus(out_args("answer"))]
    pub(crate) async fn allow(
        &self,
        id: &str,
        target: &str,
        for_ms: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Allow, &header, connection).await?;
        self.change(&caller, Method::Allow, id, target, for_ms).await
    }

    #[zbus(out_args("answer"))]
    pub(crate) async fn deny(
        &self,
        id: &str,
        target: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Deny, &header, connection).await?;
        self.change(&caller, Method::Deny, id, target, 0).await
    }

    #[zbus(out_args("answer"))]
    pub(crate) async fn why(
        &self,
        id: &str,
        what: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Why, &header, connection).await?;
        let session = self.session(&caller, Method::Why, id).await?;
        if what.starts_with('/') {
            let plan = self.plan(&session)?;
            return Ok(to_dict(&crate::describe::why_path(&plan, &session.record.values, what))?);
        }
        let network = session.network().ok_or_else(|| live::without_gate(&session))?;
        let host = self.supervisor.network_if_open();
        let what_is = |address| host.as_ref().and_then(|host| host.what_is(address));
        Ok(to_dict(&live::why(network, what_is, what)?)?)
    }

    #[zbus(out_args("confirmations"))]
    pub(crate) async fn confirmations(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, Error> {
        let caller = self.caller(Method::Confirmations, &header, connection).await?;
        let sessions = match id {
            "" => {
                let mut sessions = self.supervisor.sessions();
                sessions.retain(|session| caller.owns(Method::Confirmations, session.record.owner_uid));
                sessions
            }
            id => vec![self.session(&caller, Method::Confirmations, id).await?],
        };
        let waiting = sessions.iter().filter_map(|session| session.keys()).flat_map(|keys| keys.waiting());
        waiting.map(|waiting| Ok(to_dict(&waiting)?)).collect()
    }

    pub(crate) async fn confirm(
        &self,
        id: &str,
        number: u64,
        accept: bool,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Confirm, &header, connection).await?;
        let session = self.session(&caller, Method::Confirm, id).await?;
        let keys = session.keys();
        if keys.is_some_and(|keys| keys.answer(&self.supervisor, number, accept, caller.uid)) {
            return Ok(());
        }
        Err(Error::NotFound(format!(
            "no signature with the number {number} waits in session `{}`\n`agentboxctl confirm` shows those that do",
            session.id()
        )))
    }

    pub(crate) async fn freeze(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Freeze, &header, connection).await?;
        let session = self.session(&caller, Method::Freeze, id).await?;
        session.freeze(caller.uid).await.map_err(Error::Failed)
    }

    #[zbus(out_args("was_frozen"))]
    pub(crate) async fn thaw(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<bool, Error> {
        let caller = self.caller(Method::Thaw, &header, connection).await?;
        let session = self.session(&caller, Method::Thaw, id).await?;
        session.thaw().await.map_err(Error::Failed)
    }

    #[zbus(out_args("notices"))]
    pub(crate) async fn notices(
        &self,
        id: &str,
        after: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<String>, Error> {
        let caller = self.caller(Method::Notices, &header, connection).await?;
        let session = self.session(&caller, Method::Notices, id).await?;
        let _place = self.supervisor.calls.wait(caller.uid)?;
        let notices = session.notices(usize::try_from(after).unwrap_or(usize::MAX));
        self.patiently(&caller, connection, notices).await
    }

    #[zbus(out_args("report"))]
    async fn report(
        &self,
        id: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::Report, &header, connection).await?;
        let unknown = || {
            Error::NotFound("there is no report of that session; it is made when a session ends that may write to its project\n`agentboxctl list` shows yours".into())
        };
        let parsed = id.parse::<SessionId>().map_err(|_| unknown())?;
        if let Some(session) = self.supervisor.session(&parsed) {
            if !caller.owns(Method::Report, session.record.owner_uid) {
                return Err(unknown());
            }
            if matches!(session.live().state, State::Starting { .. } | State::Released | State::Running) {
                let next = match session.live().frozen {
                    Some(_) => {
                        format!("agentboxctl status {parsed} says why it stands still, thaw has it go on")
                    }
                    None => format!("agentboxctl stop {parsed}"),
                };
                return Err(Error::NotFound(format!(
                    "session `{parsed}` has not ended, so there is no report of it yet\n{next}"
                )));
            }
            let _place = self.supervisor.calls.wait(caller.uid)?;
            self.patiently(&caller, connection, session.gone()).await?;
        }
        let report = match workspace::report(&self.supervisor, &parsed) {
            Ok(report) => report.ok_or_else(unknown)?,
            Err(error) => {
                let owner = workspace::report_owner(&self.supervisor, &parsed);
                let is_theirs = owner.map_or(caller.is_root(), |owner| caller.owns(Method::Report, owner));
                let failed =
                    || Error::Failed(format!("the report of session `{parsed}` cannot be read: {error}"));
                return Err(if is_theirs { failed() } else { unknown() });
            }
        };
        if !caller.owns(Method::Report, report.owner_uid) {
            return Err(unknown());
        }
        Ok(to_dict(&report)?)
    }

    #[zbus(out_args("lines"))]
    pub(crate) async fn log(
        &self,
        id: &str,
        after: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Kept<Vec<String>>, Error> {
        let caller = self.caller(Method::Log, &header, connection).await?;
        let sees_all = caller.is_root() || !in_force(Method::Log.name());
        let reader = if sees_all { Reader::Root } else { Reader::Owner(caller.uid) };
        let named = self.by_id_or_name(&caller, id).map(|session| session.id().as_str().to_owned());
        let session = Some(named.unwrap_or_else(|| id.to_owned())).filter(|id| !id.is_empty());
        let (is_one, is_all) = (session.is_some(), after == 0);
        let place = self.supervisor.calls.read(caller.uid).await?;
        let lines =
            self.supervisor.read_trail(move |trail| trail.lines(reader, session.as_deref(), after)).await?;
        if is_one && is_all && lines.is_empty() {
            let shown = shown_id(id);
            let next = "`agentboxctl log` shows all that is told to you";
            return Err(Error::NotFound(format!("the trail tells nothing of a session `{shown}`\n{next}")));
        }
        Ok(Kept::new(lines, place))
    }

    #[zbus(out_args("verdict"))]
    async fn verify_log(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Dict, Error> {
        let caller = self.caller(Method::VerifyLog, &header, connection).await?;
        let _place = self.supervisor.calls.read(caller.uid).await?;
        Ok(to_dict(&self.supervisor.verify_trail(caller.is_root()).await?)?)
    }

    #[zbus(out_args("checks"))]
    async fn diagnose(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, Error> {
        let _caller = self.caller(Method::Diagnose, &header, connection).await?;
        status::checks(&self.supervisor).iter().map(|check| Ok(to_dict(check)?)).collect()
    }

    #[zbus(out_args("cleaned"))]
    async fn repair(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<String>, Error> {
        let _caller = self.caller(Method::Repair, &header, connection).await?;
        Ok(reconcile::repair(&self.supervisor).await)
    }

    async fn subscribe(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Subscribe, &header, connection).await?;
        self.supervisor.subscribers.add(self.subscriber(&caller, &header, connection)).await?;
        // It is told of objects, so it has them.
        objects::show(&self.supervisor, connection, self)
            .await
            .map_err(|error| Error::Failed(format!("objects of sessions: {error}")))
    }

    async fn unsubscribe(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let caller = self.caller(Method::Unsubscribe, &header, connection).await?;
        self.supervisor.subscribers.remove(&self.subscriber(&caller, &header, connection));
        Ok(())
    }

    #[zbus(signal)]
    async fn session_new(emitter: &SignalEmitter<'_>, id: &str, path: ObjectPath<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn session_removed(emitter: &SignalEmitter<'_>, id: &str, path: ObjectPath<'_>)
    -> zbus::Result<()>;
}

impl Manager {
    fn subscriber(&self, caller: &Caller, header: &Header<'_>, connection: &Connection) -> Subscriber {
        let name = header.sender().filter(|_| self.is_shared()).map(|name| name.to_owned().into());
        Subscriber { bus: self.number, connection: connection.clone(), name, uid: caller.uid }
    }

    async fn change(
        &self,
        caller: &Caller,
        method: Method,
        id: &str,
        target: &str,
        for_ms: u64,
    ) -> Result<Dict, Error> {
        let session = self.session(caller, method, id).await?;
        let configuration = self.supervisor.configuration();
        let configuration = configuration.as_ref().as_ref();
        let system = &configuration.map_err(|error| Error::Invalid(error.clone()))?.system;
        let change = match method {
            Method::Deny => Change::Deny,
            _ => Change::Allow { above_ceiling: !in_force("ceiling-of-allow") },
        };
        let (project, owner_uid) = (&session.record.project, session.record.owner_uid);
        let apart = neighbours::apart(&self.supervisor, project, owner_uid).await;
        let asked = live::Asked { target, for_ms, caller_uid: caller.uid, apart: &apart };
        let result = live::change(&self.supervisor, system, &session, change, &asked);
        let result = match result {
            // What is above the ceiling is asked for, every time, and only where somebody can be asked.
            Err(Error::Refused(_))
                if change == (Change::Allow { above_ceiling: false })
                    && caller.is_on_bus()
                    && caller.is_authorized(Action::Widen, session.id().as_str()).await =>
            {
                let change = Change::Allow { above_ceiling: true };
                live::change(&self.supervisor, system, &session, change, &asked)
            }
            result => result,
        };
        Ok(to_dict(&result?)?)
    }

    fn plan(&self, session: &Session) -> Result<Plan, Error> {
        let directory = self.supervisor.directories.open_session(session.id());
        let directory =
            directory.ok().flatten().ok_or_else(|| Error::NotFound("the session has just ended".into()))?;
        sources::read_plan(directory).map_err(|error| Error::Failed(error.to_string()))
    }

    /// A process beside the agent: the agent's environment and directory, another command.
    fn process(
        &self,
        session: &Session,
        command: &[String],
        streams: Streams,
        size: TerminalSize,
    ) -> Result<Process, Error> {
        if command.is_empty() {
            return Err(Error::Invalid("there is no command\nagentboxctl exec ID -- COMMAND".into()));
        }
        let arguments: Result<Vec<_>, _> = command.iter().map(|word| CString::new(word.as_str())).collect();
        let arguments = arguments.map_err(|_nul| Error::Invalid("the command holds a NUL byte".into()))?;
        let process = Process { arguments, streams, size, ..self.plan(session)?.process };
        if Zeroizing::new(process.to_bytes()).len() > inner::MAX_BYTES / 2 {
            return Err(Error::Invalid(
                "the command is too long\nput it into a script in the project".into(),
            ));
        }
        Ok(process)
    }
}

fn terminal(client: Client) -> (Streams, TerminalSize) {
    (client.streams.into(), TerminalSize { rows: client.rows, columns: client.columns })
}

#[cfg(test)]
#[path = "manager_tests.rs"]
pub(crate) mod tests;
