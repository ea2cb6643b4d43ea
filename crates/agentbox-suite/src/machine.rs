//! A machine of a test's own: a person, what was planted, directories, an id range, and `agentboxctl` on it.
//! In a rig it is the rig's: the supervisor is its service, and `agentboxctl` runs as the person.

use crate::battery::Outside;
use crate::leftovers::Leftovers;
use crate::person::Person;
use crate::planted::Planted;
use crate::programs::Programs;
use crate::run::{Finished, Running, eventually, run};
use crate::service::{self, Service};
use crate::session::{self, Session};
use crate::terminal::Terminal;
use crate::victim::Victim;
use agentbox_probe::Facts;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest that a command may take. Generous: two cores and a debug build share it with other tests.
const LIMIT: Duration = Duration::from_secs(180);
/// Longest that a process may need to end that has nothing more to do.
const ENDING: Duration = Duration::from_secs(15);
/// Ids that one machine may lease: of 100 million, so that 24 000 machines differ.
const IDS: u32 = 4096;
const FIRST_ID: u32 = 2_001_000_000;
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Variables that hold secrets; every command is started with all of them.
pub const SECRET_NAMES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "BASH_ENV",
    "CARGO_REGISTRY_TOKEN",
    "DB_PASSWORD",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "ENV",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GIT_SSH_COMMAND",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GPG_TTY",
    "KUBECONFIG",
    "LD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "NPM_TOKEN",
    "PGPASSWORD",
    "PYTHONSTARTUP",
    "SOME_API_KEY",
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "TS_AUTHKEY",
    "VAULT_TOKEN",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
];

/// A machine of a test's own. Dropping it ends its sessions and fails the test when something is left.
#[derive(Debug)]
pub struct Machine {
    /// The programs.
    pub programs: Programs,
    /// Whose machine it is.
    pub person: Person,
    /// What was planted.
    pub planted: Planted,
    directory: tempfile::TempDir,
    first_id: u32,
    environment: Vec<(String, String)>,
    /// The network namespace that is the host's; none: the one of the tests.
    network: Option<PathBuf>,
    /// The supervisor, where it is a service.
    service: Option<Service>,
    started: Mutex<Vec<String>>,
}

impl Machine {
    /// A machine with the programs as a person gets them.
    ///
    /// # Errors
    /// When it is not root that runs the tests, or something is missing.
    pub fn new() -> Result<Self> {
        Self::with(Programs::real()?, &[])
    }

