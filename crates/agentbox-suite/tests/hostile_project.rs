//! A project is an untrusted directory: its names, its links, its files and what becomes of them meanwhile.

use agentbox_suite::{Finished, Machine, run};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Starts a session of another directory of the person's.
fn start_in(machine: &Machine, directory: &Path, command: &[&str]) -> Result<Finished> {
    let mut line: Command = machine.command(&["start"]);
    line.arg(directory).args(["--posture", "L2", "--"]).args(command);
    run(&mut line, b"", LIMIT)
}

/// A directory of the person's below its home.
fn directory(machine: &Machine, name: &OsStr) -> Result<PathBuf> {
    let path = machine.person.home.join(name);
    machine.person.make_directory(&path)?;
    Ok(path)
}

#[test]
fn a_link_to_a_project_starts_the_project_at_its_real_path() -> Result<()> {
    let machine = Machine::new()?;
    let link = machine.person.home.join("link");
    symlink(machine.project(), &link)?;
    let said = start_in(&machine, &link, &["sh", "-c", "pwd -P; cat README"])?.success()?;
    ensure!(said.text() == format!("{}\nhello\n", machine.project().display()), "{said:?}");
    Ok(())
}

#[test]
fn a_link_to_what_is_no_project_is_refused() -> Result<()> {
    let machine = Machine::new()?;
    for target in
        ["/", "/etc", "/usr/share", "/proc/self", "/run", "/dev/shm", &*machine.person.home.to_string_lossy()]
    {
        let link = machine.person.home.join("link");
        symlink(target, &link)?;
        let said = start_in(&machine, &link, &["true"])?;
        ensure!(said.status == 125, "{target}: {said:?}");
        fs::remove_file(&link)?;
    }
    Ok(())
}

#[test]
fn what_is_no_directory_is_refused() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join("README");
    let fifo = machine.person.home.join("fifo");
    machine.person.shell(&machine.person.home, "mkfifo fifo")?;
    for path in [file, fifo, PathBuf::from("/dev/null")] {
        let said = start_in(&machine, &path, &["true"])?;
        ensure!(said.status == 125, "{}: {said:?}", path.display());
    }
    Ok(())
}

#[test]
fn links_in_the_project_lead_nowhere_outside() -> Result<()> {
    let machine = Machine::new()?;
    for (name, target) in [
        ("key", machine.person.home.join(".ssh/id_ed25519")),
        ("env", machine.planted.other_project.join(".env")),
        ("proc", PathBuf::from("/proc/1/root/etc/shadow")),
        ("up", PathBuf::from("../other/.env")),
    ] {
        symlink(target, machine.project().join(name))?;
    }
    let said = machine.inside("L2", &["sh", "-c", "cat key env proc up; ls ..; ls /home"])?;
    ensure!(!machine.planted.canary_in(&said.stdout), "{said:?}");
    ensure!(!said.text().contains("other"), "{said:?}");
    Ok(())
}

/// A session that may write where a rule of another profile points puts a link there.
#[test]
fn a_link_that_a_session_made_leads_no_other_session_to_what_it_points_to() -> Result<()> {
    let machine = Machine::new()?;
    let lib = directory(&machine, OsStr::new("lib"))?;
    machine.person.shell(&lib, "mkdir include; echo header > include/h; echo token > token")?;
    machine.configure(&format!(
        "[profile.reads]\nread = [\"{0}/include\"]\n[profile.writes]\nwrite = [\"{0}/include\"]\n\
         [profile.deep]\nread = [\"{0}/include/sub\"]\n\
         [profile.token.env]\nTOKEN = {{ file = \"{0}/token\", as = \"env\" }}\n",
        lib.display()
    ))?;
    let start = |profile: &str, script: &str| {
        let options = ["--profile", profile];
        machine.ctl(&machine.start_arguments("L2", &options, &["sh", "-c", script]))
    };
    let shown = format!("cat {}/include/h", lib.display());
    // The control: what is no link is there.
    ensure!(start("reads", &shown)?.success()?.text() == "header\n");
    ensure!(start("token", "echo $TOKEN")?.success()?.text() == "token\n");
    let ssh = machine.person.home.join(".ssh");
    let script = format!("rm -r include token; ln -s {0} include; ln -s {0}/id_ed25519 token", ssh.display());
    start_in(&machine, &lib, &["sh", "-c", &script])?.success()?;
    ensure!(fs::read_link(lib.join("include"))? == ssh, "the session could not make the link");
    machine.person.shell(&ssh, "mkdir sub")?;
    for profile in ["reads", "writes", "deep", "token"] {
        let said = start(profile, "echo it runs")?;
        ensure!(said.status == 125, "{profile}: {said:?}");
        let words = said.error_text();
        ensure!(words.contains("symbolic link") && words.contains(profile), "{profile}: {words}");
    }
    Ok(())
}

