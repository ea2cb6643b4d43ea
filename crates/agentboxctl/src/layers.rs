//! Reading one configuration file. Parsing is `agentbox-policy`'s.
//!
//! A project's file was perhaps put there by an agent: whatever else has its name — a link, a pipe, a
//! device, a directory, a file of gigabytes — is refused without following, waiting or reading on.

use crate::errors::{Failure, reason};
use agentbox_policy::{
    Layer, LayerKind, MAX_FILE_BYTES, Name, ProfileTable, ProjectTable, System, merge_system,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Name of a project's own file.
pub(crate) const PROJECT_FILE: &str = ".agentbox.toml";

/// The project's own file, or `None` when there is none. `path` is how messages name the project.
pub(crate) fn project_layer(directory: impl AsFd, path: &str) -> Result<Option<Layer>, Failure> {
    let name = format!("{}/{PROJECT_FILE}", path.trim_end_matches('/'));
    let opened = rustix::fs::openat2(
        directory,
        PROJECT_FILE,
        flags() | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    );
    match opened {
        Ok(file) => parse(&name, &read(file, &name)?, LayerKind::Project).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP) => {
            let remedy = "a project's own file must be a regular file: replace or remove it";
            Err(Failure::new(format!("refused: {name} is a symbolic link\n{remedy}")))
        }
        Err(errno) => Err(unreadable(&name, errno)),
    }
}

/// The person's own file, or `None` when there is none. It may be a link: people keep their files in
/// repositories and link them.
pub(crate) fn person_layer(home: &Path) -> Result<Option<Layer>, Failure> {
    let path = person_file(home);
    match open(&path) {
        Ok(file) => {
            let name = path.to_string_lossy();
            parse(&name, &read(file, &name)?, LayerKind::Person).map(Some)
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(unreadable(&path.to_string_lossy(), errno)),
    }
}

/// Text and permission bits of the person's own file, for changing it; `None` when there is none.
pub(crate) fn person_text(home: &Path) -> Result<Option<(String, Option<u32>)>, Failure> {
    let path = person_file(home);
    let name = path.to_string_lossy();
    let file = match open(&path) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(unreadable(&name, errno)),
    };
    let mode = rustix::fs::fstat(&file).map_err(|errno| unreadable(&name, errno))?.st_mode & 0o777;
    let text = String::from_utf8(read(file, &name)?);
    let text = text.map_err(|_| Failure::new(format!("cannot change {name}: it is not UTF-8")))?;
    Ok(Some((text, Some(mode))))
}

/// The system's configuration, as far as this process may read it.
pub(crate) fn system() -> Result<System, Failure> {
    let files = system_files().map_err(|error| Failure::system("the system's configuration", error))?;
    let layers = files.iter().map(|file| layer(file, LayerKind::System)).collect::<Result<Vec<_>, _>>()?;
    Ok(merge_system(layers)?)
}

/// Something with a name, and the file that says it.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) value: T,
}

/// Every profile: the system's, then the person's.
pub(crate) fn profiles(home: Option<&Path>) -> Result<Vec<Named<ProfileTable>>, Failure> {
    all(home, |layer| {
        layer.config.profile.iter().map(|(name, table)| (name.clone(), table.clone())).collect()
    })
}

/// Every project: the system's, then the person's.
pub(crate) fn projects(home: Option<&Path>) -> Result<Vec<Named<ProjectTable>>, Failure> {
    all(home, |layer| {
        layer.config.project.iter().map(|(name, table)| (name.clone(), table.clone())).collect()
    })
}

fn all<T>(home: Option<&Path>, of: impl Fn(&Layer) -> Vec<(Name, T)>) -> Result<Vec<Named<T>>, Failure> {
    let files = system_files().map_err(|error| Failure::system("the system's configuration", error))?;
    let mut layers =
        files.iter().map(|file| layer(file, LayerKind::System)).collect::<Result<Vec<_>, _>>()?;
    layers.extend(home.map(person_layer).transpose()?.flatten());
    let mut named: Vec<Named<T>> = Vec::new();
    for layer in &layers {
        for (name, value) in of(layer) {
            // A later file of the system replaces what an earlier one says of the same name.
            named.retain(|other| other.name != name.as_str());
            named.push(Named { name: name.to_string(), file: layer.file.clone(), value });
        }
    }
    Ok(named)
}

/// Where the person's own file is.
pub(crate) fn person_file(home: &Path) -> PathBuf {
    home.join(".config/agentbox/agentbox.toml")
}

/// A file that was named.
pub(crate) fn layer(path: &Path, kind: LayerKind) -> Result<Layer, Failure> {
    let name = path.to_string_lossy();
    let file = open(path).map_err(|errno| unreadable(&name, errno))?;
    parse(&name, &read(file, &name)?, kind)
}

