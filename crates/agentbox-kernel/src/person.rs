//! Accounts of the machine, as the name service knows them.
//!
//! Only looks up. Names and paths come back as text; an account whose entry is not UTF-8 is an error,
//! because everything it would be written into (messages, policies) is text.

use crate::sys::{self, Key};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::io;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, the primary one among them.
    pub groups: Vec<u32>,
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl Person {
    /// With the home where it really is, when there is one: the paths of projects are real ones, and what a rule says
    /// of `~` is held against them.
    #[must_use]
    pub fn at_real_home(mut self) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let home = rustix::fs::open(&self.home, flags, Mode::empty()).ok();
        if let Some(real) = home.and_then(|home| crate::source::real_path(home).ok()) {
            self.home = real;
        }
        self
    }
}

/// Why an account could not be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersonError {
    /// The name service failed.
    #[error("cannot look up {what}: {cause}; `getent` asks the same name service")]
    Lookup {
        /// Whom or what.
        what: String,
        /// What the name service said.
        cause: io::Error,
    },
    /// An entry cannot be used.
    #[error("the {field} of {what} is not UTF-8; correct the entry of the name service")]
    NotText {
        /// Whose entry.
        what: String,
        /// Which part of it.
        field: &'static str,
    },
    /// A name with a NUL byte.
    #[error("{0:?} is not a name")]
    NotAName(String),
}

/// The account of a user id; `None` when there is none.
///
/// # Errors
/// [`PersonError`] when the name service fails or the entry is not text.
pub fn by_uid(uid: u32) -> Result<Option<Person>, PersonError> {
    look_up(Key::Id(uid), &format!("uid {uid}"))
}

/// The account of a login name; `None` when there is none.
///
/// # Errors
/// [`PersonError`] as for [`by_uid`].
pub fn by_name(name: &str) -> Result<Option<Person>, PersonError> {
    let key = c_name(name)?;
    look_up(Key::Name(&key), &format!("user {name:?}"))
}

/// Whether the name service knows the user id. A lookup that fails counts as known: an id that may be
/// somebody's is not to be leased.
#[must_use]
pub fn uid_known(uid: u32) -> bool {
    !matches!(sys::account(Key::Id(uid)), Ok(None))
}

/// Whether the name service knows the group id; a lookup that fails counts as known.
#[must_use]
pub fn gid_known(gid: u32) -> bool {
    !matches!(sys::group(Key::Id(gid)), Ok(None))
}

/// The id of a group; `None` when there is none of that name.
///
/// # Errors
/// [`PersonError`] when the name service fails.
pub fn group_id(name: &str) -> Result<Option<u32>, PersonError> {
    Ok(group(name)?.map(|group| group.gid))
}

/// The name of a group; `None` when it has none that is text, or the name service fails: it is only shown.
#[must_use]
pub fn group_name(gid: u32) -> Option<String> {
    sys::group(Key::Id(gid)).ok()??.name.into_string().ok()
}

/// Names listed in a group; none when there is no such group. Those who have it as their primary group
/// are not listed: compare [`group_id`] with [`Person::groups`].
///
/// # Errors
/// [`PersonError`] when the name service fails or a name is not text.
pub fn members_of_group(name: &str) -> Result<Vec<String>, PersonError> {
    let members = group(name)?.map(|group| group.members).unwrap_or_default();
    members.into_iter().map(|member| text(member, "member list", &format!("group {name:?}"))).collect()
}

fn group(name: &str) -> Result<Option<sys::Group>, PersonError> {
    let key = c_name(name)?;
    sys::group(Key::Name(&key))
        .map_err(|cause| PersonError::Lookup { what: format!("group {name:?}"), cause })
}

fn look_up(key: Key<'_>, what: &str) -> Result<Option<Person>, PersonError> {
    let failed = |cause| PersonError::Lookup { what: what.to_owned(), cause };
    let Some(account) = sys::account(key).map_err(failed)? else { return Ok(None) };
    let groups = sys::groups_of(&account.name, account.gid).map_err(failed)?;
    Ok(Some(Person {
        uid: account.uid,
        gid: account.gid,
        groups,
        name: text(account.name, "name", what)?,
        home: text(account.home, "home directory", what)?,
        shell: text(account.shell, "shell", what)?,
    }))
}

fn c_name(name: &str) -> Result<CString, PersonError> {
    CString::new(name).map_err(|_| PersonError::NotAName(name.to_owned()))
}

fn text(bytes: CString, field: &'static str, what: &str) -> Result<String, PersonError> {
    bytes.into_string().map_err(|_| PersonError::NotText { what: what.to_owned(), field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_id_and_by_name() {
        let root = by_uid(0).unwrap().unwrap();
        assert_eq!((root.uid, root.gid, root.name.as_str()), (0, 0, "root"));
        assert!(root.groups.contains(&0));
        assert_eq!(by_name("root").unwrap(), Some(root));
    }

    #[test]
    fn ids_of_nobody_are_not_known() {
        assert!(uid_known(0) && gid_known(0));
        assert!(!uid_known(2_099_999_997) && !gid_known(2_099_999_997));
        assert_eq!(by_uid(2_099_999_997).unwrap(), None);
    }

    #[test]
    fn a_group_that_does_not_exist_has_no_members() {
        assert_eq!(members_of_group("no-such-group-here").unwrap(), Vec::<String>::new());
        assert_eq!(group_id("no-such-group-here").unwrap(), None);
        assert_eq!(group_id("root").unwrap(), Some(0));
    }

    #[test]
    fn a_name_with_a_nul_is_refused() {
        assert!(matches!(by_name("a\0b"), Err(PersonError::NotAName(_))));
    }
}
