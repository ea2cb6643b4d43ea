//! Work goes on inside as outside: a sandbox that breaks it gets switched off.

use agentbox_suite::{Finished, Machine};
use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

fn script(machine: &Machine, posture: &str, text: &str) -> Result<Finished> {
    machine.inside(posture, &["sh", "-ec", text])?.success()
}

/// Everything below belongs to the person, and nothing has a set-id bit.
fn require_owned(machine: &Machine, directory: &Path) -> Result<()> {
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        // What the harness planted of root's.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".planted")) {
            continue;
        }
        ensure!(
            (metadata.uid(), metadata.gid()) == (machine.person.uid, machine.person.gid),
            "{} belongs to {}:{}",
            path.display(),
            metadata.uid(),
            metadata.gid()
        );
        ensure!(metadata.mode() & 0o6000 == 0, "{} has mode {:o}", path.display(), metadata.mode());
        if metadata.is_dir() {
            open.extend(
                fs::read_dir(&path)?
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
    }
    Ok(())
}

#[test]
fn git_does_what_it_does_outside() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        let text = "\
            git config user.name Agent; git config user.email agent@example.org\n\
            echo one > file; git add file; git commit --quiet -m one\n\
            git switch --quiet -c topic; echo two >> file; git commit --quiet -am two\n\
            git switch --quiet main; echo other > other; git add other; git commit --quiet -m other\n\
            git switch --quiet topic; git rebase --quiet main\n\
            echo three >> file; git stash --quiet; git stash pop --quiet; git commit --quiet -am three\n\
            git worktree add --quiet tree main; test -f tree/other; git worktree remove tree\n\
            git init --quiet lib; git -C lib -c user.name=A -c user.email=a@example.org commit --quiet --allow-empty -m lib\n\
            git -c protocol.file.allow=always submodule --quiet add ./lib sub\n\
            git commit --quiet -m submodule; git branch --quiet -m topic renamed\n\
            git gc --quiet; git fsck --no-progress; git status --porcelain; git log --format=%s";
        let said = script(&machine, posture, text)?;
        ensure!(said.text().contains("submodule\nthree\ntwo\nother\none\nfirst\n"), "{posture}: {said:?}");
        require_owned(&machine, machine.project())?;
        // The person goes on where the agent ended.
        let log = machine
            .person
            .shell(machine.project(), "git log --format=%s -1; git fsck --no-progress; git status --short")?;
        ensure!(log.text().starts_with("submodule\n"), "{posture}: {log:?}");
    }
    Ok(())
}

#[test]
fn what_is_written_belongs_to_the_person_with_the_modes_that_were_asked_for() -> Result<()> {
    for posture in ["L0", "L1", "L2"] {
        let machine = Machine::new()?;
        script(
            &machine,
            posture,
            "mkdir -p made/deep; echo text > made/file; printf '#!/bin/sh\\necho ran\\n' > made/program\n\
             chmod 755 made/program; chmod 600 made/deep; chmod 700 made/deep; ln -s file made/link\n\
             ln made/file made/hard; mkfifo made/fifo; touch -d @1000000000 made/file; ./made/program\n\
             cp made/file made/copy; mv made/copy made/moved; rm made/hard; echo more >> README",
        )?;
        let made = machine.project().join("made");
        require_owned(&machine, machine.project())?;
        let mode = |name: &str| -> Result<u32> { Ok(fs::symlink_metadata(made.join(name))?.mode() & 0o7777) };
        ensure!(mode("file")? == 0o664 && mode("program")? == 0o755 && mode("deep")? == 0o700, "{posture}");
        ensure!(fs::symlink_metadata(made.join("file"))?.mtime() == 1_000_000_000, "{posture}");
        ensure!(fs::read_link(made.join("link"))? == Path::new("file"), "{posture}");
        ensure!(fs::read_to_string(machine.project().join("README"))? == "hello\nmore\n", "{posture}");
    }
    Ok(())
}

