//! T6: what makes a program act on the host later: files of the home, and the terminal.

use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::sys::call;
use agentbox_probe::{Facts, Outcome};
use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;

pub(super) const TABLE: &[Attack] = &[
    home("t6.bashrc", "write what every shell runs", |f| write(f, ".bashrc")),
    home("t6.profile", "write what every login runs", |f| write(f, ".profile")),
    home("t6.zshenv", "write what every zsh runs", |f| write(f, ".zshenv")),
    home("t6.user-unit", "write a unit of the person's systemd", |f| {
        write(f, ".config/systemd/user/probe.service")
    }),
    home("t6.autostart", "write what a desktop starts", |f| write(f, ".config/autostart/probe.desktop")),
    home("t6.authorized-keys", "let a key log in", |f| write(f, ".ssh/authorized_keys")),
    home("t6.ssh-config", "write what every ssh runs", |f| write(f, ".ssh/config")),
    home("t6.local-program", "put a program into the person's PATH", |f| write(f, ".local/bin/ls")),
    home("t6.git-configuration", "write what every git runs", |f| write(f, ".gitconfig")),
    home("t6.agent-settings", "write the settings of an agent on the host", |f| {
        write(f, ".claude/settings.json")
    }),
    home("t6.own-configuration", "write the person's configuration of the sandbox", |f| {
        write(f, ".config/agentbox/agentbox.toml")
    }),
    home("t6.shell-files", "write what shells and sessions run besides", |f| write_each(f, SHELL)),
    home("t6.editor-files", "write what editors and terminals run", |f| write_each(f, EDITORS)),
    home("t6.package-files", "write what package managers and debuggers run", |f| write_each(f, PACKAGES)),
    home("t6.agent-files", "write the settings of other agents and editors on the host", |f| {
        write_each(f, AGENTS)
    }),
    home("t6.desktop-files", "write what the desktop or its bus starts", |f| write_each(f, DESKTOP)),
    home("t6.git-files", "write what git reads besides its first file", |f| write_each(f, GIT)),
    Attack::new("t6.scheduled", "leave something for cron or the system to run", |_| scheduled()).root(),
    Attack::new("t6.temporary-file", "leave a file in the host's /tmp", |f| {
        leave(f, Path::new("/tmp"), &format!("agentbox-probe-{}", f.tag))
    })
    .needs(&["tag"])
    .on_host(),
    Attack::new("t6.insert-keystrokes", "type into a terminal (TIOCSTI)", |_| type_with(0x5412)),
    Attack::new("t6.insert-keystrokes-high-bits", "type with high bits set in the request", |_| {
        any_of(
            [0x1_0000_5412, 0x7fff_ffff_0000_5412, -0xffff_abee]
                .map(|request| (format!("{request:#x}"), type_with(request))),
        )
    }),
    Attack::new("t6.console-requests", "reach TIOCLINUX, which pastes on a console", |_| console(0x541c)),
    Attack::new("t6.console-requests-high-bits", "reach TIOCLINUX with high bits set", |_| {
        any_of(
            [0x1_0000_541c, 0x7fff_ffff_0000_541c, -0xffff_abe4]
                .map(|request| (format!("{request:#x}"), console(request))),
        )
    }),
    Attack::reach("t6.subvolumes", "reach requests for subvolumes, which nobody's hooks see", subvolumes),
];

/// Of btrfs and bcachefs, to make and to remove one. Another file system says that it has no such request, which shows
/// that it came through.
fn subvolumes() -> Result<i64, Errno> {
    let here = File::open(".").map_err(Errno::from)?;
    let requests: [i64; 8] = [
        0x5000_9401,
        0x5000_940e,
        0x5000_940f,
        0x5000_9417,
        0x5000_9418,
        0x5000_943f,
        0x4020_bc10,
        0x4020_bc11,
    ];
    let mut last = Ok(0);
    for request in requests {
        last = call!(libc::SYS_ioctl, here.as_raw_fd(), request, 0);
        if !matches!(&last, Err(error) if error.is_refusal()) {
            break;
        }
    }
    last
}

const SHELL: &[&str] = &[
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".zshrc",
    ".zprofile",
    ".zlogin",
    ".config/fish/config.fish",
    ".xprofile",
    ".xsessionrc",
    ".pam_environment",
    ".config/environment.d/probe.conf",
    ".config/nushell/config.nu",
];
const EDITORS: &[&str] = &[
    ".vimrc",
    ".config/nvim/init.lua",
    ".emacs",
    ".config/Code/User/settings.json",
    ".vscode/argv.json",
    ".inputrc",
    ".tmux.conf",
    ".screenrc",
    ".direnvrc",
    ".config/direnv/direnvrc",
];
const PACKAGES: &[&str] = &[
    ".npmrc",
    ".yarnrc.yml",
    ".config/pip/pip.conf",
    ".pypirc",
    ".cargo/config.toml",
    ".gradle/init.gradle",
    ".m2/settings.xml",
    ".gdbinit",
    ".config/nix/nix.conf",
];
const AGENTS: &[&str] = &[
    ".claude.json",
    ".claude/CLAUDE.md",
    ".claude/hooks/probe.sh",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".config/opencode/opencode.json",
    ".cursor/mcp.json",
];
const DESKTOP: &[&str] = &[
    ".local/share/applications/probe.desktop",
    ".local/share/dbus-1/services/probe.service",
    ".local/share/systemd/user/probe.service",
    ".config/plasma-workspace/env/probe.sh",
];
const GIT: &[&str] = &[".config/git/config", ".config/git/attributes", ".config/git/hooks/post-checkout"];

