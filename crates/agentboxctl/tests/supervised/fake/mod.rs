//! A supervisor that answers what it is told to answer.

mod answers;
mod console;

use agentbox_ipc::{
    AllowAnswer, Check, CheckState, Dict, Error, ExplainAnswer, LogVerdict, PATH, SOCKET_NAME, StartAnswer,
    StartRequest, TrustAnswer, from_dict, to_dict,
};
pub(crate) use console::Console;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What was asked of it.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Start(Box<StartRequest>),
    Attach(String),
    Stop(String, u64),
    Allow(String, String, u64),
    Deny(String, String),
    Why(String, String),
    Confirm(String, u64, bool),
}

type Play = Arc<dyn Fn(Console) + Send + Sync>;

pub(crate) struct Fake {
    directory: TempDir,
    project: String,
    said: Arc<Mutex<Vec<Said>>>,
    trail: Arc<Mutex<Vec<String>>>,
    /// How often what can be followed was asked for and had nothing new.
    in_vain: Arc<AtomicUsize>,
}

impl Fake {
    /// Serves until the test ends. `play` is the console of every session.
    pub(crate) fn new(play: impl Fn(Console) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET_NAME)).unwrap();
        let project = directory.path().join("project");
        std::fs::create_dir(&project).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let trail = Arc::new(Mutex::new(Vec::new()));
        let in_vain = Arc::new(AtomicUsize::new(0));
        let manager = Manager {
            play: Arc::new(play),
            said: Arc::clone(&said),
            trail: Arc::clone(&trail),
            in_vain: Arc::clone(&in_vain),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, manager));
        });
        let fake = Self { directory, project: project.to_str().unwrap().to_owned(), said, trail, in_vain };
        for _ in 0..3 {
            fake.event(&format!(r#""event":"started","x":"{}\u001b{}""#, '\u{9b}', '\u{202e}'));
        }
        fake
    }

    pub(crate) fn in_vain(&self) -> usize {
        self.in_vain.load(Ordering::SeqCst)
    }

    /// Adds a line with these members to the audit trail.
    pub(crate) fn event(&self, members: &str) {
        let mut trail = self.trail.lock().unwrap();
        let seq = trail.len() + 1;
        trail.push(format!(
            r#"{{"seq":{seq},"time_unix_ms":0,"prev":"0","session":"abc","owner_uid":1000,{members}}}"#
        ));
    }

    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentboxctl"));
        command
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.directory.path())
            .env("CONFIGURATION_DIRECTORY", self.directory.path().join("etc"))
            .env("LOGS_DIRECTORY", self.directory.path().join("log"))
            .env("AB_MARK", "1");
        command
    }
}

async fn serve(listener: UnixListener, manager: Manager) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    let guid = zbus::Guid::generate();
    let mut connections = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let built = zbus::connection::Builder::unix_stream(stream.into_std().unwrap())
            .server(guid.clone())
            .p2p()
            .serve_at(PATH, manager.clone())
            .build()
            .await;
        // A client that was refused before it asked anything just goes.
        connections.extend(built.ok());
    }
}

#[derive(Clone)]
struct Manager {
    play: Play,
    said: Arc<Mutex<Vec<Said>>>,
    trail: Arc<Mutex<Vec<String>>>,
    in_vain: Arc<AtomicUsize>,
}

/// How the fake describes itself.
pub(crate) fn introspection() -> String {
    let mut xml = String::new();
    let manager = Manager {
        play: Arc::new(drop),
        said: Arc::default(),
        trail: Arc::default(),
        in_vain: Arc::default(),
    };
    zbus::object_server::Interface::introspect_to_writer(&manager, &mut xml, 0);
    xml
}

impl Manager {
    fn say(&self, said: Said) {
        self.said.lock().unwrap().push(said);
    }

    fn console(&self) -> zbus::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let play = Arc::clone(&self.play);
        std::thread::spawn(move || play(Console::new(ours)));
        OwnedFd::from(theirs).into()
    }
}

