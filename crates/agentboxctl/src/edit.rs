//! Changing the person's own file: as the person, keeping comments and order, whole or not at all.
//!
//! The new content is checked as a start would check it before it takes the place of the old one by a rename
//! that was synced. A file that is a link stays one: people keep theirs in repositories.

use crate::errors::Failure;
use crate::layers;
use agentbox_policy::{Layer, LayerKind, check_person};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table};

/// Changes the file below this home; its name.
pub(crate) fn change(
    home: &Path,
    how: impl FnOnce(&mut DocumentMut) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let named = layers::person_file(home);
    let parent = named.parent().unwrap_or(home);
    std::fs::create_dir_all(parent).map_err(|error| Failure::system(parent.display(), error))?;
    // A link is followed to where the file is, so that it can be replaced there.
    let path = match named.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named.is_symlink() => named.clone(),
        Err(error) => return Err(Failure::system(named.display(), error)),
    };
    let shown = named.to_string_lossy().into_owned();
    let directory = path.parent().unwrap_or(home).to_owned();
    // Two changes at once: the second one waits, and reads what the first one wrote.
    let lock =
        rustix::fs::open(&directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Failure::system(directory.display(), errno))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| Failure::system(format!("cannot lock {}", directory.display()), errno))?;
    let (before, mode) = layers::person_text(home)?.unwrap_or_default();
    let mut document: DocumentMut = before.parse().map_err(|error: toml_edit::TomlError| {
        Failure::new(format!("cannot change {shown}: {}", error.message()))
    })?;
    how(&mut document)?;
    let after = document.to_string();
    let layer = Layer::parse(&shown, after.as_bytes(), LayerKind::Person)?;
    check_person(&layers::system()?, &layer)?;
    replace(&path, &directory, after.as_bytes(), mode.unwrap_or(0o600))?;
    Ok(shown)
}

/// The table of that name, made where it is missing.
pub(crate) fn table<'a>(within: &'a mut Table, name: &str) -> Result<&'a mut Table, Failure> {
    let item = within.entry(name).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    item.as_table_mut().ok_or_else(|| {
        Failure::new(format!("`{name}` is not written as a table of its own\nwrite it as [{name}.NAME]"))
    })
}

fn replace(path: &Path, directory: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().as_bytes().escape_ascii().to_string();
    let temporary: PathBuf = directory.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(CWD, &temporary, flags, Mode::from_raw_mode(mode))?);
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    })();
    written.map_err(|error: std::io::Error| {
        let _not_made = rustix::fs::unlinkat(CWD, &temporary, AtFlags::empty());
        Failure::system(format!("cannot write {}", path.display()), error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn add(home: &Path, name: &str) -> Result<String, Failure> {
        change(home, |document| {
            let mut entry = Table::new();
            entry.insert("path", toml_edit::value("~/src"));
            table(document.as_table_mut(), "project")?.insert(name, Item::Table(entry));
            Ok(())
        })
    }

    #[test]
    fn a_file_is_made_and_then_changed_with_its_comments() {
        let home = tempfile::tempdir().unwrap();
        add(home.path(), "one").unwrap();
        let file = layers::person_file(home.path());
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, "[project.one]\npath = \"~/src\"\n");
        fs::write(&file, format!("# mine\ndefault_posture = \"L2\" # why\n\n{text}")).unwrap();
        add(home.path(), "two").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# mine\ndefault_posture = \"L2\" # why\n"), "{text}");
        assert!(text.contains("[project.one]") && text.contains("[project.two]"), "{text}");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "something is left beside it");
    }

    #[test]
    fn what_would_not_be_accepted_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        add(home.path(), "work").unwrap();
        let before = fs::read(layers::person_file(home.path())).unwrap();
        for bad in ["../x", "Work", "a b"] {
            assert!(add(home.path(), bad).is_err(), "{bad}");
        }
        assert_eq!(fs::read(layers::person_file(home.path())).unwrap(), before);
    }

    #[test]
    fn a_link_stays_one_and_the_mode_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("dotfiles.toml");
        fs::write(&kept, "").unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o640)).unwrap();
        let file = layers::person_file(home.path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&kept, &file).unwrap();
        add(home.path(), "one").unwrap();
        assert!(file.is_symlink());
        assert!(fs::read_to_string(&kept).unwrap().contains("project.one"));
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
