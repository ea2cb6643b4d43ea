//! Projects whose git directory is elsewhere: nothing of it is seen without a word of the person's, and then only
//! what names the project back.

use agentbox_suite::Machine;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// A linked worktree beside its repository.
fn linked(machine: &Machine) -> Result<(PathBuf, PathBuf)> {
    let home = &machine.person.home;
    machine
        .person
        .shell(
            home,
            "git init -q main; cd main; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x\n\
             git worktree add -q ../tree; mkdir -p .git/hooks",
        )?
        .success()?;
    Ok((home.join("tree"), home.join("main/.git")))
}

fn start(
    machine: &Machine,
    project: &std::path::Path,
    more: &[&str],
    script: &str,
) -> Result<agentbox_suite::Finished> {
    let project = project.to_string_lossy().into_owned();
    let mut arguments = vec!["start", &project, "--posture", "L2", "--verbose"];
    arguments.extend(more);
    arguments.extend(["--", "sh", "-c", script]);
    machine.ctl(&arguments)
}

#[test]
fn a_linked_worktree_works_with_a_word_of_the_persons_and_is_held() -> Result<()> {
    let machine = Machine::new()?;
    let (tree, git) = linked(&machine)?;
    let without = start(&machine, &tree, &[], "git status")?;
    let git_text = git.to_string_lossy().into_owned();
    let told = format!("--git-dir {git_text} shows it");
    ensure!(without.status != 0 && without.error_text().contains(&told), "{without:?}");
    // Its own directory there has no objects; who names that is told which has.
    let own = start(&machine, &tree, &["--git-dir", &format!("{git_text}/worktrees/tree")], "true")?;
    ensure!(own.status == 125 && own.error_text().contains(&format!("belongs to: {git_text}\n")), "{own:?}");
    let script = "set -e; echo x > file; git add file; git -c user.name=a -c user.email=a@b commit -qm inside\n\
                  ! echo x > ../main/.git/hooks/post-commit; ! mv ../main/.git/hooks ../main/.git/h; git config core.pager evil";
    let with = start(&machine, &tree, &["--git-dir", &git_text], script)?.success()?;
    machine.wait_until_supervisor_ended()?;
    let log = machine
        .person
        .shell(&tree, "git log --format=%s -1; git config core.pager || true; ls ../main/.git/hooks | grep -v sample || true")?;
    ensure!(log.text() == "inside\n", "{log:?} {with:?}");
    Ok(())
}

#[test]
fn a_git_file_that_names_somebody_elses_directory_gets_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let (_, git) = linked(&machine)?;
    let project = machine.project();
    let git_text = git.to_string_lossy().into_owned();
    machine
        .person
        .shell(project, &format!("rm -rf .git; echo 'gitdir: {git_text}/worktrees/tree' > .git"))?
        .success()?;
    // The person's word alone is not enough: the directory names another worktree.
    let refused = start(&machine, project, &["--git-dir", &git_text], "true")?;
    ensure!(refused.status != 0 && refused.error_text().contains("does not name the project"), "{refused:?}");
    let other = machine.planted.other_project.to_string_lossy().into_owned();
    let refused = start(&machine, project, &["--git-dir", &other], "true")?;
    ensure!(refused.status != 0, "{refused:?}");
    let without = start(&machine, project, &[], &format!("ls {git_text}"))?;
    ensure!(without.status != 0, "{without:?}");
    Ok(())
}

#[test]
fn an_object_store_is_read_and_not_written() -> Result<()> {
    let machine = Machine::new()?;
    let home = machine.person.home.clone();
    machine
        .person
        .shell(
            &home,
            "git init -q store; cd store; echo a > a; git add a; git -c user.name=a -c user.email=a@b commit -qm stored\n\
             cd ..; git clone -q --shared store shared",
        )?
        .success()?;
    let objects = home.join("store/.git/objects").to_string_lossy().into_owned();
    let shared = home.join("shared");
    let without = start(&machine, &shared, &[], "git log --format=%s")?;
    ensure!(without.status != 0, "{without:?}");
    let script = format!("git log --format=%s; touch {objects}/x");
    let with = start(&machine, &shared, &["--git-dir", &objects], &script)?;
    ensure!(with.text() == "stored\n" && with.status != 0, "{with:?}");
    Ok(())
}