#[test]
fn inside_the_project_seems_to_belong_to_whoever_looks() -> Result<()> {
    let machine = Machine::new()?;
    let said = script(&machine, "L2", "stat -c %u README; id -u; test -w README; test -O .; pwd")?;
    let lines: Vec<String> = said.text().lines().map(str::to_owned).collect();
    ensure!(lines[0] == lines[1], "{said:?}");
    ensure!(lines[2] == machine.project().to_string_lossy(), "{said:?}");
    Ok(())
}

#[test]
fn cargo_builds_and_tests_a_crate_without_a_network() -> Result<()> {
    let machine = Machine::new()?;
    machine.plant_toolchain()?;
    machine.configure("[profile.rust]\nread = [\"~/.rustup\"]\n")?;
    let text = "export PATH=$HOME/.rustup/toolchains/here/bin:$PATH\n\
         cargo init --quiet --lib --name small --vcs none crate; cd crate\n\
         echo '#[test] fn adds() { assert_eq!(1 + 1, 2); }' >> src/lib.rs\n\
         cargo build --offline; cargo test --offline; ls target/debug/libsmall.rlib";
    let arguments = machine.start_arguments("L2", &["--profile", "rust"], &["sh", "-ec", text]);
    let said = machine.ctl(&arguments)?.success()?;
    ensure!(said.text().contains("test adds ... ok"), "{said:?}");
    require_owned(&machine, machine.project())
}

#[test]
fn a_c_program_is_compiled_and_debugged() -> Result<()> {
    let machine = Machine::new()?;
    let text = "printf '#include <stdio.h>\\nint main(void){puts(\"compiled\");return 0;}\\n' > a.c; cc -g a.c -o a; ./a";
    let said = script(&machine, "L2", text)?;
    ensure!(said.text() == "compiled\n", "{said:?}");
    Ok(())
}

#[test]
fn python_makes_an_environment_and_runs_in_it() -> Result<()> {
    ensure!(Path::new("/usr/bin/python3").exists(), "no /usr/bin/python3 on this machine");
    let machine = Machine::new()?;
    // The same outside first: without it, ensurepip may be missing on this machine.
    let outside = machine.person.shell(&machine.person.home, "/usr/bin/python3 -m venv outside");
    outside.context("python3 -m venv does not work outside either")?;
    let text = "python3 -m venv venv; venv/bin/python -c 'import sys, ssl, sqlite3; print(sys.prefix)'\n\
                venv/bin/pip --version > /dev/null\n\
                python3 -c 'import multiprocessing as m; q = m.Queue(); p = m.Process(target=q.put, args=(7,)); p.start(); print(q.get()); p.join()'";
    let said = script(&machine, "L2", text)?;
    ensure!(said.text() == format!("{}/venv\n7\n", machine.project().display()), "{said:?}");
    require_owned(&machine, machine.project())
}

#[test]
fn node_runs_and_npm_begins_a_package() -> Result<()> {
    let is_here = ["/usr/bin/npm", "/usr/local/bin/npm"].iter().any(|path| Path::new(path).exists());
    ensure!(is_here, "no npm in /usr on this machine: `cargo xtask setup test` installs it");
    let machine = Machine::new()?;
    let text = "mkdir package; cd package; npm init -y > /dev/null\n\
                node -e 'const p = require(\"./package.json\"); console.log(p.name); new Worker(\"\", {eval: true})' || \
                node -e 'const w = require(\"worker_threads\"); new w.Worker(\"1\", {eval: true}).on(\"exit\", c => console.log(require(\"./package.json\").name, c))'";
    let said = script(&machine, "L2", text)?;
    ensure!(said.text().contains("package 0"), "{said:?}");
    require_owned(&machine, machine.project())
}

#[test]
fn programs_listen_and_connect_on_the_loopback() -> Result<()> {
    let machine = Machine::new()?;
    let text = "python3 - <<'E'\n\
        import socket, threading\n\
        for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):\n\
        \x20   server = socket.create_server((host, 0), family=family)\n\
        \x20   threading.Thread(target=lambda: server.accept()[0].sendall(b'served')).start()\n\
        \x20   print(socket.create_connection(server.getsockname()[:2]).recv(6).decode())\n\
        E";
    let said = script(&machine, "L2", text)?;
    ensure!(said.text() == "served\nserved\n", "{said:?}");
    Ok(())
}