const fn home(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Attack {
    Attack::new(id, title, run).needs(&["tag", "person.home"]).on_host()
}

fn write(facts: &Facts, name: &str) -> Answer {
    if facts.person.home.is_empty() {
        return lacking("home");
    }
    leave(facts, Path::new(&facts.person.home), name)
}

/// All of them have to work outside; one that works inside is enough.
fn write_each(facts: &Facts, names: &[&str]) -> Answer {
    // Every one is written before they are judged: the first that works is not the end.
    let written: Vec<_> = names.iter().map(|name| ((*name).to_owned(), write(facts, name))).collect();
    let mut all = any_of(written);
    all.left = names.iter().map(|name| format!("{}/{name}", facts.person.home)).collect();
    all
}

/// Opening for writing or making a file is where the kernel refuses; what was made is removed again.
fn scheduled() -> Answer {
    const DIRECTORIES: &[&str] = &["/etc/cron.d", "/etc/profile.d", "/etc/systemd/system", "/etc/init.d"];
    any_of(DIRECTORIES.iter().map(|directory| {
        let path = Path::new(directory).join(format!("agentbox-probe-{}", std::process::id()));
        let made = File::create_new(&path).map_err(Errno::from);
        if made.is_ok() {
            let _ = fs::remove_file(&path);
        }
        ((*directory).to_owned(), judge(made))
    }))
}

/// Appends the tag and leaves it there: whether the host has it is what counts.
fn leave(facts: &Facts, directory: &Path, name: &str) -> Answer {
    if facts.tag.is_empty() {
        return lacking("tag");
    }
    let path = directory.join(name);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)?
            .write_all(format!("# {}\n", facts.tag).as_bytes())
    });
    let mut answer = judge(written.map_err(Errno::from));
    if answer.outcome == Outcome::Succeeded {
        answer.left.push(path.to_string_lossy().into_owned());
    }
    answer
}

/// A pseudo-terminal of one's own, made the controlling one. Its master stays open until this process ends:
/// closing it would hang up on its session, which is this process.
fn own_terminal() -> Result<File, Errno> {
    let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx")?;
    rustix::pty::unlockpt(&master)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let _ = call!(libc::SYS_setsid);
    let slave = File::from(open_terminal(&name)?);
    let _ = call!(libc::SYS_ioctl, slave.as_raw_fd(), libc::TIOCSCTTY, 0);
    let _ = master.into_raw_fd();
    Ok(slave)
}

fn open_terminal(name: &CStr) -> Result<std::os::fd::OwnedFd, Errno> {
    Ok(rustix::fs::open(
        name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    )?)
}

fn type_with(request: i64) -> Answer {
    let mut slave = match own_terminal() {
        Ok(slave) => slave,
        // Without one nothing was shown.
        Err(error) => {
            return Answer { outcome: Outcome::NotApplicable, ..refused(format!("no terminal: {error}")) };
        }
    };
    for byte in [b"x".as_slice(), b"\n".as_slice()] {
        if let Err(error) = call!(libc::SYS_ioctl, slave.as_raw_fd(), request, byte) {
            return refused(error);
        }
    }
    let mut typed = [0; 8];
    match slave.read(&mut typed) {
        Ok(length) if typed[..length].starts_with(b"x") => succeeded("what was typed is there to read"),
        Ok(_) => refused("nothing arrived"),
        Err(error) => refused(Errno::from(error)),
    }
}

fn console(request: i64) -> Answer {
    let slave = match own_terminal() {
        Ok(slave) => slave,
        // Without one nothing was shown.
        Err(error) => {
            return Answer { outcome: Outcome::NotApplicable, ..refused(format!("no terminal: {error}")) };
        }
    };
    // Subcode 12 asks which console is in front; a pseudo-terminal has none and says ENOTTY, which shows
    // that the request came through.
    match call!(libc::SYS_ioctl, slave.as_raw_fd(), request, [12_u8].as_slice()) {
        Err(error) if error.is_refusal() => refused(error),
        Err(error) => succeeded(format!("no rule refused it: {error}")),
        Ok(_) => succeeded("done"),
    }
}