    /// A machine with these programs and further variables, such as those that testing builds know.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn with(programs: Programs, environment: &[(&str, &str)]) -> Result<Self> {
        Self::in_network(programs, environment, None)
    }

    /// The same with all programs in a network namespace that is kept at this path.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn in_network(
        programs: Programs,
        environment: &[(&str, &str)],
        network: Option<PathBuf>,
    ) -> Result<Self> {
        let service = Service::take()?;
        let directory = tempfile::Builder::new().prefix("agentbox-suite-").tempdir()?;
        // The person has to reach the supervisor's socket in it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let person = Person::new()?;
        for name in ["run", "state", "logs", "config"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let slot = (std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed)) % 24_000;
        let planted = match Planted::new(&person, &programs, directory.path()) {
            Ok(planted) => planted,
            Err(error) => {
                person.remove();
                return Err(error);
            }
        };
        let machine = Self {
            programs,
            person,
            planted,
            directory,
            first_id: FIRST_ID + slot * IDS,
            environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            network,
            service,
            started: Mutex::new(Vec::new()),
        };
        if let Some(service) = &machine.service {
            fs::create_dir_all(machine.config())?;
            service.set(&machine.programs, &machine.environment)?;
        }
        machine.configure("")?;
        Ok(machine)
    }

    /// Writes the system's configuration: the machine's own range and person, and this.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, more: &str) -> Result<()> {
        let text = format!(
            "uid_range = {{ first = {}, count = {IDS} }}\nusers = [{:?}]\n{more}\n",
            self.first_id, self.person.name
        );
        fs::write(self.config().join("agentbox.toml"), text)?;
        // Embedded, it is read by the supervisor that is started for the next command.
        self.service.as_ref().map_or(Ok(()), Service::restart)
    }

    /// The supervisor, where it is a service.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// A directory of the supervisor's: the service's, or one of the machine's own.
    fn place(&self, of_service: &str, own: &str) -> PathBuf {
        match self.service {
            Some(_) => of_service.into(),
            None => self.directory.path().join(own),
        }
    }

    /// Directory of the system's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.place(service::CONFIGURATION, "config")
    }

    /// The supervisor's runtime directory.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.place(service::RUNTIME, "run")
    }

    /// Directory of the audit trail.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.place(service::LOGS, "logs")
    }

    /// Directory of the supervisor's state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.place(service::STATE, "state")
    }

    /// The session's project.
    #[must_use]
    pub fn project(&self) -> &Path {
        &self.planted.project
    }

    /// Ids that its sessions may lease.
    #[must_use]
    pub fn lease_range(&self) -> std::ops::Range<u32> {
        self.first_id..self.first_id + IDS
    }

    /// `agentboxctl` as root, and in a rig as the person, with everything that a careless caller hands down:
    /// secrets in variables, a umask of 0, an open descriptor of `/`, a session keyring with a key.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.careless_ctl();
        command.args(arguments).current_dir(self.project());
        self.set_environment(&mut command);
        command
    }

    /// The same as the person. Works while a supervisor runs: only root can start one.
    #[must_use]
    pub fn command_as_person(&self, arguments: &[&str]) -> Command {
        let program = self.programs.path("agentboxctl");
        let mut command = match &self.network {
            None => self.person.command(program),
            Some(network) => {
                // Only root may enter, so nsenter gives up its rights afterwards.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", network.display()));
                command.arg(format!("--setgid={}", self.person.gid));
                command.arg(format!("--setuid={}", self.person.uid)).arg("--").arg(program);
                command
            }
        };
        command.args(arguments).current_dir(self.project());
        self.set_environment(&mut command);
        command
    }

    fn set_environment(&self, command: &mut Command) {
        command.env_clear();
        for name in SECRET_NAMES {
            command.env(name, format!("/secret/{}", self.planted.canary));
        }
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", &self.person.home).env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
        if self.service.is_some() {
            return;
        }
        for (name, path) in [
            ("RUNTIME_DIRECTORY", self.runtime()),
            ("STATE_DIRECTORY", self.state()),
            ("LOGS_DIRECTORY", self.logs()),
            ("CONFIGURATION_DIRECTORY", self.config()),
        ] {
            command.env(name, path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// Puts this machine's Rust toolchain where rustup would have put it, for sessions with profile `rust`
    /// and `read = ["~/.rustup"]`. Returns the directory of its programs.
    ///
    /// # Errors
    /// When there is none, or it is on another file system than the person's home.
    pub fn plant_toolchain(&self) -> Result<PathBuf> {
        let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]), b"", LIMIT)?.success()?;
        let toolchain = self.person.home.join(".rustup/toolchains/here");
        self.person.make_directory(toolchain.parent().context("no parent")?)?;
        // Links, because it is large; nobody inside can write them.
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--link"]).arg(sysroot.text().trim()).arg(&toolchain);
        run(&mut copy, b"", LIMIT)?.success()?;
        Ok(toolchain.join("bin"))
    }

    /// `agentboxctl` on a terminal of its own.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn terminal(&self, arguments: &[&str], rows: u16, columns: u16) -> Result<Terminal> {
        let mut command = self.on_terminal();
        Terminal::start(command.args(self.ctl_line()).args(arguments), rows, columns)
    }

    /// A shell's script in the environment and the directory of the client, which is `$0`.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).arg(self.programs.path("agentboxctl"));
        shell.env_clear().current_dir(self.project());
        let client = self.command(&[]);
        shell.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    }

    /// A shell's script on a terminal of its own; `"$@"` in it is `agentboxctl` with these arguments.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn shell_on_terminal(&self, script: &str, arguments: &[&str]) -> Result<Terminal> {
        let mut command = self.on_terminal();
        command.args(["/bin/sh", "-c", script, "sh"]).args(self.ctl_line()).args(arguments);
        Terminal::start(&mut command, 24, 80)
    }

    fn on_terminal(&self) -> Command {
        // setsid(1) makes the terminal the controlling one, as a terminal emulator does.
        let mut command = self.careless(Path::new("/usr/bin/setsid"));
        command.args(["--ctty", "--wait"]).current_dir(self.project());
        self.set_environment(&mut command);
        command
    }

    fn careless_ctl(&self) -> Command {
        let line = self.ctl_line();
        let mut command = self.careless(Path::new(&line[0]));
        command.args(&line[1..]);
        command
    }

    /// `agentboxctl`, as whom it runs on this machine.
    fn ctl_line(&self) -> Vec<std::ffi::OsString> {
        let program = self.programs.path("agentboxctl").into_os_string();
        if self.service.is_none() {
            return vec![program];
        }
        let (uid, gid) = (self.person.uid.to_string(), self.person.gid.to_string());
        let mut line: Vec<std::ffi::OsString> =
            ["/usr/bin/setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"].map(Into::into).into();
        line.push(program);
        line
    }

    /// A program that starts with a umask of 0, descriptor 9 open, further groups and a key in its session keyring.
    fn careless(&self, program: &Path) -> Command {
        let probe = self.programs.path("agentbox-probe");
        let mut command = match &self.network {
            None => Command::new(probe),
            Some(network) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", network.display())).arg("--").arg(probe);
                command
            }
        };
        command.args(["with-key", &self.planted.key_name]).arg(&self.planted.key_file);
        // Of adm and dialout, as administrators are.
        command.args(["--", "/usr/bin/setpriv", "--groups", "4,20"]);
        command.args(["/bin/sh", "-c", "umask 0; exec \"$@\" 9</", "sh"]).arg(program);
        command
    }

    /// Runs `agentboxctl` to its end.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Finished> {
        self.ctl_with(arguments, b"")
    }

    /// The same with standard input.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn ctl_with(&self, arguments: &[&str], input: &[u8]) -> Result<Finished> {
        run(&mut self.command(arguments), input, LIMIT)
    }

    /// Arguments that start a session of the project in a posture.
    #[must_use]
    pub fn start_arguments<'a>(
        &self,
        posture: &'a str,
        more: &[&'a str],
        command: &[&'a str],
    ) -> Vec<&'a str> {
        let mut arguments = vec!["start", ".", "--posture", posture];
        if posture == "L0" {
            arguments.push("--yes-unconfined");
        }
        arguments.extend(more);
        arguments.push("--");
        arguments.extend(command);
        arguments
    }

    /// Runs a program in a session of its own.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn inside(&self, posture: &str, command: &[&str]) -> Result<Finished> {
        self.inside_with(posture, command, b"")
    }

    /// The same with standard input.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn inside_with(&self, posture: &str, command: &[&str], input: &[u8]) -> Result<Finished> {
        self.ctl_with(&self.start_arguments(posture, &[], command), input)
    }

    /// Starts a program in a session of its own whose streams stay attached here.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn attached(&self, posture: &str, command: &[&str]) -> Result<Running> {
        Running::start(&mut self.command(&self.start_arguments(posture, &[], command)))
    }

    /// Starts a session that runs by itself.
    ///
    /// # Errors
    /// When it does not start.
    pub fn detached(&self, posture: &str, command: &[&str]) -> Result<Session<'_>> {
        self.detached_with(posture, &[], command)
    }

    /// The same with further options.
    ///
    /// # Errors
    /// When it does not start.
    pub fn detached_with(&self, posture: &str, more: &[&str], command: &[&str]) -> Result<Session<'_>> {
        let mut options = vec!["--detach"];
        options.extend(more);
        let accounts = session::accounts();
        let finished = self.ctl(&self.start_arguments(posture, &options, command))?.success()?;
        let id = finished.text().trim().to_owned();
        ensure!(!id.is_empty() && !id.contains(char::is_whitespace), "no id: {finished:?}");
        self.remember(&id);
        Ok(Session::new(self, id, accounts))
    }

    fn remember(&self, id: &str) {
        if let Ok(mut started) = self.started.lock() {
            started.push(id.to_owned());
        }
    }

    /// Sessions whose directories are there now, also such as no supervisor knows: whatever they hold has to
    /// be gone in the end.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn remember_directories(&self) -> Result<Vec<String>> {
        let Ok(entries) = fs::read_dir(self.runtime().join("sessions")) else { return Ok(Vec::new()) };
        let ids: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        ids.iter().for_each(|id| self.remember(id));
        Ok(ids)
    }

    /// Ids of the sessions that are listed now.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn session_ids(&self) -> Result<Vec<String>> {
        let list = self.ctl(&["list", "--json"])?.json()?;
        let sessions = list.as_array().context("the list is none")?;
        let ids: Option<Vec<String>> =
            sessions.iter().map(|one| Some(one["id"].as_str()?.to_owned())).collect();
        let ids = ids.context("a session without an id")?;
        ids.iter().for_each(|id| self.remember(id));
        Ok(ids)
    }

    /// The only session that is listed, waiting until there is one.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn only_session(&self) -> Result<Session<'_>> {
        let id = eventually("one session is listed", LIMIT, || Ok(self.session_ids()?.into_iter().next()))?;
        Ok(Session::new(self, id, session::accounts()))
    }

    /// What was planted, in the probe's words.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn facts(&self, tag: &str) -> Result<Facts> {
        let mut facts = self.planted.facts(&self.person, &self.programs, SECRET_NAMES, tag)?;
        let files =
            [self.logs().join("audit.jsonl"), self.state().join("leases"), self.runtime().join("lock")];
        facts.host.supervisor_files = files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        Ok(facts)
    }

    /// A process of the person's on the host that holds secrets and things of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn victim(&self, tag: &str) -> Result<Victim> {
        let mut command = self.person.command(self.programs.path("agentbox-probe"));
        command.args(["victim", tag, "/tmp", "/var/tmp", "/dev/shm"]);
        // Sockets that programs of the person's left in its home, which L1 shows.
        command.arg(&self.person.home);
        Victim::start(command.env("AGENTBOX_PROBE_SECRET", &self.planted.canary))
    }

    /// The probe on the host, with all that sessions are started with.
    #[must_use]
    pub fn probe_outside(&self, who: Outside) -> Command {
        let mut command = self.careless(Path::new("/usr/bin/env"));
        match who {
            Outside::Person => {
                let (uid, gid) = (self.person.uid.to_string(), self.person.gid.to_string());
                command.args(["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"]);
            }
            Outside::Root => {}
            Outside::RootInOwnNamespace => {
                // The shell stays as process 1, so that the probe is another.
                command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
                command.args(["/bin/sh", "-c", "\"$@\"; exit $?", "sh"]);
            }
        }
        command.arg(&self.planted.probe).current_dir(self.project());
        self.set_environment(&mut command);
        command
    }

    /// Ends what still runs after something was killed at a point; what is wrong then: what is left, and that the next
    /// start does not work.
    ///
    /// # Errors
    /// When sessions cannot be listed or stopped.
    pub fn wrong_after_kill(&self, point: &str) -> Result<Vec<String>> {
        for id in self.session_ids()? {
            self.ctl(&["stop", &id, "--timeout", "2s"])?.success()?;
        }
        self.wait_until_supervisor_ended()?;
        let mut wrong: Vec<_> = self.leftovers().into_iter().map(|left| format!("{point}: {left}")).collect();
        let next = self.inside("L2", &["true"])?;
        if next.status != 0 {
            wrong.push(format!("{point}: the next start: {next:?}"));
        }
        if self.service.is_some() {
            // The end of that session is not to fall together with what is done to the manager next, such as a reload.
            self.wait_until_supervisor_ended()?;
        }
        Ok(wrong)
    }

    /// Waits until the supervisor has ended by itself, as it does when it has nothing to do.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_until_supervisor_ended(&self) -> Result<()> {
        if self.service.is_some() {
            // It stays; what it has of sessions does not.
            return eventually("no session is left", LIMIT, || {
                let sessions = fs::read_dir(self.runtime().join("sessions"));
                Ok(sessions.map_or(true, |mut entries| entries.next().is_none()).then_some(()))
            });
        }
        let (bus, lock) = (self.runtime().join("bus"), self.runtime().join("lock"));
        eventually("the supervisor has ended", LIMIT, || {
            if bus.exists() {
                return Ok(None);
            }
            // It writes its last lines after the socket is gone and holds this until then.
            let Ok(file) = fs::File::open(&lock) else { return Ok(Some(())) };
            Ok(rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok())
        })
    }

    /// What ended sessions left on the host.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let started = self.started.lock().map(|started| started.clone()).unwrap_or_default();
        // A manager whose bus was killed sees only then that nobody is in a scope any more.
        let scopes = self.service.as_ref().map_or(Ok(Vec::new()), |service| {
            let gone = || Ok(service.scopes()?.is_empty().then_some(()));
            let _told_below = eventually("no scope is left", ENDING, gone);
            service.scopes()
        });
        let mut left =
            Leftovers { runtime: self.runtime(), first_id: self.first_id, ids: IDS }.find(&started);
        match scopes {
            Ok(scopes) => left.extend(scopes.into_iter().map(|scope| format!("unit {scope}"))),
            Err(error) => left.push(error.to_string()),
        }
        left
    }

    /// Waits for the end of the supervisor, after which nothing may be left.
    ///
    /// # Errors
    /// When it does not end, or something is left.
    pub fn ends_without_leftovers(&self) -> Result<()> {
        self.wait_until_supervisor_ended()?;
        let left = self.leftovers();
        ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    }

    /// Stops everything and says what is left.
    fn close(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.service.is_some() || self.runtime().join("bus").exists() {
            match self.ctl(&["stop", "--all", "--timeout", "2s"]) {
                Ok(finished) if finished.status == 0 => {}
                Ok(finished) => problems.push(format!("stop --all: {finished:?}")),
                Err(error) => problems.push(error.to_string()),
            }
            problems.extend(self.wait_until_supervisor_ended().err().map(|error| error.to_string()));
        }
        problems.extend(self.leftovers());
        // What read for the person may just be ending.
        let gone = || Ok(self.person.processes().is_empty().then_some(()));
        let _told_below = eventually("no process of the person is left", ENDING, gone);
        for pid in self.person.processes() {
            problems.push(format!("process {pid} of the person"));
            kill(pid);
        }
        for pid in crate::leftovers::processes_of(self.first_id, self.first_id + (IDS - 1)) {
            kill(pid);
        }
        problems.extend(self.person.remove());
        problems
    }
}

/// Only ever a process of this machine's own person or range.
fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let problems = self.close();
        if !problems.is_empty() {
            let text = format!("left over on the host:\n{}", problems.join("\n"));
            // A second panic would hide the first.
            if std::thread::panicking() {
                eprintln!("{text}");
            } else {
                panic!("{text}");
            }
        }
    }
}
