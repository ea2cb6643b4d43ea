//! Reading the system's configuration.
//!
//! `agentbox.toml` or `agentbox.json`, then `conf.d/*.toml` and `*.json` in the order of their names. What
//! is in them decides what root does for others, so a file counts only when nobody else could have
//! written it. A configuration that cannot be used does not keep the supervisor from running: sessions
//! can be seen and stopped, and every start is refused with the reason.

use agentbox_kernel::directory::{self, DirectoryError};
use agentbox_kernel::failpoint::in_force;
use agentbox_policy::{ConfigError, Layer, LayerKind, MAX_FILE_BYTES, System, merge_system};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where it is when nothing else is said.
pub(crate) const DIRECTORY: &str = "/etc/agentbox";
const MAIN: [&str; 2] = ["agentbox.toml", "agentbox.json"];
const DROP_INS: &str = "conf.d";
/// In the runtime directory: what the supervisor of now goes by, for the next one.
const KEPT: &str = "configuration.json";
const MOST_KEPT_BYTES: usize = 16 << 20;

/// The configuration that sessions are started with.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Its files, in the order they were merged.
    pub(crate) files: Vec<String>,
    /// What they say.
    pub(crate) system: System,
    /// The same as it is kept for the next supervisor.
    pub(crate) kept: Vec<u8>,
}

impl Configuration {
    fn of(layers: Vec<Layer>) -> Result<Self, ConfigurationError> {
        let files = layers.iter().map(|layer| layer.file.clone()).collect();
        let kept = serde_json::to_vec(&layers).unwrap_or_default();
        Ok(Self { files, system: merge_system(layers)?, kept })
    }

    /// Keeps it for the next supervisor, which compares: what was tightened between the two holds for what runs.
    pub(crate) fn keep(&self, runtime: impl AsFd) -> Result<(), DirectoryError> {
        directory::write_atomic(runtime, KEPT, &self.kept, 0o600, false)
    }

    /// What the supervisor before this one went by; none where that is not known, or cannot be understood any more.
    pub(crate) fn of_the_last(runtime: impl AsFd) -> Option<Self> {
        let bytes = directory::read_file(runtime, KEPT, MOST_KEPT_BYTES).ok().flatten()?;
        Self::parse(&bytes)
    }

    pub(crate) fn parse(kept: &[u8]) -> Option<Self> {
        Self::of(serde_json::from_slice(kept).ok()?).ok()
    }
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// A file or directory could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else could have written it.
    #[error("{}: {what}", path.display())]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        what: &'static str,
    },
    /// Its content.
    #[error("{0}")]
    Content(#[from] ConfigError),
}

/// Reads a directory of configuration; one that is not there is an empty one.
pub(crate) fn read(directory: &Path) -> Result<Configuration, ConfigurationError> {
    let mut layers = Vec::new();
    if let Some(handle) = open_directory(directory)? {
        for name in MAIN {
            if let Some(layer) = read_file(&handle, directory, name)? {
                if !layers.is_empty() {
                    let path = directory.join(name);
                    return Err(untrusted(path, "both a .toml and a .json file exist; remove one of them"));
                }
                layers.push(layer);
            }
        }
        let drop_ins = directory.join(DROP_INS);
        if let Some(handle) = open_directory(&drop_ins)? {
            for name in names(&handle, &drop_ins)? {
                layers.extend(read_file(&handle, &drop_ins, &name)?);
            }
        }
    }
    #[cfg(feature = "testing")]
    leave_out(&mut layers);
    Configuration::of(layers)
}

/// What bounds every session, where a test has it left out.
#[cfg(feature = "testing")]
fn leave_out(layers: &mut [Layer]) {
    for layer in layers {
        layer.config.floor = layer.config.floor.take().filter(|_| in_force("floor"));
        layer.config.ceiling = layer.config.ceiling.take().filter(|_| in_force("ceiling"));
    }
}

fn open_directory(path: &Path) -> Result<Option<OwnedFd>, ConfigurationError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => {
            check(&directory, path, FileType::Directory)?;
            Ok(Some(directory))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed(path.to_owned(), error)),
    }
}

