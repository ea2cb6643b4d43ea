//! Who somebody is on this host, by the name service switch.

use crate::errors::Failure;
use nix::unistd::{Uid, User};
use std::path::PathBuf;

/// An account of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

impl Account {
    /// The account with this user id.
    pub(crate) fn of(uid: u32) -> Result<Self, Failure> {
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Ok(Self { uid, gid: user.gid.as_raw(), home: user.dir }),
            Ok(None) => Err(Failure::new(format!("user id {uid} has no account on this host"))),
            Err(errno) => Err(Failure::system(format!("cannot look up user id {uid}"), errno)),
        }
    }
}

/// Home of whoever runs this program.
///
/// Root's is the account's: `sudo` may leave HOME pointing at the files of somebody else, which root must not read
/// as its own. Where there is no account, there are no files of its own either.
pub(crate) fn own_home() -> Option<PathBuf> {
    let uid = rustix::process::geteuid();
    let named = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match named {
        Some(home) if !uid.is_root() => Some(home),
        _ => Account::of(uid.as_raw()).ok().map(|account| account.home),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_an_account_and_nobody_in_particular_has_none() {
        assert_eq!(Account::of(0).unwrap().gid, 0);
        assert!(Account::of(3_999_999_999).unwrap_err().text().contains("3999999999"));
    }
}