/// The system's files that exist, in the order in which they are merged.
pub(crate) fn system_files() -> io::Result<Vec<PathBuf>> {
    let directory = std::env::var_os("CONFIGURATION_DIRECTORY").filter(|directory| !directory.is_empty());
    system_files_in(Path::new(directory.as_deref().unwrap_or(OsStr::new("/etc/agentbox"))))
}

fn system_files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in ["agentbox.toml", "agentbox.json"] {
        let path = directory.join(name);
        if path.try_exists()? {
            files.push(path);
        }
    }
    let mut pieces = match std::fs::read_dir(directory.join("conf.d")) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    pieces.retain(|path| path.extension().is_some_and(|kind| kind == "toml" || kind == "json"));
    pieces.sort();
    files.append(&mut pieces);
    Ok(files)
}

fn flags() -> OFlags {
    // O_NONBLOCK: opening a pipe for reading waits for its writer (fifo(7)).
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, flags(), Mode::empty())
}

fn read(file: OwnedFd, name: &str) -> Result<Vec<u8>, Failure> {
    let found = rustix::fs::fstat(&file).map_err(|errno| unreadable(name, errno))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Failure::new(format!("refused: {name} is no regular file\nreplace or remove it")));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed shows the parser that it is too large: a size can change after it was asked for.
    let most = MAX_FILE_BYTES as u64 + 1;
    File::from(file).take(most).read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
    Ok(bytes)
}

fn parse(name: &str, bytes: &[u8], kind: LayerKind) -> Result<Layer, Failure> {
    Ok(Layer::parse(name, bytes, kind)?)
}

fn unreadable(name: &str, error: impl Into<io::Error>) -> Failure {
    Failure::new(format!("cannot read {name}: {}", reason(&error.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn project() -> (TempDir, File, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let opened = File::open(directory.path()).unwrap();
        let file = directory.path().join(PROJECT_FILE);
        (directory, opened, file)
    }

    fn refusal(opened: &File) -> String {
        project_layer(opened, "/p").unwrap_err().text().to_owned()
    }

    #[test]
    fn a_project_without_a_file_has_no_layer() {
        let (_directory, opened, _) = project();
        assert_eq!(project_layer(&opened, "/p").unwrap(), None);
    }

    #[test]
    fn a_regular_file_is_read() {
        let (_directory, opened, file) = project();
        fs::write(file, "network = \"none\"\n").unwrap();
        let layer = project_layer(&opened, "/p/").unwrap().unwrap();
        assert_eq!(layer.file, "/p/.agentbox.toml");
    }

    #[test]
    fn a_link_is_refused_even_to_a_good_file() {
        let (directory, opened, file) = project();
        let good = directory.path().join("good.toml");
        fs::write(&good, "").unwrap();
        symlink(&good, &file).unwrap();
        assert!(refusal(&opened).contains("symbolic link"));
        fs::remove_file(&file).unwrap();
        symlink("/nonexistent", &file).unwrap();
        assert!(refusal(&opened).contains("symbolic link"));
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_its_writer() {
        let (directory, opened, _) = project();
        rustix::fs::mknodat(
            directory_fd(&directory),
            PROJECT_FILE,
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(refusal(&opened).contains("no regular file"));
    }

    fn directory_fd(directory: &TempDir) -> File {
        File::open(directory.path()).unwrap()
    }

    #[test]
    fn a_directory_is_refused() {
        let (_directory, opened, file) = project();
        fs::create_dir(file).unwrap();
        assert!(refusal(&opened).contains("no regular file"));
    }

    #[test]
    fn a_file_of_fifty_megabytes_is_refused() {
        let (_directory, opened, file) = project();
        File::create(file).unwrap().set_len(50 << 20).unwrap();
        assert!(refusal(&opened).contains("larger than 1 MiB"));
    }

    #[test]
    fn a_persons_file_may_be_a_link_and_is_bounded_too() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(person_layer(home.path()).unwrap(), None);
        let file = person_file(home.path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let kept = home.path().join("dotfiles.toml");
        fs::write(&kept, "").unwrap();
        symlink(&kept, &file).unwrap();
        assert!(person_layer(home.path()).unwrap().is_some());
        File::create(&kept).unwrap().set_len(2 << 20).unwrap();
        assert!(person_layer(home.path()).is_err());
    }

    #[test]
    fn the_systems_files_come_in_the_order_of_merging() {
        let directory = tempfile::tempdir().unwrap();
        assert!(system_files_in(directory.path()).unwrap().is_empty());
        fs::create_dir(directory.path().join("conf.d")).unwrap();
        for name in ["conf.d/20-b.toml", "conf.d/10-z.json", "conf.d/README", "agentbox.toml"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = system_files_in(directory.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(directory.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["agentbox.toml", "conf.d/10-z.json", "conf.d/20-b.toml"]);
    }
}
