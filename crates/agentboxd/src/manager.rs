//! The interface on the bus: one object for each connection, which knows who is at the other end.
//!
//! Each method says who may call it (the table in [`caller`](crate::caller)), reads its typed arguments and
//! hands over to the part that does it.

use crate::audit::Reader;
use crate::caller::{Caller, Method};
use crate::network::live::{self, Change};
use crate::session::supervise::greet_patiently;
use crate::session::{Session, State, sources};
use crate::supervisor::Supervisor;
use crate::{profiles, reconcile, start, status};
use agentbox_ipc::{Client, Dict, Error, StartRequest, from_dict, to_dict};
use agentbox_kernel::console;
use agentbox_plan::console::{Client as ConsoleClient, Hello};
use agentbox_plan::{Plan, Process, SessionId, Streams, TerminalSize, Wire, inner};
use serde_json::json;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A launcher that does not take a greeting within this time is stuck; it normally takes microseconds.
const GREETING_LIMIT: Duration = Duration::from_secs(5);
/// Longest time between SIGTERM and SIGKILL that may be asked for.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(3600);

/// The supervisor as one caller sees it.
#[derive(Debug)]
pub(crate) struct Manager {
    supervisor: Arc<Supervisor>,
    caller: Caller,
}

impl Manager {
    /// For one connection.
    pub(crate) fn new(supervisor: Arc<Supervisor>, caller: Caller) -> Self {
        Self { supervisor, caller }
    }

    fn permit(&self, method: Method) -> Result<(), Error> {
        self.caller.may(method).into_result()
    }

