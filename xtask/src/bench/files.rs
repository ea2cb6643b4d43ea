//! File work in a project: the same script outside, inside a session, and inside one on an overlay, turn by turn.

use super::round::Measured;
use crate::demo::{Person, Place, Sessions};
use crate::program;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Prints `name microseconds` for each piece of work. bash tells the time without starting a program.
const SCRIPT: &str = r#"
set -eu
all=0
timed() {
    local name=$1 begun=$EPOCHREALTIME
    shift
    "$@" > /dev/null 2>&1
    local ended=$EPOCHREALTIME
    local took=$((${ended/[.,]/} - ${begun/[.,]/}))
    all=$((all + took))
    echo "$name $took"
}
small_files() {
    mkdir small
    for ((i = 0; i < 10000; i++)); do echo "$i" > "small/$i"; done
    cat small/* > /dev/null
    rm -r small
}
git_status() {
    for ((i = 0; i < 20; i++)); do git status --porcelain; done
}
crate() {
    (cd crate && CARGO_HOME=$PWD/.home cargo build --offline --quiet)
}
git status > /dev/null
timed git-status git_status
timed small-files small_files
rm -rf crate/target
timed cargo-build crate
echo "all $all"
"#;

/// What the rows are called.
const WORK: &[(&str, &str)] = &[
    ("git-status", "git status, 5 000 files, 20 times"),
    ("small-files", "10 000 small files: create, read, delete"),
    ("cargo-build", "cargo build, one crate of 40 modules"),
    ("all", "all of it"),
];

/// Where it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Outside,
    Direct,
    Overlay,
    /// Outside, in a mount of the kernel's overlayfs over the project.
    BareOverlay,
}

const WHERE: [Where; 4] = [Where::Outside, Where::Direct, Where::Overlay, Where::BareOverlay];

/// A row: the work, outside and inside.
pub(super) type Row = (String, Measured, Measured);

pub(super) fn measure(
    place: &Place,
    person: &Person,
    sessions: &Sessions,
    rounds: usize,
) -> Result<Vec<Row>> {
    let toolchain = copy_toolchain(place)?;
    prepare(person)?;
    let bare = Bare { directory: place.shared().join("bare"), project: person.project.clone() };
    let path = format!("PATH={}/bin:/usr/local/bin:/usr/bin:/bin", toolchain.display());
    let mut times: BTreeMap<(String, Where), Vec<Duration>> = BTreeMap::new();
    for round in 0..=rounds {
        // Turn about, and each from a disk that has nothing left to write: who comes second would
        // otherwise pay for what the first one left in the journal.
        for turn in 0..WHERE.len() {
            let place = WHERE[(round + turn) % WHERE.len()];
            rustix::fs::sync();
            let mut command = match place {
                Where::Outside => {
                    let mut outside = person.command("env");
                    outside.current_dir(&person.project);
                    outside
                }
                Where::BareOverlay => bare.command(person, round)?,
                Where::Direct | Where::Overlay => {
                    let workspace = if place == Where::Direct { "direct" } else { "overlay" };
                    let mut start = sessions.start();
                    start.args([
                        "--posture",
                        "L2",
                        "--network",
                        "none",
                        "--workspace",
                        workspace,
                        "--",
                        "env",
                    ]);
                    start
                }
            };
            let said = program::capture(command.args([path.as_str(), "bash", "-c", SCRIPT]))?;
            for line in said.lines().filter(|_| round > 0) {
                let (name, time) = line.split_once(' ').context("the script said something unknown")?;
                let time = Duration::from_micros(time.parse()?);
                times.entry((name.to_owned(), place)).or_default().push(time);
            }
        }
    }
    let measured = |name: &str, place| Measured {
        name: name.to_owned(),
        times: times.get(&(name.to_owned(), place)).cloned().ok_or_else(|| "not run".to_owned()),
    };
    let row = |key: &str, name: String, place| (name, measured(key, Where::Outside), measured(key, place));
    let direct = WORK.iter().map(|(key, name)| row(key, (*name).to_owned(), Where::Direct));
    let overlay = WORK.iter().map(|(key, name)| row(key, format!("{name}, on an overlay"), Where::Overlay));
    let bare = WORK
        .iter()
        .map(|(key, name)| row(key, format!("{name}, on an overlay without a session"), Where::BareOverlay));
    Ok(direct.chain(overlay).chain(bare).collect())
}

/// The project below a layer that the kernel keeps, with nothing of ours: what overlayfs itself costs.
struct Bare {
    directory: PathBuf,
    project: PathBuf,
}

impl Bare {
    /// A command of the person in a mount with a new layer. It ends with its namespace.
    fn command(&self, person: &Person, number: usize) -> Result<Command> {
        let directory = self.directory.join(number.to_string());
        for name in ["layer", "work"] {
            let path = directory.join(name);
            std::fs::create_dir_all(&path)?;
            std::os::unix::fs::chown(&path, Some(person.uid), Some(person.gid))?;
        }
        let project = self.project.display();
        let options =
            format!("lowerdir={project},upperdir={0}/layer,workdir={0}/work,xino=off", directory.display());
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount -t overlay none -o \"$1\" \"$2\" && cd \"$2\" && shift 2 && exec \"$@\"",
        ]);
        command.arg("sh").arg(options).arg(&self.project);
        let inside = person.command("env");
        command.env_clear().arg(inside.get_program()).args(inside.get_args());
        program::copy_surroundings(&inside, &mut command);
        Ok(command)
    }
}

/// Where every user can read it: the compiler that built these programs lies in somebody's home.
fn copy_toolchain(place: &Place) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let root = program::capture(Command::new(rustc).args(["--print", "sysroot"]))?;
    let root = Path::new(root.trim());
    let copy = place.shared().join("toolchain");
    let target = format!("lib/rustlib/{}", crate::workspace::host_triple()?);
    std::fs::create_dir_all(copy.join("lib/rustlib"))?;
    let copied = |what: &Path, to: &Path| program::run(Command::new("cp").arg("--archive").arg(what).arg(to));
    copied(&root.join(&target), &copy.join("lib/rustlib"))?;
    std::fs::create_dir_all(copy.join("bin"))?;
    for name in ["cargo", "rustc"] {
        copied(&root.join("bin").join(name), &copy.join("bin"))?;
    }
    for entry in std::fs::read_dir(root.join("lib"))? {
        let path = entry?.path();
        if path.is_file() {
            copied(&path, &copy.join("lib"))?;
        }
    }
    Ok(copy)
}

/// A repository with many files and a crate, made by the person.
fn prepare(person: &Person) -> Result<()> {
    let script = r#"
set -eu
mkdir -p many crate/src
for ((d = 0; d < 50; d++)); do
    mkdir "many/$d"
    for ((i = 0; i < 100; i++)); do echo "file $i of $d" > "many/$d/$i"; done
done
printf '[package]\nname = "work"\nedition = "2021"\n[workspace]\n' > crate/Cargo.toml
for ((i = 0; i < 40; i++)); do
    echo "mod m$i;" >> crate/src/main.rs
    for ((j = 0; j < 20; j++)); do
        echo "pub fn f$j(n: u64) -> String { (0..n).map(|k| format!(\"{k}-$i\")).collect::<Vec<_>>().join(\",\") }"
    done > "crate/src/m$i.rs"
done
echo 'fn main() { println!("{}", m0::f0(3)); }' >> crate/src/main.rs
printf '/crate\n/small\n' >> .gitignore
git add . && git commit --quiet --message 'Many files'
"#;
    program::run(person.command("bash").args(["-c", script]).current_dir(&person.project))
}
