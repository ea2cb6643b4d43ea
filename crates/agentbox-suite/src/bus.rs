//! The supervisor's interface as a program of any user calls it: on the system bus in a rig, on its own socket
//! elsewhere.

use crate::machine::Machine;
use anyhow::{Context, Result};
use rustix::process::{Gid, Uid};
use std::os::unix::net::UnixStream;
use zbus::Connection;
use zbus::connection::Builder;

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
            rustix::thread::set_thread_groups(&[])?;
            let group = Gid::from_raw(uid);
            rustix::thread::set_thread_res_gid(group, group, group)?;
            let user = Uid::from_raw(uid);
            rustix::thread::set_thread_res_uid(user, user, user)?;
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

/// Path of a session's object.
#[must_use]
pub fn object(id: &str) -> String {
    format!("{PATH}/session/{id}")
}
