//! The output of a program in a session, for this program instead of a person.

use super::ClientError;
use super::frames::Incoming;
use agentbox_plan::Exit;
use agentbox_plan::console::FromConsole;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::RecvFlags;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;

const READ_BYTES: usize = 64 * 1024;

/// What the program wrote to its standard output, as a file in memory of at most `most` bytes, and how it ended.
///
/// # Errors
/// [`ClientError`] when the console is lost or the output is larger.
pub(crate) fn collect(console: &OwnedFd, most: u64) -> Result<(Exit, OwnedFd), ClientError> {
    let mut output = File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);
    let (mut incoming, mut written) = (Incoming::default(), 0);
    loop {
        let mut bytes = [0; READ_BYTES];
        let (count, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(console, &mut bytes[..], RecvFlags::empty()))?;
        if count == 0 {
            return Err(ClientError::Lost("it ended early".into()));
        }
        incoming.space().extend_from_slice(&bytes[..count]);
        while let Some(message) = incoming.next().map_err(|error| ClientError::Lost(error.to_string()))? {
            match message {
                FromConsole::Output(bytes) => {
                    written += bytes.len() as u64;
                    if written > most {
                        return Err(ClientError::Lost(format!("more than {most} bytes of output")));
                    }
                    output.write_all(&bytes)?;
                }
                FromConsole::Exited(exit) => {
                    output.rewind()?;
                    return Ok((exit, output.into()));
                }
                _ => {}
            }
        }
    }
}
