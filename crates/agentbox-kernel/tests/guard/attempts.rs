//! What a task tries in a project, each in a project that was made for it.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// `MAX_DEPTH` of guard.bpf.c: of what is deeper it cannot tell where it is.
pub(crate) const DEEPEST: usize = 256;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It worked.
    Done,
    /// EPERM.
    Refused,
    /// EXDEV: a rename that has to be a copy.
    Elsewhere,
    /// Another error.
    Failed(i32),
}

impl Outcome {
    fn of(result: Result<(), Errno>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(Errno::PERM) => Self::Refused,
            Err(Errno::XDEV) => Self::Elsewhere,
            Err(errno) => Self::Failed(errno.raw_os_error()),
        }
    }
    fn number(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Refused => -1,
            Self::Elsewhere => -2,
            Self::Failed(errno) => errno,
        }
    }
    pub(crate) fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Done,
            -1 => Self::Refused,
            -2 => Self::Elsewhere,
            errno => Self::Failed(errno),
        }
    }
}

/// An attempt.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What comes of it where the guard holds; elsewhere it is done.
    pub(crate) held: Outcome,
    run: fn() -> Result<(), Errno>,
}

const fn refused(name: &'static str, run: fn() -> Result<(), Errno>) -> Case {
    Case { name, held: Outcome::Refused, run }
}

const fn allowed(name: &'static str, run: fn() -> Result<(), Errno>) -> Case {
    Case { name, held: Outcome::Done, run }
}

const fn copied(name: &'static str, run: fn() -> Result<(), Errno>) -> Case {
    Case { name, held: Outcome::Elsewhere, run }
}

fn open(path: &str, flags: OFlags) -> Result<(), Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644)).map(drop)
}
fn create(path: &str) -> Result<(), Errno> {
    open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
}
fn write(path: &str) -> Result<(), Errno> {
    open(path, OFlags::WRONLY)
}
fn read(path: &str) -> Result<(), Errno> {
    open(path, OFlags::RDONLY)
}
fn mkdir(path: &str) -> Result<(), Errno> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
}
fn rename(from: &str, to: &str) -> Result<(), Errno> {
    rustix::fs::rename(from, to)
}
fn link(from: &str, to: &str) -> Result<(), Errno> {
    rustix::fs::link(from, to)
}
fn symlink(to: &str, at: &str) -> Result<(), Errno> {
    rustix::fs::symlink(to, at)
}
fn exchange(one: &str, other: &str) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}
fn chmod(path: &str) -> Result<(), Errno> {
    rustix::fs::chmod(path, Mode::from_raw_mode(0o755))
}

