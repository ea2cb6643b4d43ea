//! A supervisor that answers what it is told to answer.

use agentbox_ipc::{
    Check, CheckState, Dict, Error, ExplainAnswer, LogVerdict, PATH, SOCKET_NAME, SessionState,
    SessionSummary, StartAnswer, StartRequest, from_dict, to_dict,
};
use agentbox_plan::console::{Frame, FromConsole, ToConsole};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What was asked of it.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Start(Box<StartRequest>),
    Stop(String, u64),
}

type Play = Arc<dyn Fn(Console) + Send + Sync>;

pub(crate) struct Fake {
    directory: TempDir,
    project: String,
    said: Arc<Mutex<Vec<Said>>>,
}

impl Fake {
    /// Serves until the test ends. `play` is the console of every session.
    pub(crate) fn new(play: impl Fn(Console) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET_NAME)).unwrap();
        let project = directory.path().join("project");
        std::fs::create_dir(&project).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let manager = Manager { play: Arc::new(play), said: Arc::clone(&said) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, manager));
        });
        Self { directory, project: project.to_str().unwrap().to_owned(), said }
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
}

impl Manager {
    fn console(&self) -> zbus::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let play = Arc::clone(&self.play);
        std::thread::spawn(move || play(Console { socket: ours, buffer: Vec::new(), heard: Vec::new() }));
        OwnedFd::from(theirs).into()
    }
}

#[zbus::interface(name = "org.agentbox1.Manager")]
impl Manager {
    async fn start(&self, _project: zbus::OwnedFd, request: Dict) -> Result<(Dict, zbus::OwnedFd), Error> {
        let request: StartRequest = from_dict(request)?;
        if request.options.profile.as_deref() == Some("refuse") {
            return Err(Error::Refused(
                "refused: \x1b[2J\nrule: /etc/agentbox/agentbox.toml: floor.network\ndo this".into(),
            ));
        }
        self.said.lock().unwrap().push(Said::Start(Box::new(request)));
        let answer = StartAnswer { id: "abc".into(), project: "/p".into(), ..StartAnswer::default() };
        Ok((to_dict(&answer)?, self.console()))
    }

    async fn explain(&self, _project: zbus::OwnedFd, _request: Dict) -> Result<Dict, Error> {
        let answer = ExplainAnswer {
            values: vec![["project".into(), "/p\x1b[2J".into(), "file: \u{202e}key".into()]],
            steps: vec!["bind \u{9b}x".into()],
            hash: "0123".into(),
            warnings: vec!["\x1b]0;x\x07".into()],
        };
        Ok(to_dict(&answer)?)
    }

    async fn list(&self) -> Result<Vec<Dict>, Error> {
        let session = SessionSummary {
            id: "abc".into(),
            name: Some("n\u{202e}".into()),
            project: "/p\x1b[2J\n".into(),
            profile: "default".into(),
            posture: "L2".into(),
            agent: "shell".into(),
            state: SessionState::Running,
            started_unix_s: 1,
            memory_bytes: Some(5 << 20),
            tasks: None,
            owner_uid: 1000,
        };
        Ok(vec![to_dict(&session)?])
    }

    async fn status(&self, id: &str) -> Result<Dict, Error> {
        Err(Error::NotFound(format!("no session {id}")))
    }

    async fn attach(&self, _id: &str, _client: Dict) -> Result<zbus::OwnedFd, Error> {
        Ok(self.console())
    }

    async fn exec(&self, _id: &str, _command: Vec<String>, _client: Dict) -> Result<zbus::OwnedFd, Error> {
        Ok(self.console())
    }

    async fn stop(&self, id: &str, timeout_ms: u64) -> Result<(), Error> {
        self.said.lock().unwrap().push(Said::Stop(id.to_owned(), timeout_ms));
        Ok(())
    }

    async fn log(&self, _id: &str, after: u64) -> Result<Vec<String>, Error> {
        let line = |seq: u64| {
            format!(
                r#"{{"seq":{seq},"time_unix_ms":0,"prev":"0","event":"started","session":"abc","x":"{}\u001b{}"}}"#,
                '\u{9b}', '\u{202e}'
            )
        };
        Ok(match after {
            0 => vec![line(1), line(2)],
            2 => vec![line(3)],
            _ => Vec::new(),
        })
    }

    async fn verify_log(&self) -> Result<Dict, Error> {
        Ok(to_dict(&LogVerdict { whole: false, lines: 3, last: 3, problems: vec!["line 2: \x1b".into()] })?)
    }

    async fn diagnose(&self) -> Result<Vec<Dict>, Error> {
        let check = Check {
            check: "kernel".into(),
            state: CheckState::Missing,
            found: "\x1b[31m".into(),
            remedy: "\u{202e}".into(),
        };
        Ok(vec![to_dict(&check)?])
    }

    async fn repair(&self) -> Result<Vec<String>, Error> {
        Ok(vec!["/run/\x1b".into()])
    }
}

/// The session's end of a conversation.
pub(crate) struct Console {
    socket: UnixStream,
    buffer: Vec<u8>,
    heard: Vec<ToConsole>,
}

impl Console {
    pub(crate) fn say(&mut self, message: &FromConsole) {
        // A client that left is what some tests are about.
        let _ = self.socket.write_all(&message.to_frame().encode());
    }

    /// Everything up to a message.
    pub(crate) fn read_until(&mut self, last: impl Fn(&ToConsole) -> bool) -> Vec<ToConsole> {
        let mut piece = [0; 65536];
        while !self.heard.iter().any(&last) {
            let count = self.socket.read(&mut piece).unwrap();
            assert!(count > 0, "the client left after {:?}", self.heard);
            self.buffer.extend_from_slice(&piece[..count]);
            self.understand();
        }
        std::mem::take(&mut self.heard)
    }

    /// Whether a message has come, without waiting for it.
    pub(crate) fn heard(&mut self, message: &ToConsole) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut piece = [0; 4096];
        if let Ok(count) = self.socket.read(&mut piece) {
            self.buffer.extend_from_slice(&piece[..count]);
        }
        self.socket.set_nonblocking(false).unwrap();
        self.understand();
        self.heard.contains(message)
    }

    fn understand(&mut self) {
        while let Some(frame) = Frame::take(&mut self.buffer).unwrap() {
            self.heard.push(ToConsole::from_frame(frame).unwrap());
        }
    }
}
