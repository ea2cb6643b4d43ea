//! Secrets in a project: hidden where git does not track them, in bounded time.

use agentbox_suite::Machine;
use anyhow::{Result, ensure};
use std::fs;

fn plant(machine: &Machine, script: &str) -> Result<()> {
    machine.person.shell(machine.project(), script)?.success().map(drop)
}

const SHOW: &str = "cat .env app/.env.local secrets/token kept.pem .env.example tracked.key own/x 2>&1; ls secrets own; true";

#[test]
fn secrets_are_hidden_and_what_git_tracks_or_calls_an_example_is_not() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        plant(
            &machine,
            "mkdir -p app secrets own; echo SECRET1 > .env; echo SECRET2 > app/.env.local; echo SECRET3 > secrets/token\n\
             echo SECRET4 > kept.pem; echo example > .env.example; echo tracked > tracked.key; echo SECRET5 > own/x\n\
             git add -f tracked.key .env.example; git -c user.name=a -c user.email=a@b commit -qm x\n\
             printf 'mask = [\"own/**\"]\\n' > .agentbox.toml",
        )?;
        // The control: whoever may read the project reads them.
        let outside = machine.person.shell(machine.project(), SHOW)?;
        ensure!(outside.text().matches("SECRET").count() == 5, "{outside:?}");
        let inside = machine.inside(posture, &["sh", "-c", SHOW])?;
        ensure!(!inside.text().contains("SECRET"), "{posture}: {inside:?}");
        ensure!(
            inside.text().contains("example\n") && inside.text().contains("tracked\n"),
            "{posture}: {inside:?}"
        );
        // A directory that is hidden is a mount: nothing takes its place, and nothing of it changed.
        let script =
            "mv secrets s; mkdir secrets; echo x > secrets/token; rm -rf own; cat .git/index > /dev/null";
        machine.inside(posture, &["sh", "-c", script])?;
        ensure!(fs::read_to_string(machine.project().join("secrets/token"))? == "SECRET3\n", "{posture}");
        ensure!(fs::read_to_string(machine.project().join("own/x"))? == "SECRET5\n", "{posture}");
    }
    Ok(())
}

#[test]
fn work_goes_on_beside_what_is_hidden() -> Result<()> {
    for arguments in [&["L1"][..], &["L2"], &["L2", "--workspace", "overlay"]] {
        let machine = Machine::new()?;
        plant(&machine, "mkdir app; echo SECRET > .env; echo SECRET > app/key.pem; echo 1 > app/made")?;
        let inside = |script: &str| {
            let command = ["sh", "-c", script];
            machine.ctl(&machine.start_arguments(arguments[0], &arguments[1..], &command))
        };
        let script = "git add -A && git -c user.name=a -c user.email=a@b commit -qm all && git ls-files; git status --short";
        let files = inside(script)?.success()?.text();
        ensure!(files.contains("app/made") && !files.contains(".env") && !files.contains("key"), "{files}");
        // To programs it is nothing of theirs; who reads or writes it all the same is told that he may not.
        inside("test -e .env && ! test -f .env && ! test -d .env")?.success()?;
        for script in ["cat .env", "echo x > .env", "echo x >> app/key.pem"] {
            let refused = inside(script)?;
            ensure!(
                refused.status != 0 && format!("{refused:?}").contains("Permission denied"),
                "{refused:?}"
            );
        }
        ensure!(fs::read_to_string(machine.project().join(".env"))? == "SECRET\n");
    }
    Ok(())
}

#[test]
fn a_person_shows_what_is_built_in_and_a_project_cannot() -> Result<()> {
    let machine = Machine::new()?;
    plant(&machine, "echo VALUE > .env")?;
    machine.configure("[profile.open]\nunmask = [\".env\"]\n")?;
    let arguments = machine.start_arguments("L2", &["--profile", "open"], &["cat", ".env"]);
    ensure!(machine.ctl(&arguments)?.text() == "VALUE\n");
    plant(&machine, "printf 'unmask = [\".env\"]\\n' > .agentbox.toml")?;
    let refused = machine.inside("L2", &["cat", ".env"])?;
    ensure!(refused.status != 0 && refused.error_text().contains("unmask"), "{refused:?}");
    Ok(())
}

#[test]
fn a_mask_over_a_file_is_no_boundary_and_is_not_called_one() -> Result<()> {
    let machine = Machine::new()?;
    // Where the kernel guards the project it hides the file that comes as well (`guard`).
    machine.configure("[posture.mounts]\nextends = \"L2\"\nguard = \"off\"\n")?;
    plant(&machine, "echo OLD > .env")?;
    let session = machine.detached("mounts", &["sleep", "1000"])?;
    ensure!(session.exec(&["cat", ".env"])?.status != 0);
    // An editor outside saves by rename.
    plant(&machine, "echo NEW > .new; mv .new .env")?;
    ensure!(session.exec(&["cat", ".env"])?.text() == "NEW\n");
    session.stop()?;
    let arguments = machine.start_arguments("mounts", &["--verbose"], &["true"]);
    let said = machine.ctl(&arguments)?.success()?;
    ensure!(
        said.error_text().contains("a file that is replaced on the host meanwhile is seen again"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn a_huge_project_starts_in_bounded_time_and_says_what_was_not_seen() -> Result<()> {
    let machine = Machine::new()?;
    // More entries than are looked at, each an empty file: names of 400 directories.
    plant(
        &machine,
        "mkdir many; cd many; seq 1 1050 | xargs mkdir; cd 1; seq 1 400 | xargs touch; cd ..\n\
         seq 2 1050 | xargs -n1 -P2 sh -c 'cp -l 1/* $0/'; mkdir -p z/z; echo SECRET > z/z/.env",
    )?;
    let begun = std::time::Instant::now();
    let said = machine.ctl(&machine.start_arguments("L2", &["--verbose"], &["true"]))?.success()?;
    let took = begun.elapsed();
    ensure!(said.error_text().contains("not looked into: "), "{said:?}");
    ensure!(took.as_secs() < 60, "{took:?}");
    Ok(())
}