pub(crate) const CASES: &[Case] = &[
    refused("create .mcp.json", || create(".mcp.json")),
    refused("create .claude/settings.json", || create(".claude/settings.json")),
    refused("create an .envrc deeper", || create("sub/.envrc")),
    refused("create a hook", || create("sub/.git/hooks/x")),
    refused("create below a protected directory", || create(".husky/_/x")),
    refused("create what is protected at the root", || create("only/here")),
    refused("create a name with a star", || create("sub/.zed.local.json")),
    refused("create a masked name", || create("keys/new")),
    allowed("create what is protected at the root, deeper", || create("sub/only/here")),
    allowed("create another file beside the settings", || create(".claude/other.json")),
    allowed("create settings.json elsewhere", || create("settings.json")),
    allowed("create a file in hooks/ that is not git's", || create("hooks/x")),
    allowed("write git's configuration", || write("sub/.git/config")),
    refused("make a directory", || mkdir(".mcp.json")),
    allowed("make a directory that holds settings", || mkdir("new.claude").and(mkdir("sub/.claude"))),
    refused("make a FIFO", || {
        rustix::fs::mknodat(CWD, ".mcp.json", FileType::Fifo, Mode::from_raw_mode(0o644), 0)
    }),
    refused("bind a socket", || match UnixListener::bind(".mcp.json") {
        Ok(_) => Ok(()),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }),
    refused("make a symbolic link", || symlink("plain", ".mcp.json")),
    refused("make a symbolic link for a directory of settings", || symlink("../prepared", "sub/.claude")),
    refused("make a symbolic link for git's directory", || symlink("../prepared", "hooks/.git")),
    allowed("make another symbolic link", || symlink("prepared", "claude")),
    refused("make a symbolic link for one beside it", || symlink("plain", "sub/.claude")),
    allowed("make the link by which git tries whether there are links", || {
        symlink("testing", "sub/.git/modules/a/tXXXXXX")
    }),
    refused("make a symbolic link for a repository", || {
        symlink("../../../../prepared", "sub/.git/modules/a/b")
    }),
    refused("make one that leads up", || symlink("..", "sub/.git/modules/a/b")),
    refused("make one that leads to where it is", || symlink(".", "sub/.git/modules/a/b")),
    refused("make one beside it that is longer than what is looked at", || {
        symlink(&"b".repeat(64), "sub/.git/modules/a/b")
    }),
    allowed("make one as long as what is looked at", || symlink(&"b".repeat(62), "sub/.git/modules/a/b")),
    refused("make a symbolic link for hooks beside it", || symlink("b", "sub/.git/modules/hooks/hooks")),
    refused("make a hook of a repository's", || create("sub/.git/modules/a/hooks/x")),
    refused("make a hard link", || link("plain", ".mcp.json")),
    refused("make a hard link of a protected file", || link(".envrc", "other")),
    refused("make a hard link of a symbolic link for a directory", || link("pointer", "sub/.claude")),
    allowed("make another hard link", || link("plain", "other")),
    refused("rename to a protected name", || rename("plain", ".mcp.json")),
    refused("rename over a protected file", || rename("plain", ".envrc")),
    refused("rename a protected file away", || rename(".envrc", "other")),
    refused("rename a prepared directory", || rename("prepared", "sub/.claude")),
    refused("rename a prepared directory of hooks", || rename("prepared", "only.git/.git")),
    refused("rename a directory of settings away", || rename(".claude", "other")),
    allowed("rename a file to the name of such a directory", || rename("plain", "sub/.claude")),
    allowed("rename another directory", || rename("prepared", "other")),
    refused("exchange with a protected file", || exchange("plain", ".envrc")),
    refused("exchange a protected file", || exchange(".envrc", "plain")),
    refused("exchange with a directory of settings", || exchange("prepared", ".claude")),
    allowed("exchange others", || exchange("plain", "prepared/settings.json")),
    refused("link a file without a name", || {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::open(".", flags, Mode::from_raw_mode(0o644))?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        rustix::fs::linkat(CWD, path, CWD, ".mcp.json", AtFlags::SYMLINK_FOLLOW)
    }),
    refused("write a protected file", || write(".envrc")),
    refused("append to a protected file", || open(".envrc", OFlags::WRONLY | OFlags::APPEND)),
    refused("open a protected file for both", || open(".envrc", OFlags::RDWR)),
    refused("truncate a protected file", || {
        match fs::File::options().write(true).truncate(true).open(".envrc") {
            Ok(_) => Ok(()),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }),
    refused("cut a protected file by its path", || truncate(".envrc")),
    refused("change the mode of a protected file", || chmod(".envrc")),
    allowed("change another mode", || chmod("plain")),
    allowed("read a protected file", || read(".envrc")),
    refused("remove a protected file", || rustix::fs::unlink(".envrc")),
    refused("remove a protected directory", || rustix::fs::rmdir(".husky/_")),
    allowed("remove another file", || rustix::fs::unlink("plain")),
    refused("read a masked file", || read(".env")),
    refused("read a masked file deeper", || read("sub/.env")),
    refused("read below a masked directory", || read("keys/one/two")),
    refused("write a masked file", || write(".env")),
    refused("link a masked file", || link(".env", "other")),
    refused("rename a masked file", || rename(".env", "other")),
    refused("rename a masked directory", || rename("keys", "other")),
    allowed("read a file that is like a masked one", || read(".env.example")),
    allowed("write an exempt file", || write("tracked/.envrc")),
    allowed("rename over an exempt file", || rename("plain", "tracked/.envrc")),
    allowed("remove an exempt file", || rustix::fs::unlink("tracked/.envrc")),
    refused("put a directory where an exempt file is", || {
        rustix::fs::unlink("tracked/.envrc")?;
        rename("prepared", "tracked/.envrc")
    }),
    allowed("create what a package brings", || create("node_modules/p/.mcp.json")),
    allowed("create it deeper", || create("node_modules/p/sub/.claude/settings.json")),
    allowed("write, change and remove it", || {
        write("node_modules/p/.envrc").and(chmod("node_modules/p/.envrc"))?;
        rustix::fs::unlink("node_modules/p/.envrc")
    }),
    allowed("put a package in place", || rename("node_modules/.new", "node_modules/q")),
    allowed("put a directory of settings in place", || rename("prepared", "node_modules/p/.claude")),
    allowed("move a package to another such place", || rename("node_modules/p", "sub/venv/p")),
    allowed("move such a place to another", || rename("node_modules", "venv")),
    allowed("move a directory with such a place in it", || rename("sub", "moved")),
    refused("create a hook of a package", || create("node_modules/p/.git/hooks/x")),
    refused("create a masked name in a package", || create("node_modules/p/.env")),
    refused("create it where the name is only like that", || create("node_modules.d/.envrc")),
    refused("create below a protected directory of that name", || create(".husky/venv/x")),
    copied("move a package out", || rename("node_modules/p", "p")),
    copied("move such a place elsewhere", || rename("node_modules", "lib")),
    copied("exchange a package with a directory", || exchange("node_modules/p", "prepared")),
    copied("exchange a directory with a package", || exchange("prepared", "node_modules/p")),
    copied("move a link of a package out", || rename("node_modules/link", "link")),
    copied("make a hard link of a link of a package", || link("node_modules/link", "link")),
    copied("move a link with such a name elsewhere", || rename("sub/node_modules", "link")),
    allowed("move a file of a package out", || rename("node_modules/p/x", "x")),
    refused("move a protected file of a package out", || rename("node_modules/p/.envrc", ".envrc")),
    refused("make a link into a package", || symlink("node_modules/p", "app")),
    refused("make a link into one by the way", || symlink("./sub/../node_modules/", "app")),
    refused("make a link into one, absolute", || symlink("/x/venv/p", "sub/app")),
    refused("make a link longer than a name into one", || {
        symlink(&format!("{}node_modules/p", "a/".repeat(2000)), "app")
    }),
    allowed("make a link as long that leads elsewhere", || symlink(&"ab/".repeat(1360), "app")),
    allowed("make a link that is almost one", || symlink("node_modules.d/venvs", "app")),
    allowed("make a link of a package that leads out", || symlink("../sub", "node_modules/sub")),
    allowed("make a link of a package to a package", || symlink("../p/x", "node_modules/.bin")),
    allowed("make a link with such a name", || symlink("../node_modules", "only/node_modules")),
];

/// truncate(2), without a descriptor: coreutils opens the file, python has the call itself.
fn truncate(path: &str) -> Result<(), Errno> {
    let script = "import os,sys\ntry: os.truncate(sys.argv[1], 0)\nexcept OSError as e: sys.exit(e.errno)";
    match std::process::Command::new("python3").args(["-c", script, path]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Errno::from_raw_os_error(status.code().unwrap_or(255))),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// Makes directories in one another, so many that nobody walks up all of them. How many were made.
pub(crate) fn nest(most: usize) -> usize {
    for made in 0..most {
        if mkdir("d").is_err() {
            return made;
        }
        std::env::set_current_dir("d").unwrap();
    }
    most
}

/// A project with everything that the attempts need.
pub(crate) fn prepare(root: &Path) {
    for directory in [
        ".claude",
        "sub/.git/hooks",
        "sub/.git/modules/a/hooks",
        "sub/.git/modules/hooks",
        "sub/only",
        "only",
        "hooks",
        "prepared",
        ".husky/_",
        "tracked",
        "keys/one",
        "only.git",
        "node_modules/p/sub/.claude",
        "node_modules/p/.git/hooks",
        "node_modules/.new",
        "node_modules.d",
        "sub/venv",
        ".husky/venv",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in [
        "plain",
        ".envrc",
        ".env",
        "sub/.env",
        ".env.example",
        "keys/one/two",
        "tracked/.envrc",
        "sub/.git/config",
        "prepared/settings.json",
        "node_modules/p/x",
        "node_modules/p/.envrc",
    ] {
        fs::write(root.join(file), "x").unwrap();
    }
    for (to, at) in
        [("prepared", "pointer"), ("p", "node_modules/link"), ("../node_modules", "sub/node_modules")]
    {
        std::os::unix::fs::symlink(to, root.join(at)).unwrap();
    }
}

/// Name of the variable that makes this program the child: its group, one that nobody holds, the project.
pub(crate) const CHILD: &str = "AGENTBOX_TEST_ATTEMPT";

/// Makes every attempt in turn, each in the project made anew, when this is the child.
pub(crate) fn as_child() {
    let Some(places) = std::env::var_os(CHILD) else { return };
    let places = places.into_string().unwrap();
    let [group, free, project] = places.split(' ').collect::<Vec<_>>()[..] else { panic!("{places}") };
    let enter = |group: &str| fs::write(Path::new(group).join("cgroup.procs"), "0").unwrap();
    let project = Path::new(project);
    for (number, case) in CASES.iter().enumerate() {
        enter(free);
        for entry in fs::read_dir(project).unwrap() {
            let path = entry.unwrap().path();
            let is_directory = fs::symlink_metadata(&path).unwrap().is_dir();
            if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        }
        prepare(project);
        std::env::set_current_dir(project).unwrap();
        enter(group);
        println!("\nattempt {number} {}", Outcome::of((case.run)()).number());
    }
    println!("\nnested {}", nest(DEEPEST + 50));
}
