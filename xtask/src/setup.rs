//! `setup`: installs, by apt-get, what a verb needs and this machine does not have.
//!
//! Nothing is installed for a verb that was not asked for. On a machine without apt-get it says what
//! is missing and changes nothing.

use crate::program::{capture, find, need_root, run as run_program, shown};
use crate::workspace::{cargo, host_triple};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// For this verb; default: build, test and demo
    #[arg(value_enum)]
    verb: Option<Verb>,
}

/// A verb that needs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Verb {
    Build,
    Test,
    Demo,
    /// `demo --agent`
    Agent,
    Bench,
    /// `rig`, and the part of `test` that runs there
    Rig,
}

/// How to see that a package is there.
enum Sign {
    Program(&'static str),
    /// A file or directory in a directory whose name begins like this.
    Below(&'static str, &'static str, &'static str),
}

/// A package and the verbs that need it.
struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
    verbs: &'static [Verb],
}

const ALL: &[Verb] = &[Verb::Build, Verb::Test, Verb::Demo, Verb::Agent, Verb::Bench, Verb::Rig];
const SESSIONS: &[Verb] = &[Verb::Test, Verb::Demo, Verb::Agent, Verb::Bench];

const NEEDS: &[Need] = &[
    Need {
        package: "mmdebstrap",
        sign: Sign::Program("mmdebstrap"),
        why: "the root file system of a container for tests",
        verbs: &[Verb::Test, Verb::Rig],
    },
    Need {
        package: "systemd-container",
        sign: Sign::Program("systemd-nspawn"),
        why: "a container with a service manager for tests",
        verbs: &[Verb::Test, Verb::Rig],
    },
    Need { package: "gcc", sign: Sign::Program("cc"), why: "linker of every Rust program", verbs: ALL },
    Need {
        package: "libc6-dev",
        sign: Sign::Below("/usr/lib", "", "libc.a"),
        why: "the static C library of the launcher",
        verbs: ALL,
    },
    Need { package: "g++", sign: Sign::Program("c++"), why: "the fuzzers' own part", verbs: &[Verb::Test] },
    Need {
        package: "clang",
        sign: Sign::Program("clang"),
        why: "compiles the guard, which runs in the kernel",
        verbs: ALL,
    },
    Need {
        package: "libbpf-dev",
        sign: Sign::Below("/usr/include", "bpf", "bpf_helpers.h"),
        why: "the calls that programs in the kernel can make",
        verbs: ALL,
    },
    Need {
        package: "qemu-system-x86",
        sign: Sign::Program("qemu-system-x86_64"),
        why: "the virtual machine with another kernel",
        verbs: &[Verb::Test, Verb::Rig],
    },
    Need {
        package: "e2fsprogs",
        sign: Sign::Program("mke2fs"),
        why: "the disks of the virtual machine",
        verbs: &[Verb::Test, Verb::Rig],
    },
    Need { package: "git", sign: Sign::Program("git"), why: "commits made in sessions", verbs: SESSIONS },
    Need {
        package: "make",
        sign: Sign::Program("make"),
        why: "builds made in sessions",
        verbs: &[Verb::Test, Verb::Demo],
    },
    Need {
        package: "nix-bin",
        sign: Sign::Program("nix-instantiate"),
        why: "evaluates the NixOS module",
        verbs: &[Verb::Test, Verb::Rig],
    },
    Need {
        package: "python3",
        // One in a home is not seen by sessions.
        sign: Sign::Below("/usr", "bin", "python3"),
        why: "programs run in sessions",
        verbs: &[Verb::Test, Verb::Demo],
    },
    Need {
        package: "python3-venv",
        sign: Sign::Below("/usr/lib", "python3", "ensurepip"),
        why: "a virtual environment made in a session",
        verbs: &[Verb::Test],
    },
    Need {
        package: "python3-pip",
        sign: Sign::Below("/usr/lib", "python3", "dist-packages/pip"),
        why: "packages installed over the network of a session",
        verbs: &[Verb::Test],
    },
    Need {
        package: "nftables",
        sign: Sign::Program("nft"),
        why: "the host's table, and that of each session",
        verbs: SESSIONS,
    },
    Need {
        package: "iproute2",
        sign: Sign::Program("ip"),
        why: "makes networks without a way out for tests and demonstration",
        verbs: SESSIONS,
    },
    Need {
        package: "iptables",
        sign: Sign::Program("iptables-nft"),
        why: "rules of others on the host of the tests",
        verbs: &[Verb::Test],
    },
    Need {
        package: "openssl",
        sign: Sign::Program("openssl"),
        why: "certificates in the network of the tests",
        verbs: &[Verb::Test, Verb::Demo, Verb::Agent],
    },
    Need { package: "curl", sign: Sign::Program("curl"), why: "requests made in sessions", verbs: SESSIONS },
    Need {
        package: "openssh-server",
        sign: Sign::Below("/usr", "sbin", "sshd"),
        why: "git over ssh in the network of the tests",
        verbs: &[Verb::Test],
    },
    Need {
        package: "openssh-client",
        sign: Sign::Program("ssh"),
        why: "git over ssh in sessions",
        verbs: &[Verb::Test],
    },
    Need {
        package: "vim",
        sign: Sign::Program("vim"),
        why: "an editor that uses the terminal of a session",
        verbs: &[Verb::Test],
    },
    Need {
        package: "less",
        sign: Sign::Program("less"),
        why: "a pager that uses the terminal of a session",
        verbs: &[Verb::Test],
    },
    Need {
        package: "procps",
        sign: Sign::Program("ps"),
        why: "the processes that a session sees",
        verbs: &[Verb::Test, Verb::Demo],
    },
    Need {
        package: "util-linux",
        sign: Sign::Program("setpriv"),
        why: "attacks run outside as the person",
        verbs: SESSIONS,
    },
    Need { package: "passwd", sign: Sign::Program("useradd"), why: "the throw-away person", verbs: SESSIONS },
    Need {
        package: "bubblewrap",
        sign: Sign::Program("bwrap"),
        why: "another sandbox to compare with",
        verbs: &[Verb::Test, Verb::Bench],
    },
    Need {
        package: "firejail",
        sign: Sign::Program("firejail"),
        why: "another sandbox to compare with",
        verbs: &[Verb::Bench],
    },
    Need {
        package: "podman",
        sign: Sign::Program("podman"),
        why: "another sandbox to compare with",
        verbs: &[Verb::Bench],
    },
    Need {
        package: "ripgrep",
        sign: Sign::Program("rg"),
        why: "needed by sandbox-runtime",
        verbs: &[Verb::Bench],
    },
    Need {
        package: "socat",
        sign: Sign::Program("socat"),
        why: "needed by sandbox-runtime",
        verbs: &[Verb::Bench],
    },
    Need {
        package: "nodejs",
        sign: Sign::Program("node"),
        why: "runs agents and sandboxes from npm, and programs in sessions",
        verbs: &[Verb::Test, Verb::Agent, Verb::Bench],
    },
    Need {
        package: "npm",
        sign: Sign::Program("npm"),
        why: "installs agents and sandboxes, and begins a package in a session",
        verbs: &[Verb::Test, Verb::Agent, Verb::Bench],
    },
];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.verb {
        Some(verb) => ensure(&[verb])?,
        None => ensure(&[Verb::Build, Verb::Test, Verb::Demo])?,
    }
    println!("everything needed is here");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing for the verbs.
pub(crate) fn ensure(verbs: &[Verb]) -> Result<()> {
    // Fetched now, so that nothing later needs the registry, and `cargo metadata` can be asked offline.
    let triple = host_triple()?;
    let fetch = ["fetch", "--quiet", "--locked", "--target", &triple];
    if capture(cargo().args(fetch).arg("--offline")).is_err() {
        run_program(cargo().args(fetch))?;
    }
    let missing = missing(verbs, |sign| match sign {
        Sign::Program(name) => find(name).is_some(),
        Sign::Below(parent, begins, name) => is_below(Path::new(parent), begins, name),
    });
    if missing.is_empty() {
        return Ok(());
    }
    println!("needed and not here:");
    for need in &missing {
        println!("  {:<14} {}", need.package, need.why);
    }
    let packages: BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    if find("apt-get").is_none() {
        bail!(
            "install these (the names are Debian's) with this machine's package manager, then run it again"
        );
    }
    need_root("setup")?;
    if run_program(&mut install(&packages)).is_err() {
        // The lists of a fresh machine are empty or name versions that are gone.
        run_program(apt_get().args(["--quiet", "update"]))?;
        run_program(&mut install(&packages))?;
    }
    Ok(())
}

fn missing(verbs: &[Verb], is_here: impl Fn(&Sign) -> bool) -> Vec<&'static Need> {
    let wanted = |need: &&Need| need.verbs.iter().any(|verb| verbs.contains(verb));
    NEEDS.iter().filter(wanted).filter(|need| !is_here(&need.sign)).collect()
}

fn is_below(parent: &Path, begins: &str, name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(parent) else { return false };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(begins))
        .any(|entry| entry.path().join(name).exists())
}

fn install(packages: &BTreeSet<&str>) -> Command {
    let mut command = apt_get();
    command.args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(packages);
    println!("running: {}", shown(&command));
    command
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verb_that_needs_npm_installs_npm() {
        let packages = |verb| missing(&[verb], |_| false).iter().map(|need| need.package).collect::<Vec<_>>();
        assert!(packages(Verb::Agent).contains(&"npm"));
        assert!(packages(Verb::Test).contains(&"npm"));
        assert!(!packages(Verb::Demo).contains(&"npm"));
        assert!(!packages(Verb::Build).contains(&"git"));
    }

    #[test]
    fn what_is_here_is_not_installed() {
        assert!(missing(ALL, |_| true).is_empty());
    }
}