#[test]
fn a_git_directory_that_points_elsewhere_brings_nothing_in() -> Result<()> {
    let machine = Machine::new()?;
    let git = machine.project().join(".git");
    for kind in ["link", "file"] {
        machine.person.shell(machine.project(), "rm -rf .git")?;
        machine
            .person
            .shell(&machine.planted.other_project, "git init --quiet . 2>/dev/null; cp .env .git/secret")?;
        let elsewhere = machine.planted.other_project.join(".git");
        if kind == "link" {
            symlink(&elsewhere, &git)?;
        } else {
            machine.person.write(&git, format!("gitdir: {}\n", elsewhere.display()).as_bytes(), 0o644)?;
        }
        let text = format!("cat .git/secret {}/secret; git status; true", elsewhere.display());
        let said = machine.inside("L2", &["sh", "-c", &text])?.success()?;
        ensure!(!machine.planted.canary_in(&said.stdout), "{kind}: {said:?}");
        ensure!(said.error_text().contains("not a git repository"), "{kind}: {said:?}");
    }
    Ok(())
}

#[test]
fn names_with_newlines_and_escapes_are_names() -> Result<()> {
    let machine = Machine::new()?;
    for name in [
        "two\nlines",
        "es\u{1b}[31mcape",
        "sp ace",
        "quo'te\"s",
        "back\\slash",
        "-dash",
        "$(id)",
        "%s%n",
        "ümlaut",
    ] {
        let path = directory(&machine, OsStr::new(name))?;
        let said = start_in(&machine, &path, &["sh", "-c", "pwd; echo made > made"])?.success()?;
        ensure!(said.stdout == [path.as_os_str().as_bytes(), b"\n"].concat(), "{name:?}: {said:?}");
        ensure!(fs::metadata(path.join("made"))?.uid() == machine.person.uid);
    }
    Ok(())
}

#[test]
fn a_name_that_is_no_text_is_refused_or_works() -> Result<()> {
    let machine = Machine::new()?;
    let path = directory(&machine, OsStr::from_bytes(b"by\xfftes"))?;
    let said = start_in(&machine, &path, &["pwd"])?;
    let works = said.status == 0 && said.stdout == [path.as_os_str().as_bytes(), b"\n"].concat();
    ensure!(works || said.status == 125, "{said:?}");
    Ok(())
}

#[test]
fn a_directory_that_is_swapped_during_the_start_never_shows_the_other() -> Result<()> {
    let machine = Machine::new()?;
    // Of root's, with a secret: what a confused supervisor could be made to mount.
    let roots = machine.state().join("roots");
    fs::create_dir(&roots)?;
    fs::write(roots.join("secret"), &machine.planted.canary)?;
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700))?;
    let honest = directory(&machine, OsStr::new("swapped"))?;
    let other = machine.person.home.join("other-link");
    symlink(&roots, &other)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let swapper = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = (&honest, &other);
                let here = rustix::fs::CWD;
                rustix::fs::renameat_with(here, from, here, to, rustix::fs::RenameFlags::EXCHANGE)?;
            }
            Ok(())
        });
        let mut result = Ok(());
        let mut outcomes = [0, 0];
        for _ in 0..25 {
            match start_in(&machine, &honest, &["sh", "-c", "cat secret; ls -A"]) {
                Ok(said) if machine.planted.canary_in(&said.stdout) => {
                    result = Err(anyhow::anyhow!("it showed root's directory: {said:?}"));
                    break;
                }
                Ok(said) => outcomes[usize::from(said.status == 125)] += 1,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        swapper.join().map_err(|_| anyhow::anyhow!("the swapper failed"))??;
        println!("{} started, {} refused", outcomes[0], outcomes[1]);
        result
    })
}

