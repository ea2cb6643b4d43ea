//! A supervisor in directories of its own, and peers that speak to it.

use agentbox_ipc::{ManagerProxy, StartRequest};
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;
use zbus::Connection;
use zbus::connection::Builder;

/// Somebody who is neither root nor named anywhere.
pub(crate) const NOBODY: u32 = 65534;

/// A running supervisor.
#[derive(Debug)]
pub(crate) struct Rig {
    dir: TempDir,
    child: Option<Child>,
}

impl Rig {
    /// Starts one with a configuration file of this content, on a socket that exists before it does.
    pub(crate) fn start(configuration: &str) -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["configuration", "runtime"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let file = dir.path().join("configuration/agentbox.toml");
        fs::write(&file, configuration).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        let bus = dir.path().join("runtime/bus");
        let listener = UnixListener::bind(&bus).unwrap();
        fs::set_permissions(&bus, fs::Permissions::from_mode(0o666)).unwrap();
        let child = Some(spawn(dir.path(), Some(listener)));
        Self { dir, child }
    }

    /// A path below its directories.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A connected socket.
    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path("runtime/bus")).unwrap()
    }

    /// A connected socket whose peer is another user: the kernel notes the credentials of the thread.
    pub(crate) fn connect_as(&self, uid: u32) -> UnixStream {
        let bus = self.path("runtime/bus");
        std::thread::spawn(move || {
            let uid = rustix::process::Uid::from_raw(uid);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            UnixStream::connect(bus).unwrap()
        })
        .join()
        .unwrap()
    }

    /// A conversation with it.
    pub(crate) async fn peer(&self) -> ManagerProxy<'static> {
        proxy(&converse(self.connect(), None).await.unwrap()).await
    }

    /// Waits until it has ended. The connections of this test are closed meanwhile.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
    }

    /// Tells it to end.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The events in its audit trail.
    pub(crate) fn events(&self) -> Vec<String> {
        let trail = fs::read_to_string(self.path("logs/audit.jsonl")).unwrap();
        let event = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["event"].as_str().unwrap().to_owned()
        };
        trail.lines().map(event).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the program with its directories below one; the listening socket is handed over as
/// sd_listen_fds(3) says.
fn spawn(dir: &Path, listener: Option<UnixListener>) -> Child {
    let program = env!("CARGO_BIN_EXE_agentboxd");
    let mut command = Command::new("/bin/sh");
    // The shell becomes the program, so its number is the program's.
    command.args([
        "-c",
        "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 0</dev/null",
        program,
        "--embedded",
    ]);
    command.arg("--config").arg(dir.join("configuration"));
    for (variable, name) in
        [("RUNTIME_DIRECTORY", "runtime"), ("STATE_DIRECTORY", "state"), ("LOGS_DIRECTORY", "logs")]
    {
        command.env(variable, dir.join(name));
    }
    if let Some(listener) = listener {
        command.stdin(Stdio::from(OwnedFd::from(listener)));
    }
    command.spawn().unwrap()
}

/// Authenticates on a socket; as another user than this process when one is given.
pub(crate) async fn converse(stream: UnixStream, uid: Option<u32>) -> zbus::Result<Connection> {
    let builder = Builder::unix_stream(stream).p2p();
    match uid {
        Some(uid) => builder.user_id(uid).build().await,
        None => builder.build().await,
    }
}

/// The interface on a connection.
pub(crate) async fn proxy(connection: &Connection) -> ManagerProxy<'static> {
    ManagerProxy::new(connection).await.unwrap()
}

/// A directory, opened for reading.
pub(crate) fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

/// A request for a shell that ends at once.
pub(crate) fn request() -> StartRequest {
    let mut request = StartRequest::default();
    request.options.command = vec!["true".to_owned()];
    request
}

/// Whether the other end has closed without a word.
pub(crate) fn is_closed(stream: &UnixStream) -> bool {
    let mut byte = [0];
    matches!((&mut &*stream).read(&mut byte), Ok(0) | Err(_))
}
