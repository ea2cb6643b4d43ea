//! nix-instantiate(1): parses and evaluates; builds nothing, fetches nothing.

use crate::program::{capture, shown};
use crate::workspace::{root, target_directory};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Evaluates with one library.
#[derive(Debug)]
pub(super) struct Evaluator {
    /// What `lib` is.
    pub(super) library: PathBuf,
    /// For messages.
    pub(super) name: &'static str,
    store: PathBuf,
}

impl Evaluator {
    /// With the stand-in of this repository.
    pub(super) fn standin() -> Result<Self> {
        Self::new(root().join("nixos-modules/tests/standin/lib.nix"), "stand-in")
    }

    /// With nixpkgs' own.
    pub(super) fn of(library: PathBuf) -> Result<Self> {
        Self::new(library, "nixpkgs")
    }

    fn new(library: PathBuf, name: &'static str) -> Result<Self> {
        if !library.exists() {
            bail!("there is no {}", library.display());
        }
        let store = target_directory().join("nix");
        std::fs::create_dir_all(&store).with_context(|| format!("cannot make {}", store.display()))?;
        Ok(Self { library, name, store })
    }

    fn command(&self) -> Command {
        self.program("nix-instantiate")
    }

    /// nix3-flake(1).
    pub(super) fn flakes(&self) -> Command {
        let mut command = self.program("nix");
        command.args(["--extra-experimental-features", "nix-command flakes", "flake"]);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let at = |name: &str| self.store.join(name);
        // Its own places: nothing of the machine's Nix, if it has one, is changed.
        command
            .env("NIX_STORE_DIR", at("store"))
            .env("NIX_STATE_DIR", at("state"))
            .env("NIX_LOG_DIR", at("log"))
            .env("XDG_CACHE_HOME", at("cache"));
        command.env("NIX_CONFIG", "substituters =\nsandbox = false").env_remove("NIX_PATH");
        command
    }

    /// Whether it is Nix at all.
    pub(super) fn parse(&self, file: &Path) -> Result<()> {
        capture(self.command().arg("--parse").arg(file)).map(drop)
    }

    fn evaluation(&self, file: &str, arguments: &[(&str, &str)]) -> Command {
        let mut command = self.command();
        command.args(["--eval", "--strict", "--json"]).arg(root().join("nixos-modules/tests").join(file));
        command.args(["--arg", "library"]).arg(&self.library);
        for (name, value) in arguments {
            command.args(["--argstr", name, value]);
        }
        command
    }

    /// The value of a file of `nixos-modules/tests`.
    pub(super) fn value(&self, file: &str, arguments: &[(&str, &str)]) -> Result<Value> {
        self.value_with(file, arguments, &[])
    }

    /// The same with files as arguments.
    pub(super) fn value_with(
        &self,
        file: &str,
        arguments: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Value> {
        let text = capture(self.evaluation(file, arguments).args(as_files(files)))?;
        serde_json::from_str(&text).context("what nix-instantiate printed")
    }

    /// The same of a file of `nixos-modules/tests` that evaluates another file.
    pub(super) fn value_of(&self, file: &str, of: &Path) -> Result<Value> {
        let mut command = self.evaluation(file, &[]);
        command.arg("--arg").arg("file").arg(of);
        if file == "evaluate.nix" {
            command.args(["--argstr", "case", ""]);
        }
        serde_json::from_str(&capture(&mut command)?).context("what nix-instantiate printed")
    }

    /// What a file says that must not evaluate.
    pub(super) fn refusal(&self, file: &str, arguments: &[(&str, &str)]) -> Result<String> {
        self.refusal_with(file, arguments, &[])
    }

    /// The same with files as arguments.
    pub(super) fn refusal_with(
        &self,
        file: &str,
        arguments: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<String> {
        let mut command = self.evaluation(file, arguments);
        command.args(as_files(files));
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", shown(&command)))?;
        if output.status.success() {
            bail!("it was accepted");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The value of an expression.
    pub(super) fn expression(&self, expression: &str) -> Result<Value> {
        let text = capture(self.command().args(["--eval", "--strict", "--json", "-E", expression]))?;
        serde_json::from_str(&text).context("what nix-instantiate printed")
    }

    /// The names of the cases of a file.
    pub(super) fn names(&self, file: &str) -> Result<Vec<String>> {
        let path = root().join("nixos-modules/tests").join(file);
        let names = self.expression(&format!("builtins.attrNames (import {} {{ }})", path.display()))?;
        serde_json::from_value(names).context("names of cases")
    }

    /// The message that a refused case is to have.
    pub(super) fn message(&self, case: &str) -> Result<String> {
        let path = root().join("nixos-modules/tests/refused.nix");
        let message = self.expression(&format!("(import {} {{ }}).{case}.message", path.display()))?;
        serde_json::from_value(message).context("a message")
    }
}

fn as_files<'a>(files: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a str> {
    files.iter().flat_map(|(name, file)| ["--arg", *name, *file])
}
