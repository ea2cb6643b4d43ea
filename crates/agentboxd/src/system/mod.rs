//! The supervisor as a service of the system: on the system bus, with scopes of the service manager.
//!
//! One object answers everybody; who calls is asked of the bus at each call. The process stays until it is
//! told to end, and sessions live on: the next one takes them over.
//!
//! | file | holds |
//! |---|---|
//! | `scopes` | units of the service manager |
//! | `stock` | the scope of the next session |
//! | `polkit` | who may do what no rule allows |
//! | `store` | descriptors for the next supervisor |
//! | `notify` | what the service manager is told |

pub(crate) mod notify;
pub(crate) mod polkit;
pub(crate) mod scopes;
pub(crate) mod stock;
pub(crate) mod store;

use crate::manager::Manager;
use crate::options::Options;
use crate::supervisor::Supervisor;
use crate::{objects, process, reconcile, workspace};
use agentbox_ipc::BUS_NAME;
use agentbox_kernel::directory::DirectoryError;
use notify::Notifier;
use scopes::Scopes;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::{Left, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// Where a service manager says that it is one (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// The supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    /// No service manager.
    #[error("there is no systemd here ({BOOTED}); run `agentboxd --embedded`, as agentboxctl does by itself")]
    NoManager,
    /// Its directories.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The system bus.
    #[error("system bus: {0}")]
    Bus(#[from] zbus::Error),
    /// The bus has gone.
    #[error("the system bus has closed the connection")]
    BusGone,
    /// Something of the system's.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs until it is told to end.
pub(crate) fn run(options: &Options) -> Result<(), SystemError> {
    if !std::path::Path::new(BOOTED).is_dir() {
        return Err(SystemError::NoManager);
    }
    let left = store::inherited()?;
    process::run(serve(options, left))?
}

async fn serve(options: &Options, left: Left) -> Result<(), SystemError> {
    process::forbid_inspection()?;
    process::raise_descriptor_limit();
    process::prepare_starts();
    let notifier = Notifier::from_environment()?.map(Arc::new);
    let tell = |what: &dyn Fn(&Notifier)| notifier.as_deref().map_or((), what);
    let store = notifier.clone().map(|notifier| Store::new(notifier, left));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = signal(SignalKind::hangup())?;
    let connection = zbus::connection::Builder::system().build().await?;
    let scopes = Scopes::new(&connection).await?;
    let supervisor = process::supervisor(options, process::directories()?, Some(scopes), store)?;
    // What an earlier one left is taken over before anybody can ask for it.
    reconcile::reconcile(&supervisor).await;
    supervisor.all_taken_over().await;
    // Before anybody starts something in a project again.
    workspace::finish_all(&supervisor).await;
    if let Some(store) = supervisor.store() {
        let sessions = supervisor.sessions();
        store.forget_unless(|name| {
            sessions.iter().any(|session| name.split('-').any(|part| part == session.id().as_str()))
        });
    }
    objects::serve(&supervisor, &connection, Manager::on_bus(Arc::clone(&supervisor))).await?;
    connection.request_name(BUS_NAME).await?;
    tell(&Notifier::ready);
    let period = notify::watchdog();
    let mut alive = tokio::time::interval(period.unwrap_or(Duration::from_secs(3600)));
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => {
                tell(&Notifier::reloading);
                supervisor.reload();
                tell(&Notifier::ready);
            }
            _ = alive.tick() => if period.is_some() { tell(&Notifier::alive) },
            () = supervisor.changed.notified() => tell(&|notifier| notifier.status(&status(&supervisor))),
            () = connection.closed() => return Err(SystemError::BusGone),
        }
    }
    tracing::info!("told to end; sessions live on");
    tell(&Notifier::stopping);
    // Nobody is answered any more, so that what is asked from now on waits for the next one.
    connection.release_name(BUS_NAME).await?;
    stock::close(&supervisor).await;
    process::end(&supervisor);
    supervisor.audit().sync();
    Ok(())
}

fn status(supervisor: &Supervisor) -> String {
    match supervisor.sessions().len() {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    }
}
