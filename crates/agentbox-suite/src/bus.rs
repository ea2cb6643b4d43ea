//! The supervisor's interface as a program of any user calls it: on the system bus in a rig, on its own socket
//! elsewhere.

use crate::machine::Machine;
use crate::person::Person;
use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use rustix::process::{Gid, Uid};
use serde::Serialize;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::{Connection, DynamicType, Message, MessageStream};

/// Longest that a signal may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Name on the bus.
pub const NAME: &str = "org.agentbox1";
/// Path of the manager.
pub const PATH: &str = "/org/agentbox1";
/// Its interface.
pub const MANAGER: &str = "org.agentbox1.Manager";
/// The interface of sessions.
pub const SESSION: &str = "org.agentbox1.Session";

/// Has a conversation as this user. The kernel notes who a thread is when it connects.
///
/// # Errors
/// When there is no supervisor, and what the conversation says.
pub fn converse<T: Send>(
    machine: &Machine,
    uid: u32,
    conversation: impl AsyncFnOnce(&Connection) -> Result<T> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(uid)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let connection = match machine.service() {
                    Some(_) => Builder::system().build().await?,
                    None => {
                        let stream = UnixStream::connect(machine.runtime().join("bus"))?;
                        Builder::unix_stream(stream).p2p().build().await?
                    }
                };
                conversation(&connection).await
            })
        });
        thread
            .join()
            .map_err(|_panic| anyhow::anyhow!("the conversation panicked"))
            .context("as another user")?
    })
}

/// Connects to the socket of the embedded supervisor as this user.
///
/// # Errors
/// When there is none.
pub fn connect(machine: &Machine, uid: u32) -> Result<UnixStream> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(uid)?;
            Ok(UnixStream::connect(machine.runtime().join("bus"))?)
        });
        thread.join().map_err(|_panic| anyhow::anyhow!("no connection")).context("as another user")?
    })
}

/// Gives this thread, and no other one, the ids of a user.
fn become_user(uid: u32) -> Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    let group = Gid::from_raw(uid);
    rustix::thread::set_thread_res_gid(group, group, group)?;
    let user = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// Path of a session's object.
#[must_use]
pub fn object(id: &str) -> String {
    format!("{PATH}/session/{id}")
}

/// Calls a method.
///
/// # Errors
/// What is answered.
pub async fn call<B: Serialize + DynamicType>(
    connection: &Connection,
    path: &str,
    interface: &str,
    member: &str,
    body: &B,
) -> zbus::Result<Message> {
    connection.call_method(Some(NAME), path, Some(interface), member, body).await
}

/// Somebody else who may use the supervisor.
///
/// # Errors
/// When there can be no account, or the configuration cannot be written.
pub fn neighbour(machine: &Machine) -> Result<Person> {
    let other = Person::new()?;
    let file = machine.config().join("agentbox.toml");
    let text = std::fs::read_to_string(&file)?;
    let mine = format!("{:?}]", machine.person.name);
    std::fs::write(&file, text.replace(&mine, &format!("{:?}, {:?}]", machine.person.name, other.name)))?;
    machine.service().map_or(Ok(()), |service| service.restart())?;
    Ok(other)
}

/// Names of the signals of the supervisor that are there already.
///
/// # Errors
/// When the bus goes, or the one that is waited for does not come.
pub async fn heard(stream: &mut MessageStream, until: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        let wait = if until.is_some() { LIMIT } else { Duration::ZERO };
        let Ok(next) = tokio::time::timeout(wait, stream.next()).await else {
            ensure!(until.is_none(), "not heard: {until:?}, but {names:?}");
            return Ok(names);
        };
        let message = next.context("the bus has gone")??;
        let header = message.header();
        let path = header.path().map(|path| path.to_string()).unwrap_or_default();
        if header.message_type() == zbus::message::Type::Signal && path.starts_with(PATH) {
            let name = header.member().map(|name| name.to_string()).unwrap_or_default();
            let is_last = until == Some(name.as_str());
            names.push(name);
            if is_last {
                return Ok(names);
            }
        }
    }
}