    /// A session of the caller. One of somebody else is as unknown as one that never was.
    fn session(&self, id: &str) -> Result<Arc<Session>, Error> {
        let parsed = id.parse::<SessionId>().ok();
        parsed
            .and_then(|id| self.supervisor.session(&id))
            .filter(|session| self.caller.owns(session.record.owner_uid))
            .ok_or_else(|| {
                let shown: String = id.escape_debug().take(SessionId::MAX_BYTES).collect();
                Error::NotFound(format!("there is no session `{shown}`\n`agentboxctl list` shows yours"))
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
        let connection = console::connect(&directory).map_err(|error| failed(&error))?;
        match tokio::time::timeout(GREETING_LIMIT, greet_patiently(connection, hello)).await {
            Ok(greeted) => greeted.map_err(|error| failed(&error)),
            Err(_elapsed) => Err(Error::Failed("the console does not answer".into())),
        }
    }

    fn audit(&self, session: &Session, event: &str, command: &[String]) -> Result<(), Error> {
        let mut event = json!({
            "event": event, "session": session.id().as_str(),
            "owner_uid": session.record.owner_uid, "caller_uid": self.caller.uid,
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
    async fn start(&self, project: zbus::OwnedFd, request: Dict) -> Result<(Dict, zbus::OwnedFd), Error> {
        self.permit(Method::Start)?;
        let request: StartRequest = from_dict(request)?;
        let (answer, console) = start::start(&self.supervisor, &self.caller, project.into(), request).await?;
        Ok((to_dict(&answer)?, console.into()))
    }

    #[zbus(out_args("answer"))]
    async fn explain(&self, project: zbus::OwnedFd, request: Dict) -> Result<Dict, Error> {
        self.permit(Method::Explain)?;
        let request: StartRequest = from_dict(request)?;
        Ok(to_dict(&start::explain(&self.supervisor, &self.caller, project.into(), request)?)?)
    }

    #[zbus(out_args("answer"))]
    async fn trust(&self, project: zbus::OwnedFd, request: Dict) -> Result<Dict, Error> {
        self.permit(Method::Trust)?;
        let request: StartRequest = from_dict(request)?;
        Ok(to_dict(&start::trust(&self.supervisor, &self.caller, project.into(), request)?)?)
    }

    #[zbus(out_args("profiles"))]
    async fn kept_profiles(&self, owner_uid: u32) -> Result<Vec<String>, Error> {
        self.permit(Method::KeptProfiles)?;
        profiles::kept(&self.supervisor, &self.caller, owner_uid)
    }

    async fn reset_profile(&self, owner_uid: u32, profile: &str) -> Result<(), Error> {
        self.permit(Method::ResetProfile)?;
        profiles::reset(&self.supervisor, &self.caller, owner_uid, profile)
    }

    #[zbus(out_args("sessions"))]
    async fn list(&self) -> Result<Vec<Dict>, Error> {
        self.permit(Method::List)?;
        let sessions = self.supervisor.sessions();
        let mine = sessions.iter().filter(|session| self.caller.owns(session.record.owner_uid));
        mine.map(|session| Ok(to_dict(&status::summary(&self.supervisor, session))?)).collect()
    }

    #[zbus(out_args("status"))]
    async fn status(&self, id: &str) -> Result<Dict, Error> {
        self.permit(Method::Status)?;
        if id.is_empty() {
            return Ok(to_dict(&status::supervisor(&self.supervisor))?);
        }
        let session = self.session(id)?;
        Ok(to_dict(&status::session(&self.supervisor, &session))?)
    }

    #[zbus(out_args("console"))]
    async fn attach(&self, id: &str, client: Dict) -> Result<zbus::OwnedFd, Error> {
        self.permit(Method::Attach)?;
        let session = self.session(id)?;
        let (streams, size) = terminal(from_dict(client)?);
        let hello = Hello::Attach { client: ConsoleClient { streams, size } };
        self.audit(&session, "attached", &[])?;
        Ok(self.console(&session, hello).await?.into())
    }

    #[zbus(out_args("console"))]
    async fn exec(&self, id: &str, command: Vec<String>, client: Dict) -> Result<zbus::OwnedFd, Error> {
        self.permit(Method::Exec)?;
        let session = self.session(id)?;
        let (streams, size) = terminal(from_dict(client)?);
        let hello = Hello::Exec { process: self.process(&session, &command, streams, size)? };
        self.audit(&session, "exec", &command)?;
        Ok(self.console(&session, hello).await?.into())
    }

    async fn stop(&self, id: &str, timeout_ms: u64) -> Result<(), Error> {
        self.permit(Method::Stop)?;
        let session = self.session(id)?;
        session.stop(Duration::from_millis(timeout_ms).min(MAX_STOP_TIMEOUT)).await;
        Ok(())
    }

    #[zbus(out_args("answer"))]
    async fn allow(&self, id: &str, target: &str, for_ms: u64) -> Result<Dict, Error> {
        self.permit(Method::Allow)?;
        self.change(id, Change::Allow, target, for_ms)
    }

    #[zbus(out_args("answer"))]
    async fn deny(&self, id: &str, target: &str) -> Result<Dict, Error> {
        self.permit(Method::Deny)?;
        self.change(id, Change::Deny, target, 0)
    }

    #[zbus(out_args("answer"))]
    async fn why(&self, id: &str, what: &str) -> Result<Dict, Error> {
        self.permit(Method::Why)?;
        let session = self.session(id)?;
        if what.starts_with('/') {
            let plan = self.plan(&session)?;
            return Ok(to_dict(&crate::describe::why_path(&plan, &session.record.values, what))?);
        }
        let network = session.network().ok_or_else(|| live::without_gate(&session))?;
        Ok(to_dict(&live::why(network, what)?)?)
    }

    #[zbus(out_args("lines"))]
    async fn log(&self, id: &str, after: u64) -> Result<Vec<String>, Error> {
        self.permit(Method::Log)?;
        let reader = if self.caller.is_root() { Reader::Root } else { Reader::Owner(self.caller.uid) };
        let session = Some(id).filter(|id| !id.is_empty());
        self.supervisor
            .audit()
            .lines(reader, session, after)
            .map_err(|error| Error::Failed(error.to_string()))
    }

    #[zbus(out_args("verdict"))]
    async fn verify_log(&self) -> Result<Dict, Error> {
        self.permit(Method::VerifyLog)?;
        let verdict = self.supervisor.audit().verify().map_err(|error| Error::Failed(error.to_string()))?;
        Ok(to_dict(&verdict)?)
    }

    #[zbus(out_args("checks"))]
    async fn diagnose(&self) -> Result<Vec<Dict>, Error> {
        self.permit(Method::Diagnose)?;
        status::checks(&self.supervisor).iter().map(|check| Ok(to_dict(check)?)).collect()
    }

    #[zbus(out_args("cleaned"))]
    async fn repair(&self) -> Result<Vec<String>, Error> {
        self.permit(Method::Repair)?;
        Ok(reconcile::repair(&self.supervisor))
    }
}

impl Manager {
    fn change(&self, id: &str, change: Change, target: &str, for_ms: u64) -> Result<Dict, Error> {
        let session = self.session(id)?;
        let configuration = self.supervisor.configuration.as_ref();
        let configuration = configuration.map_err(|error| Error::Invalid(error.clone()))?;
        let uid = self.caller.uid;
        let system = &configuration.system;
        Ok(to_dict(&live::change(&self.supervisor, system, &session, change, target, for_ms, uid)?)?)
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
        if process.to_bytes().len() > inner::MAX_BYTES / 2 {
            return Err(Error::Invalid(
                "the command is too long\nput it into a script in the project".into(),
            ));
        }
        Ok(process)
    }
}

fn terminal(client: Client) -> (Streams, TerminalSize) {
    let [input, output, error] = client.streams;
    (Streams { input, output, error }, TerminalSize { rows: client.rows, columns: client.columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::TABLE;
    use zbus::object_server::Interface;

    fn introspection() -> String {
        let dir = tempfile::TempDir::new().unwrap();
        let supervisor = Arc::new(Supervisor::in_directory(dir.path()));
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let caller = Caller::of(&ours, &supervisor).unwrap();
        let mut xml = String::new();
        Manager::new(supervisor, caller).introspect_to_writer(&mut xml, 0);
        xml
    }

    #[test]
    fn every_method_of_the_interface_has_a_rule() {
        let xml = introspection();
        let mut methods: Vec<_> =
            xml.split("<method name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        methods.sort_unstable();
        let mut rules: Vec<_> = TABLE.iter().map(|(_, name, _)| *name).collect();
        rules.sort_unstable();
        assert_eq!(methods, rules);
    }

    #[test]
    fn the_interface_is_the_one_that_is_published() {
        assert_eq!(introspection().trim(), include_str!("../../agentbox-ipc/interface.xml").trim());
    }
}