fn names(handle: &OwnedFd, path: &Path) -> Result<Vec<String>, ConfigurationError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(handle).map_err(|error| failed(path.to_owned(), error))? {
        let entry = entry.map_err(|error| failed(path.to_owned(), error))?;
        // Names that are no text, hidden ones and what editors and package managers leave do not count.
        if let Ok(name) = entry.file_name().to_str()
            && !name.starts_with('.')
            && (name.ends_with(".toml") || name.ends_with(".json"))
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read_file(handle: &OwnedFd, directory: &Path, name: &str) -> Result<Option<Layer>, ConfigurationError> {
    let path = directory.join(name);
    // NONBLOCK: opening a pipe would otherwise wait for somebody to write into it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(handle, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => {
            return Err(untrusted(path, "a symbolic link; put the file itself there, or use --config DIR"));
        }
        Err(error) => return Err(failed(path, error)),
    };
    check(&file, &path, FileType::RegularFile)?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows the parser that it is too large.
    let most = MAX_FILE_BYTES as u64 + 1;
    File::from(file)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|source| ConfigurationError::Io { path: path.clone(), source })?;
    Ok(Some(Layer::parse(&path.to_string_lossy(), &bytes, LayerKind::System)?))
}

fn check(file: &OwnedFd, path: &Path, kind: FileType) -> Result<(), ConfigurationError> {
    let stat = rustix::fs::fstat(file).map_err(|error| failed(path.to_owned(), error))?;
    let wrong = if FileType::from_raw_mode(stat.st_mode) != kind {
        "not a regular file"
    } else if stat.st_uid != rustix::process::geteuid().as_raw() && in_force("configuration-owner") {
        "belongs to somebody else; chown it to root"
    } else if stat.st_mode & 0o022 != 0 && in_force("configuration-mode") {
        "others can write it; chmod go-w it"
    } else {
        return Ok(());
    };
    Err(untrusted(path.to_owned(), wrong))
}

fn failed(path: PathBuf, error: Errno) -> ConfigurationError {
    ConfigurationError::Io { path, source: error.into() }
}

fn untrusted(path: PathBuf, what: &'static str) -> ConfigurationError {
    ConfigurationError::Untrusted { path, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    fn write(dir: &TempDir, name: &str, text: &str) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn error(dir: &TempDir) -> String {
        read(dir.path()).unwrap_err().to_string()
    }

    #[test]
    fn nothing_there_is_an_empty_configuration() {
        let dir = TempDir::new().unwrap();
        assert!(read(&dir.path().join("none")).unwrap().files.is_empty());
        assert!(read(dir.path()).unwrap().files.is_empty());
    }

    #[test]
    fn drop_ins_come_after_the_main_file_in_the_order_of_their_names() {
        let dir = TempDir::new().unwrap();
        for name in
            ["conf.d/20.toml", "conf.d/10.toml", "conf.d/.hidden.toml", "conf.d/30.toml.bak", "agentbox.toml"]
        {
            write(&dir, name, "");
        }
        let files = read(dir.path()).unwrap().files;
        let names: Vec<_> =
            files.iter().map(|file| Path::new(file).strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(names, ["agentbox.toml", "conf.d/10.toml", "conf.d/20.toml"].map(Path::new));
    }

    #[test]
    fn what_others_could_have_written_does_not_count() {
        let dir = TempDir::new().unwrap();
        write(&dir, "agentbox.toml", "");
        let path = dir.path().join("agentbox.toml");
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(error(&dir).contains("chmod"), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(dir.path()).is_ok());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(error(&dir).contains("chmod"));
    }

    #[test]
    fn links_pipes_and_directories_are_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("agentbox.toml");
        write(&dir, "real.toml", "");
        symlink("real.toml", &path).unwrap();
        assert!(error(&dir).contains("symbolic link"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(error(&dir).contains("not a regular file"));
        fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(error(&dir).contains("not a regular file"));
    }

    #[test]
    fn two_main_files_are_one_too_many() {
        let dir = TempDir::new().unwrap();
        write(&dir, "agentbox.toml", "");
        write(&dir, "agentbox.json", "{}");
        assert!(error(&dir).contains("remove one"));
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let dir = TempDir::new().unwrap();
        write(&dir, "agentbox.toml", &"#".repeat(MAX_FILE_BYTES + 1));
        assert!(error(&dir).contains("larger"));
    }
}