#[test]
fn ten_thousand_files_are_written_and_removed() -> Result<()> {
    let machine = Machine::new()?;
    let text = "mkdir many; cd many; i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done; ls | wc -l";
    let said = script(&machine, "L2", text)?;
    ensure!(said.text().trim() == "10000", "{said:?}");
    ensure!(fs::read_dir(machine.project().join("many"))?.count() == 10_000);
    script(&machine, "L2", "rm -r many")?;
    ensure!(!machine.project().join("many").exists());
    Ok(())
}

#[test]
fn a_read_only_workspace_is_read_and_not_written() -> Result<()> {
    let machine = Machine::new()?;
    let arguments = machine.start_arguments(
        "L2",
        &["--workspace", "readonly"],
        &["sh", "-c", "cat README; echo x > README"],
    );
    let said = machine.ctl(&arguments)?;
    ensure!(said.status != 0 && said.text() == "hello\n", "{said:?}");
    ensure!(fs::read_to_string(machine.project().join("README"))? == "hello\n");
    Ok(())
}

/// What a program of the person's that waits outside would be told.
#[test]
fn what_is_only_read_takes_nothing_by_its_pipes_and_sockets() -> Result<()> {
    let machine = Machine::new()?;
    let tools = machine.person.home.join("tools");
    machine.person.write(&tools.join("text"), b"text\n", 0o640)?;
    let places = [machine.project().to_owned(), tools.clone()];
    let mut waiting = Vec::new();
    for place in &places {
        let (pipe, stream, datagrams) = (place.join("pipe"), place.join("stream"), place.join("datagrams"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0)?;
        // Whoever has both ends never waits for the other one.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&pipe)?;
        waiting.push((reader, UnixListener::bind(&stream)?, UnixDatagram::bind(&datagrams)?));
        for path in [&pipe, &stream, &datagrams] {
            chown(path, Some(machine.person.uid), Some(machine.person.gid))?;
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
    }
    machine.configure("[profile.reads]\nread = [\"~/tools\"]\n[profile.writes]\nwrite = [\"~/tools\"]\n")?;
    let text = "import socket, sys\n\
        def pipe(place): open(place + '/pipe', 'wb', 0).write(b'told')\n\
        def stream(place): socket.socket(socket.AF_UNIX).connect(place + '/stream')\n\
        def datagram(place): socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'told', place + '/datagrams')\n\
        for place in sys.argv[1:]:\n\
        \x20   for tell in pipe, stream, datagram:\n\
        \x20       try: tell(place); print('told')\n\
        \x20       except PermissionError: print('refused')\n";
    let names: Vec<_> = places.iter().map(|place| place.to_string_lossy()).collect();
    for (profile, workspace, expected) in [("writes", "direct", "told"), ("reads", "readonly", "refused")] {
        let command = ["python3", "-c", text, &names[0], &names[1]];
        let more = ["--profile", profile, "--workspace", workspace];
        let said = machine.ctl(&machine.start_arguments("L2", &more, &command))?.success()?;
        let text = said.text();
        ensure!(text.lines().collect::<Vec<_>>() == [expected; 6], "{profile}: {said:?}");
        // What may be read is read, by its owner's right.
        let read = ["cat", &format!("{}/text", names[1])];
        let said = machine.ctl(&machine.start_arguments("L2", &more, &read))?.success()?;
        ensure!(said.text() == "text\n", "{profile}: {said:?}");
    }
    drop(waiting);
    Ok(())
}

#[test]
fn programs_make_terminals_of_their_own() -> Result<()> {
    let machine = Machine::new()?;
    for posture in ["L1", "L2"] {
        let said = script(&machine, posture, "script -qec 'tty; test -t 0' /dev/null < /dev/null")?;
        ensure!(said.text().starts_with("/dev/pts/"), "{posture}: {said:?}");
    }
    Ok(())
}
