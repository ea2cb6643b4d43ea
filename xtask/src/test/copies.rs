//! Copies of the programs that the suite drives.

use crate::demo::Place;
use anyhow::{Context as _, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The programs where the throw-away persons of the tests can run them too: the clone may lie in a home
/// that is closed to them.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) debug: PathBuf,
    pub(crate) testing: PathBuf,
    _place: Place,
}

impl Copies {
    pub(crate) fn make(debug: &Path, testing: &Path) -> Result<Self> {
        let place = Place::make("test", debug)?;
        let copy = |from: &Path, name: &str| -> Result<PathBuf> {
            let to = place.shared().join(name);
            std::fs::create_dir(&to).with_context(|| format!("cannot make {}", to.display()))?;
            std::fs::set_permissions(&to, Permissions::from_mode(0o755))?;
            for entry in std::fs::read_dir(from)? {
                let entry = entry?;
                std::fs::copy(entry.path(), to.join(entry.file_name()))
                    .with_context(|| format!("cannot copy {}", entry.path().display()))?;
            }
            Ok(to)
        };
        Ok(Self { debug: copy(debug, "debug")?, testing: copy(testing, "testing")?, _place: place })
    }
}
