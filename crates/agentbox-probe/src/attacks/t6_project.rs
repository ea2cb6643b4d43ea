//! T6 in the project: what git on the host runs later. Each leaves the project as it was.

use crate::attack::{Answer, Attack, judge, lacking};
use crate::errno::Errno;
use agentbox_probe::Facts;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const TABLE: &[Attack] = &[
    file("t6.git-hook", "write a hook of git's", |f| make(f, ".git/hooks/post-checkout")),
    file("t6.git-attributes", "say for git which files go through which program", |f| {
        make(f, ".git/info/attributes")
    }),
    Attack::new("t6.git-hooks-anew", "put another directory in the place of git's hooks", |f| {
        anew(f, ".git/hooks", "post-merge")
    })
    .needs(&["tag", "project"]),
    Attack::new("t6.git-info-anew", "put another directory in the place of git's attributes", |f| {
        anew(f, ".git/info", "attributes")
    })
    .needs(&["tag", "project"]),
    Attack::new("t6.git-directory-anew", "put another directory in the place of git's own", |f| {
        anew(f, ".git", "hooks-of-another")
    })
    .needs(&["tag", "project"]),
    Attack::new("t6.git-hook-by-link", "give a file another name among git's hooks", by_link)
        .needs(&["tag", "project"]),
    Attack::new("t6.git-hook-mode", "make a sample of a hook one that runs", mode).needs(&["project"]),
];

const fn file(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Attack {
    Attack::new(id, title, run).needs(&["tag", "project"])
}

fn place(facts: &Facts, name: &str) -> Option<PathBuf> {
    (!facts.project.is_empty()).then(|| Path::new(&facts.project).join(name))
}

fn write(path: &Path, facts: &Facts) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("# {}\n", facts.tag).as_bytes())
}

fn make(facts: &Facts, name: &str) -> Answer {
    let Some(path) = place(facts, name) else { return lacking("project") };
    judge(write(&path, facts).and_then(|()| fs::remove_file(&path)).map_err(Errno::from))
}

/// Renames a directory away, makes one with its name and a file in it, and puts back what was there.
fn anew(facts: &Facts, name: &str, file: &str) -> Answer {
    let (Some(path), Some(away)) = (place(facts, name), place(facts, &format!(".away-{}", facts.tag))) else {
        return lacking("project");
    };
    let replaced = fs::rename(&path, &away).and_then(|()| {
        let made = fs::create_dir(&path).and_then(|()| write(&path.join(file), facts));
        let undone = fs::remove_file(path.join(file)).and_then(|()| fs::remove_dir(&path));
        made.and(undone).and(fs::rename(&away, &path))
    });
    judge(replaced.map_err(Errno::from))
}

fn by_link(facts: &Facts) -> Answer {
    let (Some(from), Some(to)) =
        (place(facts, &format!(".from-{}", facts.tag)), place(facts, ".git/hooks/post-rewrite"))
    else {
        return lacking("project");
    };
    let linked =
        write(&from, facts).and_then(|()| fs::hard_link(&from, &to)).and_then(|()| fs::remove_file(&to));
    let _ = fs::remove_file(&from);
    judge(linked.map_err(Errno::from))
}

fn mode(facts: &Facts) -> Answer {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(hooks) = place(facts, ".git/hooks") else { return lacking("project") };
    let changed = fs::metadata(&hooks).and_then(|found| {
        let before = found.permissions();
        fs::set_permissions(&hooks, fs::Permissions::from_mode(0o777))?;
        fs::set_permissions(&hooks, before)
    });
    judge(changed.map_err(Errno::from))
}
