//! Which directory a session is for.

use crate::commands::in_path;
use crate::errors::{Failure, reason};
use crate::layers;
use crate::output::escape;
use agentbox_policy::{Layer, LayerKind};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An opened project.
#[derive(Debug)]
pub(crate) struct Project {
    /// Opened for reading: that proves the right to read it, which a path would not.
    pub(crate) directory: OwnedFd,
    /// Its real path.
    pub(crate) path: String,
    /// Whom it belongs to.
    pub(crate) owner_uid: u32,
    /// Its name, when it was named by one.
    pub(crate) name: Option<String>,
}

impl Project {
    /// Opens what was asked for: a path, or the name of a configured project. `person` is the person's own file.
    pub(crate) fn open(
        wanted: Option<&OsStr>,
        person: Option<&Layer>,
        home: Option<&Path>,
    ) -> Result<Self, Failure> {
        let (path, name) = locate(wanted, person, home)?;
        let shown = path.to_string_lossy().into_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|errno| {
            let remedy = match (&name, wanted) {
                (Some(name), _) => format!("the project `{name}` is configured with this path"),
                (None, Some(wanted)) if is_name(wanted) && in_path(wanted).is_some() => {
                    format!("to run the program of this name here: agentboxctl start -- {}", wanted.display())
                }
                (None, Some(wanted)) if is_name(wanted) => {
                    "no project of this name is configured, and no directory here has it".to_owned()
                }
                _ => "a project is a directory that you can read".to_owned(),
            };
            Failure::new(format!("cannot open {shown}: {}\n{remedy}", reason(&errno.into())))
        })?;
        let owner_uid = rustix::fs::fstat(&directory).map_err(|errno| Failure::system(&shown, errno))?.st_uid;
        // What the descriptor is, not what the path has become meanwhile (proc_pid_fd(5)).
        let real = rustix::fs::readlink(format!("/proc/self/fd/{}", directory.as_raw_fd()), Vec::new())
            .map_err(|errno| Failure::system("cannot find the project's real path in /proc", errno))?;
        let path = real.into_string().map_err(|_| {
            Failure::new(format!("refused: the path of {shown} is not UTF-8\nrename the directory"))
        })?;
        Ok(Self { directory, path, owner_uid, name })
    }

    /// What its person should know of the repository that it is only a part of.
    pub(crate) fn part_of(&self) -> Option<String> {
        if Self::has_git(&self.directory) {
            return None;
        }
        let above = |path: &&Path| path.join(".git").symlink_metadata().is_ok();
        let top = Path::new(&self.path).ancestors().skip(1).find(above)?;
        let own = top.join(layers::PROJECT_FILE).symlink_metadata().is_ok();
        let own = if own { ", and what its .agentbox.toml tightens" } else { "" };
        let top = escape::name(&top.to_string_lossy());
        Some(format!(
            "this is a part of the repository {top}: git{own} is there only with: agentboxctl start {top}"
        ))
    }

    /// Whether it is a git repository or worktree.
    pub(crate) fn has_git(directory: impl std::os::fd::AsFd) -> bool {
        rustix::fs::statat(directory, ".git", AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

/// A word without a slash may be a name; `./word` never is.
fn is_name(wanted: &OsStr) -> bool {
    !wanted.as_bytes().contains(&b'/') && wanted != "." && wanted != ".."
}

fn locate(
    wanted: Option<&OsStr>,
    person: Option<&Layer>,
    home: Option<&Path>,
) -> Result<(PathBuf, Option<String>), Failure> {
    let Some(wanted) = wanted else { return Ok((PathBuf::from("."), None)) };
    let Some(name) = wanted.to_str().filter(|_| is_name(wanted)) else { return Ok((wanted.into(), None)) };
    if let Some(path) = person.and_then(|layer| configured(layer, name, home)) {
        return Ok((path, Some(name.to_owned())));
    }
    let mut found = None;
    match layers::system_files() {
        Ok(files) => {
            for file in files {
                // The supervisor reports what is wrong with these files; here they are only looked up.
                let layer = layers::layer(&file, LayerKind::System);
                if let Some(path) = layer.ok().and_then(|layer| configured(&layer, name, home)) {
                    found = Some(path);
                }
            }
        }
        Err(error) if !Path::new(wanted).is_dir() => {
            return Err(Failure::new(format!(
                "cannot look up the project `{name}` in the system's configuration: {}\ngive the path of its directory",
                reason(&error)
            )));
        }
        Err(_) => {}
    }
    Ok(match found {
        Some(path) => (path, Some(name.to_owned())),
        None => (wanted.into(), None),
    })
}

fn configured(layer: &Layer, name: &str, home: Option<&Path>) -> Option<PathBuf> {
    let (_, project) = layer.config.project.iter().find(|(known, _)| known.as_str() == name)?;
    let path = project.path.as_ref()?.as_str();
    match path.strip_prefix('~') {
        Some("") => home.map(Path::to_path_buf),
        Some(below) => home.map(|home| home.join(below.trim_start_matches('/'))),
        None => Some(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_and_paths_are_paths() {
        for (wanted, name) in
            [("website", true), ("./website", false), ("/a", false), (".", false), ("..", false), ("~", true)]
        {
            assert_eq!(is_name(OsStr::new(wanted)), name, "{wanted}");
        }
    }

    #[test]
    fn the_path_is_the_real_one() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, directory.path().join("link")).unwrap();
        let opened = Project::open(Some(directory.path().join("link").as_os_str()), None, None).unwrap();
        assert_eq!(Path::new(&opened.path).file_name().unwrap(), "real");
        assert!(!Project::has_git(&opened.directory));
        std::fs::write(real.join(".git"), "gitdir: elsewhere").unwrap();
        assert!(Project::has_git(&opened.directory));
        assert_eq!(opened.part_of(), None);
        std::fs::create_dir_all(real.join("a/b")).unwrap();
        let part = Project::open(Some(real.join("a/b").as_os_str()), None, None).unwrap();
        let told = part.part_of().unwrap();
        assert!(
            told.ends_with(&format!("agentboxctl start {}", opened.path)) && !told.contains("toml"),
            "{told}"
        );
        std::fs::write(real.join(".agentbox.toml"), "").unwrap();
        assert!(part.part_of().unwrap().contains(".agentbox.toml"));
    }

    #[test]
    fn a_file_is_no_project() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Project::open(Some(file.path().as_os_str()), None, None).unwrap_err();
        assert!(refused.text().contains("Not a directory"), "{}", refused.text());
    }
}
