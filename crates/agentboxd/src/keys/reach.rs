//! Connections to the person's own agent: made by a child that is the person, few of them at a time.

use crate::descriptor::watch;
use agentbox_kernel::agent::{self, AgentError};
use agentbox_kernel::person::Person;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tokio::io::Interest;

/// A child takes a millisecond; one that waits for a file system of the person's is given up.
const LIMIT: Duration = Duration::from_secs(5);
/// Connections that may be begun in [`WINDOW`]. A git command makes one or two.
const MOST: usize = 64;
const WINDOW: Duration = Duration::from_secs(10);

/// How often connections were begun.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<Instant>);

impl Rate {
    /// Whether there may be another one now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|begun| now.duration_since(*begun) >= WINDOW) {
            self.0.pop_front();
        }
        let may = self.0.len() < MOST;
        if may {
            self.0.push_back(now);
        }
        may
    }
}

/// Connects as the person.
pub(super) async fn connect(person: Person, path: String, group: OwnedFd) -> Result<OwnedFd, AgentError> {
    let connecting = agent::connect(&person, &path, group.as_fd())?;
    let failed = |cause| AgentError::Io { doing: "wait for the child", cause };
    let ended = connecting.child.try_clone().and_then(|child| watch(child, Interest::READABLE));
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            let _child = connecting.abandon();
            return Err(failed(error));
        }
    };
    match tokio::time::timeout(LIMIT, ended.readable()).await {
        Ok(readable) => {
            drop(readable.map_err(failed)?);
            connecting.finish()
        }
        Err(_elapsed) => {
            let child = connecting.abandon();
            tokio::spawn(async move {
                if ended.readable().await.is_ok() {
                    agent::collect(&child);
                }
            });
            Err(AgentError::BrokenOff)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_begun_at_a_bounded_rate() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        assert_eq!((0..2 * MOST).filter(|_| rate.take(now)).count(), MOST);
        assert!(!rate.take(now + WINDOW / 2));
        assert!(rate.take(now + WINDOW));
    }
}
