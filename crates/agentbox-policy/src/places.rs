//! Which places of the host a session sees, and which it never does, from the data files.

use crate::PolicyError;
use crate::paths::{is_within, overlap};
use serde::Deserialize;
use std::sync::OnceLock;

/// `data/base.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    pub(crate) shown: Vec<String>,
    pub(crate) devices: Vec<String>,
    pub(crate) optional_devices: Vec<String>,
    pub(crate) made: Vec<String>,
    pub(crate) proc_hidden: Vec<String>,
    pub(crate) proc_readonly: Vec<String>,
    pub(crate) system: Vec<String>,
    pub(crate) closed: Vec<String>,
    pub(crate) private: Vec<String>,
}

/// `data/credentials.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    home: Vec<String>,
    system: Vec<String>,
}

/// Reads a data file of this build, once.
pub(crate) fn load<T: serde::de::DeserializeOwned>(
    once: &'static OnceLock<Result<T, String>>,
    name: &str,
    text: &str,
) -> Result<&'static T, PolicyError> {
    let read = once.get_or_init(|| toml::from_str(text).map_err(|error| error.message().to_owned()));
    read.as_ref().map_err(|error| PolicyError::Invalid { what: format!("{name} of this build: {error}") })
}

impl Base {
    pub(crate) fn load() -> Result<&'static Self, PolicyError> {
        static ONCE: OnceLock<Result<Base, String>> = OnceLock::new();
        load(&ONCE, "base.toml", include_str!("../data/base.toml"))
    }

    /// The place of the host's own that a path lies in or around.
    pub(crate) fn system_place(&self, path: &str) -> Option<&str> {
        self.system.iter().map(String::as_str).find(|place| overlap(path, place))
    }

    /// The place that nobody is granted and that a path lies in or around.
    pub(crate) fn closed_place(&self, path: &str) -> Option<&str> {
        self.closed.iter().map(String::as_str).find(|place| overlap(path, place))
    }

    /// Whether all of a path is shown to everybody where it exists.
    pub(crate) fn shows(&self, path: &str) -> bool {
        self.shown.iter().any(|place| is_within(path, place))
    }
}

/// Every path of credentials, for somebody with this home.
pub(crate) fn credentials(home: &str) -> Result<Vec<String>, PolicyError> {
    static ONCE: OnceLock<Result<Credentials, String>> = OnceLock::new();
    let lists = load(&ONCE, "credentials.toml", include_str!("../data/credentials.toml"))?;
    let mut all: Vec<_> = lists.home.iter().map(|path| format!("{home}/{path}")).collect();
    // A home may be one of these places itself (/root), which then is not hidden from its owner.
    all.extend(lists.system.iter().filter(|place| !is_within(home, place)).cloned());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::is_normal;

    #[test]
    fn every_place_is_a_path_and_stands_once() {
        let base = Base::load().unwrap();
        let lists = [
            &base.shown,
            &base.devices,
            &base.optional_devices,
            &base.made,
            &base.proc_hidden,
            &base.proc_readonly,
            &base.system,
            &base.closed,
            &base.private,
            &credentials("/home/me").unwrap(),
        ];
        for list in lists {
            for (at, path) in list.iter().enumerate() {
                assert!(is_normal(path), "{path}");
                assert!(!list[..at].contains(path), "{path} stands twice");
            }
        }
    }

    #[test]
    fn nothing_shown_contains_another_entry_or_a_credential() {
        let base = Base::load().unwrap();
        for place in &base.shown {
            for other in base.shown.iter().chain(&base.made).filter(|other| *other != place) {
                assert!(!is_within(other, place), "{other} in {place}");
            }
            for secret in credentials("/home/me").unwrap() {
                assert!(!overlap(&secret, place), "{secret} in {place}");
            }
        }
    }
}
