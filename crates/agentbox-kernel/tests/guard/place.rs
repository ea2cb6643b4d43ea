//! Control groups and projects of one test.

use crate::attempts::{CASES, CHILD, Outcome};
use agentbox_kernel::cgroup::Hierarchy;
use agentbox_plan::SessionId;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Place {
    pub(crate) session: SessionId,
    pub(crate) runtime: PathBuf,
    pub(crate) group: PathBuf,
    pub(crate) other_group: PathBuf,
    /// Of the first group below the root of the hierarchy.
    pub(crate) depth: u32,
    pub(crate) project: PathBuf,
    pub(crate) elsewhere: PathBuf,
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        // /tmp may be a file system of its own kind.
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let hierarchy = Hierarchy::find().unwrap();
        let mine = format!("agentbox-test-{}-{name}", std::process::id());
        let above = hierarchy.mount_point().join(mine);
        let (group, other_group) = (above.join("held"), above.join("free"));
        for group in [&group, &other_group] {
            fs::create_dir_all(group).unwrap();
        }
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
        let project = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        Self {
            session: SessionId::from_random(random),
            runtime: directory.path().join("runtime"),
            group,
            other_group,
            depth: 2,
            project: project("project"),
            elsewhere: project("elsewhere"),
            directory,
        }
    }

    /// Makes every attempt from a group in a project, and tells how deep it can make directories.
    pub(crate) fn attempt(&self, group: &Path, project: &Path) -> (Vec<Outcome>, usize) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attempt", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} {} {}", group.display(), self.other_group.display(), project.display()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcomes: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("attempt ")?.split_once(' '))
            .filter_map(|(_, number)| number.parse().ok().map(Outcome::from_number))
            .collect();
        assert_eq!(outcomes.len(), CASES.len(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let nested = text.lines().find_map(|line| line.strip_prefix("nested ")?.parse().ok());
        (outcomes, nested.unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let above = self.group.parent().unwrap_or(&self.group).to_owned();
        for group in [&self.group, &self.other_group, &above] {
            let _ = fs::remove_dir(group);
        }
        let _ = &self.directory;
    }
}
