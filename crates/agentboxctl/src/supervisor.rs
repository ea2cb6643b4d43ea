//! The connection to the supervisor.
//!
//! D-Bus needs an asynchronous runtime; it lives as long as the questions do, on this one thread, and
//! is gone before a person's bytes are moved.

use crate::embedded;
use crate::errors::Failure;
use crate::output::note;
use crate::terminal::is_terminal;
use agentbox_ipc::{Client, ManagerProxy};
use agentbox_plan::{Streams, TerminalSize};
use serde::de::DeserializeOwned;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use zbus::proxy::CacheProperties;

/// How long a person waits without being told for what.
const UNTIL_NOTE: Duration = Duration::from_secs(1);

/// How often it is tried again when a supervisor goes away before it was asked anything.
const MAX_TRIES: u32 = 5;
/// A process that was killed has closed its sockets long before this is over.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A supervisor that can be asked.
#[derive(Debug)]
pub(crate) struct Supervisor {
    // Before the runtime: a connection that is dropped after it has no reactor.
    manager: ManagerProxy<'static>,
    runtime: Runtime,
}

impl Supervisor {
    /// Connects, and starts a supervisor where that is to be done.
    pub(crate) fn connect(embedded: bool) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::system("cannot make a runtime", error))?;
        if embedded::is_service(embedded) {
            let manager = runtime.block_on(async {
                let connection = zbus::connection::Builder::system().build().await?;
                ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await
            });
            return match manager {
                Ok(manager) => Ok(Self { manager, runtime }),
                Err(error) => Err(Failure::new(format!(
                    "cannot reach the system bus: {error}\nstart dbus, or use a supervisor of your own: --embedded"
                ))),
            };
        }
        let mut tries = 0;
        loop {
            match runtime.block_on(greeted(embedded::connect(embedded)?)) {
                Ok(manager) => return Ok(Self { manager, runtime }),
                // One that was killed a moment ago still had its socket. Nothing has been asked of it yet.
                Err(zbus::Error::InputOutput(_)) if tries < MAX_TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Err(error) => return Err(Failure::from(agentbox_ipc::Error::Transport(error))),
            }
        }
    }

    /// One that runs, without a word where none does.
    pub(crate) fn running() -> Option<Self> {
        if embedded::is_service(false) {
            return Self::connect(false).ok();
        }
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let manager = runtime.block_on(greeted(embedded::running()?)).ok()?;
        Some(Self { manager, runtime })
    }

    /// Asks one thing.
    pub(crate) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&ManagerProxy<'static>) -> Result<T, agentbox_ipc::Error>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(question(&self.manager)).map_err(Failure::from)
    }

    /// Asks one thing, and looks up now and then until the answer is there or `look` has enough.
    pub(crate) fn ask_looking_up<T>(
        &self,
        every: Duration,
        look: &mut impl FnMut() -> Result<(), Failure>,
        question: impl AsyncFnOnce(&ManagerProxy<'static>) -> Result<T, agentbox_ipc::Error>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let mut question = std::pin::pin!(question(&self.manager));
            loop {
                if let Ok(answer) = tokio::time::timeout(every, &mut question).await {
                    return answer.map_err(Failure::from);
                }
                look()?;
            }
        })
    }

    /// Asks one thing that may take its time, and says so when it does.
    pub(crate) fn ask_patiently<T>(
        &self,
        what: &str,
        question: impl AsyncFnOnce(&ManagerProxy<'static>) -> Result<T, agentbox_ipc::Error>,
    ) -> Result<T, Failure> {
        let answer = self.runtime.block_on(async {
            let mut question = std::pin::pin!(question(&self.manager));
            if let Ok(answer) = tokio::time::timeout(UNTIL_NOTE, &mut question).await {
                return answer;
            }
            if is_terminal(std::io::stderr()) {
                note(what);
            }
            question.await
        });
        answer.map_err(Failure::from)
    }
}

/// The conversation with a peer.
async fn greeted(stream: UnixStream) -> zbus::Result<ManagerProxy<'static>> {
    let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await?;
    ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await
}

/// Reads an answer.
pub(crate) fn understand<T: DeserializeOwned>(answer: agentbox_ipc::Dict) -> Result<T, Failure> {
    agentbox_ipc::from_dict(answer).map_err(|error| {
        Failure::new(format!(
            "the supervisor's answer cannot be understood: {error}\nagentboxctl and agentboxd are of different versions"
        ))
    })
}

/// What this process brings to a console.
pub(crate) fn client(streams: Streams, size: TerminalSize) -> Client {
    Client { streams: streams.into(), rows: size.rows, columns: size.columns }
}