#[test]
fn a_project_file_of_another_kind_is_refused_at_once() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join(".agentbox.toml");
    let make: &[(&str, &str)] = &[
        ("FIFO", "mkfifo .agentbox.toml"),
        ("directory", "mkdir .agentbox.toml"),
        ("link to the password hashes", "ln -s /etc/shadow .agentbox.toml"),
        ("link to a device", "ln -s /dev/zero .agentbox.toml"),
        ("link to a terminal", "ln -s /dev/tty .agentbox.toml"),
        ("huge file", "truncate -s 3G .agentbox.toml"),
        ("unreadable text", "printf 'posture = \\377\\376' > .agentbox.toml"),
    ];
    let hashes = fs::read_to_string("/etc/shadow")?;
    let root = hashes.lines().next().context("no password hashes")?;
    for (what, script) in make {
        machine.person.shell(machine.project(), script)?;
        let said = machine.inside("L2", &["true"])?;
        ensure!(said.status == 125, "{what}: {said:?}");
        ensure!(said.error_text().contains(".agentbox.toml"), "{what}: {said:?}");
        ensure!(!said.error_text().contains(root), "{what}: the error shows the file");
        if file.is_dir() { fs::remove_dir(&file)? } else { fs::remove_file(&file)? }
    }
    machine.inside("L2", &["true"])?.success()?;
    Ok(())
}

#[test]
fn a_hundred_thousand_files_do_not_slow_a_start() -> Result<()> {
    let machine = Machine::new()?;
    machine.person.shell(
        machine.project(),
        "mkdir many; cd many; for d in 0 1 2 3 4 5 6 7 8 9; do mkdir $d; (cd $d; seq 10000 | xargs touch); done",
    )?;
    let said = machine.inside("L2", &["sh", "-c", "find many -type f | wc -l; rm many/0/1"])?.success()?;
    ensure!(said.text().trim() == "100000", "{said:?}");
    ensure!(!machine.project().join("many/0/1").exists());
    Ok(())
}

#[test]
fn no_set_id_bit_reaches_the_disk() -> Result<()> {
    let machine = Machine::new()?;
    let text = "cp /usr/bin/id copy; chmod 4755 copy; chmod u+s copy; chmod g+s copy; chmod 2775 .; mkdir -m 2755 d; \
                install -m 6755 /usr/bin/id installed; python3 -c 'import os; os.chmod(\"copy\", 0o6755)'; \
                tar cf a.tar copy; tar xpf a.tar; cp -p .planted-set-id stolen; ln .planted-set-id linked; true";
    machine.inside("L2", &["sh", "-c", text])?.success()?;
    let mut open = vec![machine.project().to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        let planted = metadata.uid() == 0;
        ensure!(planted || metadata.mode() & 0o6000 == 0, "{}: mode {:o}", path.display(), metadata.mode());
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        }
    }
    Ok(())
}

#[test]
fn a_project_of_roots_needs_a_word() -> Result<()> {
    let machine = Machine::new()?;
    let roots = machine.state().join("project");
    fs::create_dir(&roots)?;
    let said = start_in(&machine, &roots, &["true"])?;
    ensure!(said.status == 125 && said.error_text().contains("--allow-root-project"), "{said:?}");
    // With it the session is root's own, without any of root's rights.
    let mut line = machine.command(&["start"]);
    line.arg(&roots).args(["--allow-root-project", "--posture", "L2", "--", "sh", "-c"]);
    line.arg("echo made > made; id -u; grep CapEff /proc/self/status; cat /etc/shadow");
    let said = run(&mut line, b"", LIMIT)?;
    let text = said.text();
    let mut lines = text.lines();
    let uid: u32 = lines.next().context("no uid")?.parse()?;
    ensure!(machine.lease_range().contains(&uid), "{said:?}");
    ensure!(lines.next() == Some("CapEff:\t0000000000000000") && lines.next().is_none(), "{said:?}");
    ensure!(fs::metadata(roots.join("made"))?.uid() == 0, "what it made is not root's");
    Ok(())
}

#[test]
fn a_session_of_another_persons_directory_may_no_more_than_its_owner() -> Result<()> {
    let (machine, other) = (Machine::new()?, Machine::new()?);
    for (name, mode) in [("group-only", 0o660), ("owner-only", 0o600), ("for-all", 0o664)] {
        other.person.write(&other.project().join(name), b"theirs\n", mode)?;
    }
    // A supervisor that the person may use.
    let keeper = machine.detached("L2", &["sleep", "600"])?;
    let text = "for f in group-only owner-only for-all; do cat $f && echo read $f; echo x >> $f && echo wrote $f; done; \
                touch new && echo made; true";
    let mut line = machine.command_as_person(&["start"]);
    line.arg(other.project()).args(["--posture", "L2", "--", "sh", "-c", text]);
    let said = run(&mut line, b"", LIMIT)?;
    // Refused, or with the rights of a stranger.
    ensure!(said.status == 125 || said.text() == "theirs\nread for-all\n", "{said:?}");
    for name in ["group-only", "owner-only", "for-all"] {
        ensure!(fs::read(other.project().join(name))? == b"theirs\n", "{name} changed");
    }
    ensure!(!other.project().join("new").exists());
    keeper.stop()
}
