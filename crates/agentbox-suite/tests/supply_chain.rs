//! T3: what a package runs when it is installed or built, it runs inside: it finds no secret, leaves nothing on the
//! host, and what it puts into caches is gone for the next session, in whatever profile.

use agentbox_suite::{Finished, Machine, run};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// Where a package would like to be found by the next program, below the home.
const PLACES: &[&str] = &[
    ".bashrc",
    ".local/bin/git",
    ".npm/_cacache/planted",
    ".cache/pip/planted",
    ".cargo/registry/planted",
    ".cargo/config.toml",
    ".config/pip/pip.conf",
];

/// Takes what it finds, and leaves itself wherever something may run it.
fn theft() -> String {
    let places = PLACES.iter().map(|place| {
        let directory = place.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("mkdir -p \"$HOME/{directory}\"; echo planted-by-a-package >> \"$HOME/{place}\"\n")
    });
    format!(
        "cat ~/.ssh/* ~/.aws/* ~/.netrc ~/.npmrc ~/.cargo/credentials.toml ~/other/.env >> \"$LOOT\" 2>/dev/null\n\
         env >> \"$LOOT\"; echo it ran >> \"$LOOT\"\n{}true\n",
        places.collect::<String>()
    )
}

/// A package that runs the theft when it is installed.
struct Package {
    directory: &'static str,
    files: &'static [(&'static str, &'static str)],
    install: &'static str,
}

const PACKAGES: &[Package] = &[
    Package {
        directory: "npm",
        files: &[(
            "package.json",
            r#"{"name":"evil","version":"1.0.0","scripts":{"postinstall":"sh ../theft.sh"}}"#,
        )],
        install: "npm install --offline --no-audit --no-fund",
    },
    Package {
        directory: "python",
        files: &[("setup.py", "import subprocess\nsubprocess.run(['sh', '../theft.sh'])\n")],
        install: "/usr/bin/python3 setup.py install",
    },
    Package {
        directory: "rust",
        files: &[
            (
                "Cargo.toml",
                "[package]\nname = \"evil\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n",
            ),
            (
                "build.rs",
                "fn main() {\n std::process::Command::new(\"sh\").arg(\"../theft.sh\").status().unwrap();\n}\n",
            ),
            ("src/lib.rs", ""),
        ],
        install: "\"$RUST/cargo\" build --quiet --offline",
    },
];

fn left(home: &Path) -> Vec<&'static str> {
    let is_ours = |place: &&&str| {
        fs::read_to_string(home.join(place)).is_ok_and(|text| text.contains("planted-by-a-package"))
    };
    PLACES.iter().filter(is_ours).copied().collect()
}

#[test]
fn what_packages_run_finds_no_secret_and_leaves_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let rust = machine.plant_toolchain()?;
    machine.configure(
        "[profile.work]\nagent = \"shell\"\nnetwork = \"none\"\nread = [\"~/.rustup\"]\nstate = \"profile\"\n\
         [profile.home]\nagent = \"shell\"\nnetwork = \"none\"\n",
    )?;
    let home = machine.person.home.clone();
    let write =
        |name: &str, text: &str| machine.person.write(&machine.project().join(name), text.as_bytes(), 0o644);
    write("theft.sh", &theft())?;
    for Package { directory, files, install } in PACKAGES {
        for (name, text) in *files {
            write(&format!("{directory}/{name}"), text)?;
        }
        let script = format!(
            "export LOOT=\"$PWD/loot\" RUST={}; export PATH=\"$RUST:$PATH\"; rm -f loot; cd {directory} && {install}",
            rust.display()
        );
        let loot = || fs::read_to_string(machine.project().join("loot")).unwrap_or_default();
        // Outside it finds everything, and stays.
        let mut control = machine.person.command("sh");
        control.args(["-c", &script]).current_dir(machine.project());
        let outside = run(&mut control, b"", LIMIT)?.success()?;
        ensure!(loot().contains(&machine.planted.canary), "{directory}: no control: {outside:?}");
        ensure!(left(&home) == PLACES, "{directory}: no control: {:?}", left(&home));
        for place in PLACES {
            fs::remove_file(home.join(place))?;
        }
        // What it built there would not be built again.
        machine
            .person
            .shell(machine.project(), &format!("rm -rf {directory}/target {directory}/node_modules"))?;
        let start = |profile: &str, script: &str| -> Result<Finished> {
            machine.ctl(&machine.start_arguments("L2", &["--profile", profile], &["sh", "-c", script]))
        };
        let inside = start("work", &script)?.success()?;
        ensure!(loot().contains("it ran"), "{directory}: it did not run: {inside:?}");
        ensure!(!loot().contains(&machine.planted.canary), "{directory}: {}", loot());
        ensure!(left(&home).is_empty(), "{directory}: {:?}", left(&home));
        // Nobody who comes later runs what it left, neither in this profile nor in another.
        for profile in ["work", "home"] {
            let found =
                start(profile, "grep -rls planted-by-a-package ~ --exclude-dir=project; true")?.success()?;
            ensure!(found.text().is_empty(), "{directory}, {profile}: {found:?}");
        }
    }
    Ok(())
}
