//! Descriptors that the service manager keeps for the next supervisor (FDSTORE= of sd_notify(3)): listeners on
//! ports that sessions publish. A gate has copies, but the supervisor that starts another one needs its own.

use super::notify::Notifier;
use crate::process::FIRST_LISTEN_FD;
use agentbox_kernel::inherited;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// FileDescriptorStoreMax= of the unit.
const MOST: usize = 1024;

/// Descriptors by their names; those of one name in the order of the store.
pub(crate) type Left = BTreeMap<String, Vec<OwnedFd>>;

/// The manager's store.
#[derive(Debug)]
pub(crate) struct Store {
    notifier: Arc<Notifier>,
    /// What an earlier supervisor left and nobody has asked for yet.
    left: Mutex<Left>,
}

impl Store {
    /// With what an earlier supervisor left.
    pub(crate) fn new(notifier: Arc<Notifier>, left: Left) -> Self {
        Self { notifier, left: Mutex::new(left) }
    }

    /// Has a descriptor kept under a name, of letters, digits and `-`; several may have the same.
    pub(crate) fn keep(&self, name: &str, descriptor: impl AsFd) {
        self.notifier.store(name, descriptor.as_fd());
    }

    /// What an earlier supervisor had kept under a name.
    pub(crate) fn take(&self, name: &str) -> Vec<OwnedFd> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(name).unwrap_or_default()
    }

    /// Keeps nothing under a name any more.
    pub(crate) fn forget(&self, name: &str) {
        self.notifier.forget(name);
    }

    /// Keeps nothing under names that nobody will ask for.
    pub(crate) fn forget_unless(&self, is_needed: impl Fn(&str) -> bool) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| {
            let needed = is_needed(name);
            if !needed {
                self.forget(name);
            }
            needed
        });
    }
}

/// What an earlier supervisor left, by its names. Before anything else is opened.
pub(crate) fn inherited() -> io::Result<Left> {
    let names = names(&|name| std::env::var(name).ok());
    let mut left = Left::new();
    for (descriptor, name) in inherited::take(FIRST_LISTEN_FD, names.len())?.into_iter().zip(names) {
        left.entry(name).or_default().push(descriptor);
    }
    Ok(left)
}

/// The names of the descriptors that this process was started with, by sd_listen_fds(3).
pub(crate) fn names(variable: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let number = |name: &str| variable(name)?.parse::<usize>().ok();
    if number("LISTEN_PID") != usize::try_from(std::process::id()).ok() {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(MOST);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names: Vec<String> = names.split(':').map(str::to_owned).collect();
    names.resize(count, String::new());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_counted_by_their_number_and_only_for_this_process() {
        let with = |pid: u32| {
            move |name: &str| match name {
                "LISTEN_PID" => Some(pid.to_string()),
                "LISTEN_FDS" => Some("3".to_owned()),
                "LISTEN_FDNAMES" => Some("a:b".to_owned()),
                _ => None,
            }
        };
        assert_eq!(names(&with(std::process::id())), ["a", "b", ""]);
        assert!(names(&with(1)).is_empty());
        assert!(names(&|_| None).is_empty());
    }
}
