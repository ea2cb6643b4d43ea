//! Work goes on on an overlay as it does on the project itself.

use agentbox_suite::Machine;
use agentbox_suite::overlay::{review, session};
use anyhow::{Result, ensure};
use std::path::Path;

#[test]
fn git_does_on_an_overlay_what_it_does_outside() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        machine.person.shell(machine.project(), "mkdir -p dir/sub; echo x > dir/sub/file; git add dir; git -c user.name=P -c user.email=p@example.org commit -qm dir; git gc --quiet")?;
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
            git init --quiet --bare remote.git; git remote add local ./remote.git; git push --quiet -u local renamed\n\
            git gc --quiet; git fsck --no-progress\n\
            if git mv dir moved 2> /dev/null; then echo git renames; fi; mv dir moved; test -f moved/sub/file; git add -A dir moved\n\
            git commit --quiet -m moved; mkdir made; mv made elsewhere; git status --porcelain; git log --format=%s";
        let (id, said) = session(&machine, posture, text)?;
        ensure!(
            said.text().contains("moved\nsubmodule\nthree\ntwo\nother\none\ndir\nfirst\n"),
            "{posture}: {said:?}"
        );
        ensure!(!said.text().contains("git renames"), "redirects are off");
        review(&machine, "apply", &id, &["--commits", "--all"])?;
        let log = format!(
            "git log --format=%s refs/agentbox/{id}/heads/renamed; git fsck --no-progress; cat moved/sub/file"
        );
        let log = machine.person.shell(machine.project(), &log)?.text();
        ensure!(log.starts_with("moved\nsubmodule\n") && log.ends_with("x\n"), "{posture}: {log}");
    }
    Ok(())
}

#[test]
fn cargo_builds_on_into_what_is_there() -> Result<()> {
    let machine = Machine::new()?;
    machine.plant_toolchain()?;
    machine.configure("[profile.rust]\nread = [\"~/.rustup\"]\nwrite = []\n")?;
    let build = "export PATH=$HOME/.rustup/toolchains/here/bin:$PATH; cd crate; cargo build --offline --quiet; ./target/debug/small";
    let begin = format!(
        "export PATH=$HOME/.rustup/toolchains/here/bin:$PATH; cargo init --quiet --name small --vcs none crate; {build}"
    );
    let arguments = machine.start_arguments("L2", &["--profile", "rust"], &["sh", "-ec", &begin]);
    machine.ctl(&arguments)?.success()?;
    let again = format!("echo 'fn main() {{ println!(\"again\") }}' > crate/src/main.rs; {build}");
    let options = ["--profile", "rust", "--workspace", "overlay"];
    let said = machine.ctl(&machine.start_arguments("L2", &options, &["sh", "-ec", &again]))?.success()?;
    ensure!(said.text() == "again\n", "{said:?}");
    Ok(())
}

#[test]
fn npm_replaces_what_is_installed() -> Result<()> {
    let is_here = ["/usr/bin/npm", "/usr/local/bin/npm"].iter().any(|path| Path::new(path).exists());
    ensure!(is_here, "no npm in /usr on this machine: `cargo xtask setup test` installs it");
    let machine = Machine::new()?;
    machine.person.shell(
        machine.project(),
        "mkdir -p pack/lib; cd pack; echo 1 > lib/a; echo '{\"name\":\"foo\",\"version\":\"1.0.0\"}' > package.json; npm pack --silent\n\
         sed -i s/1.0.0/2.0.0/ package.json; echo 2 > lib/a; npm pack --silent; cd ..\n\
         echo '{\"name\":\"x\",\"version\":\"1.0.0\"}' > package.json; npm install --silent --offline ./pack/foo-1.0.0.tgz; cat node_modules/foo/lib/a",
    )?;
    let text = "npm install --silent --offline ./pack/foo-2.0.0.tgz; cat node_modules/foo/lib/a; rm -r node_modules; npm ci --silent --offline; cat node_modules/foo/lib/a";
    let (_, said) = session(&machine, "L2", text)?;
    ensure!(said.text() == "2\n2\n", "{said:?}");
    Ok(())
}