#[allow(unused_variables, reason = "the names of arguments are part of the interface")]
#[zbus::interface(name = "org.agentbox1.Manager")]
impl Manager {
    #[zbus(out_args("answer", "console"))]
    async fn start(&self, project: zbus::OwnedFd, request: Dict) -> Result<(Dict, zbus::OwnedFd), Error> {
        let request: StartRequest = from_dict(request)?;
        if request.options.profile.as_deref() == Some("refuse") {
            return Err(Error::Refused(
                "refused: \x1b[2J\nrule: /etc/agentbox/agentbox.toml: floor.network\ndo this".into(),
            ));
        }
        let slow = request.options.profile.as_deref() == Some("slow");
        self.say(Said::Start(Box::new(request)));
        if slow {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        let answer = StartAnswer {
            id: "abc".into(),
            project: "/p".into(),
            network: "public".into(),
            published: answers::network().published,
            ..StartAnswer::default()
        };
        Ok((to_dict(&answer)?, self.console()))
    }

    #[zbus(out_args("answer"))]
    async fn explain(&self, project: zbus::OwnedFd, request: Dict) -> Result<Dict, Error> {
        let answer = ExplainAnswer {
            values: vec![["project".into(), "/p\x1b[2J".into(), "file: \u{202e}key".into()]],
            steps: vec!["bind \u{9b}x".into()],
            hash: "0123".into(),
            legs: agentbox_policy::Legs::default(),
            warnings: vec!["\x1b]0;x\x07".into()],
        };
        Ok(to_dict(&answer)?)
    }

    #[zbus(out_args("answer"))]
    async fn trust(&self, project: zbus::OwnedFd, request: Dict) -> Result<Dict, Error> {
        let changed = vec!["network: none → \x1b[2J".into()];
        Ok(to_dict(&TrustAnswer { project: "/p\x1b".into(), changed })?)
    }

    #[zbus(out_args("profiles"))]
    async fn kept_profiles(&self, owner_uid: u32) -> Result<Vec<String>, Error> {
        Ok(vec!["gone".into()])
    }

    async fn reset_profile(&self, owner_uid: u32, profile: &str) -> Result<(), Error> {
        Ok(())
    }

    #[zbus(out_args("sessions"))]
    async fn list(&self) -> Result<Vec<Dict>, Error> {
        Ok(vec![to_dict(&answers::summary())?])
    }

    #[zbus(out_args("status"))]
    async fn status(&self, id: &str) -> Result<Dict, Error> {
        match id {
            "abc" | "named" => Ok(to_dict(&answers::status())?),
            "still" => Ok(to_dict(&answers::still())?),
            _ => Err(Error::NotFound(format!("no session {id}"))),
        }
    }

    #[zbus(out_args("console"))]
    async fn attach(&self, id: &str, client: Dict) -> Result<zbus::OwnedFd, Error> {
        self.say(Said::Attach(id.to_owned()));
        Ok(self.console())
    }

    #[zbus(out_args("console"))]
    async fn exec(&self, id: &str, command: Vec<String>, client: Dict) -> Result<zbus::OwnedFd, Error> {
        Ok(self.console())
    }

    async fn stop(&self, id: &str, timeout_ms: u64) -> Result<(), Error> {
        self.say(Said::Stop(id.to_owned(), timeout_ms));
        Ok(())
    }

    #[zbus(out_args("sets"))]
    async fn changes(&self) -> Result<Vec<Dict>, Error> {
        answers::sets().iter().map(|set| Ok(to_dict(set)?)).collect()
    }

    #[zbus(out_args("answer", "descriptors"))]
    async fn review(&self, id: &str) -> Result<(Dict, Vec<zbus::OwnedFd>), Error> {
        Err(Error::NotFound(format!("no changes of {id}")))
    }

    async fn reviewed(&self, id: &str, taken: Dict) -> Result<(), Error> {
        Err(Error::NotFound(format!("no changes of {id}")))
    }

    async fn discard(&self, id: &str) -> Result<(), Error> {
        Err(Error::NotFound(format!("no changes of {id}")))
    }

    #[zbus(out_args("answer"))]
    async fn allow(&self, id: &str, target: &str, for_ms: u64) -> Result<Dict, Error> {
        if target == "above.org" {
            return Err(Error::Refused(
                "refused: above.org\nrule: /etc/agentbox/agentbox.toml: ceiling.allow\nask root".into(),
            ));
        }
        self.say(Said::Allow(id.to_owned(), target.to_owned(), for_ms));
        Ok(to_dict(&AllowAnswer { target: target.to_owned(), rules: 15, cut: 0, warnings: Vec::new() })?)
    }

    #[zbus(out_args("answer"))]
    async fn deny(&self, id: &str, target: &str) -> Result<Dict, Error> {
        self.say(Said::Deny(id.to_owned(), target.to_owned()));
        Ok(to_dict(&AllowAnswer { target: target.to_owned(), rules: 16, cut: 2, warnings: Vec::new() })?)
    }

    #[zbus(out_args("answer"))]
    async fn why(&self, id: &str, what: &str) -> Result<Dict, Error> {
        self.say(Said::Why(id.to_owned(), what.to_owned()));
        Ok(to_dict(&answers::why(id, what))?)
    }

    #[zbus(out_args("confirmations"))]
    async fn confirmations(&self, id: &str) -> Result<Vec<Dict>, Error> {
        if id == "none" {
            return Ok(Vec::new());
        }
        self.in_vain.fetch_add(1, Ordering::SeqCst);
        Ok(vec![to_dict(&answers::confirmation())?])
    }

    async fn confirm(&self, id: &str, number: u64, accept: bool) -> Result<(), Error> {
        self.say(Said::Confirm(id.to_owned(), number, accept));
        Ok(())
    }

    async fn freeze(&self, id: &str) -> Result<(), Error> {
        Err(Error::NotFound(format!("no session {id}")))
    }

    #[zbus(out_args("was_frozen"))]
    async fn thaw(&self, id: &str) -> Result<bool, Error> {
        Ok(id == "abc")
    }

    #[zbus(out_args("notices"))]
    async fn notices(&self, id: &str, after: u64) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    #[zbus(out_args("report"))]
    async fn report(&self, id: &str) -> Result<Dict, Error> {
        Err(Error::NotFound("there is no report".into()))
    }

    #[zbus(out_args("lines"))]
    async fn log(&self, id: &str, after: u64) -> Result<Vec<String>, Error> {
        let trail = self.trail.lock().unwrap();
        // An answer holds only so many lines.
        let answer: Vec<_> = trail.iter().skip(usize::try_from(after).unwrap()).take(2).cloned().collect();
        self.in_vain.fetch_add(usize::from(answer.is_empty()), Ordering::SeqCst);
        Ok(answer)
    }

    #[zbus(out_args("verdict"))]
    async fn verify_log(&self) -> Result<Dict, Error> {
        Ok(to_dict(&LogVerdict {
            whole: false,
            lines: 3,
            last: 3,
            anchors: Some(2),
            problems: vec!["line 2: \x1b".into()],
        })?)
    }

    #[zbus(out_args("checks"))]
    async fn diagnose(&self) -> Result<Vec<Dict>, Error> {
        let check = Check {
            check: "kernel".into(),
            state: CheckState::Missing,
            found: "\x1b[31m".into(),
            remedy: "\u{202e}".into(),
        };
        Ok(vec![to_dict(&check)?])
    }

    #[zbus(out_args("cleaned"))]
    async fn repair(&self) -> Result<Vec<String>, Error> {
        Ok(vec!["/run/\x1b".into()])
    }

    async fn subscribe(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn unsubscribe(&self) -> Result<(), Error> {
        Ok(())
    }

    #[zbus(signal)]
    async fn session_new(
        emitter: &zbus::object_server::SignalEmitter<'_>,
        id: &str,
        path: zbus::ObjectPath<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn session_removed(
        emitter: &zbus::object_server::SignalEmitter<'_>,
        id: &str,
        path: zbus::ObjectPath<'_>,
    ) -> zbus::Result<()>;
}
