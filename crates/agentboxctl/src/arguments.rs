//! Every verb and option: the one definition that parser, help and completions come from.

use crate::complete;
use agentbox_plan::SessionId;
use agentbox_policy::{HostPath, HostRule, Network, Publish, State, Workspace};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::{ArgValueCandidates, Shell};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Runs AI coding agents in sandboxes.
#[derive(Debug, Parser)]
#[command(
    name = "agentboxctl",
    version,
    disable_help_subcommand = true,
    after_help = "Exit status: start, attach and exec end with the status of the program inside (128+n for signal n, 126 or 127 \
        when it could not be executed) and with 125 when agentbox itself fails. The other commands end with 1 \
        when they fail and with 2 for a command line that makes no sense."
)]
pub struct Arguments {
    /// Start a supervisor of one's own if none is running, also beside systemd (root)
    #[arg(long, global = true)]
    pub embedded: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a session of a project and attach to it
    Start(Start),
    /// List sessions
    #[command(visible_alias = "ls")]
    List(List),
    /// Take over the terminal of a session (Ctrl-] Ctrl-] leaves it)
    Attach(Attach),
    /// Run a second program inside a session, as confined as the first
    Exec(Exec),
    /// End sessions; returns when nothing of them is left
    Stop(Stop),
    /// Show everything about a session, or about the supervisor
    Status(Status),
    /// Show what a session on an overlay changed
    Diff(Diff),
    /// Take what a session on an overlay changed into the project
    Apply(Apply),
    /// Throw away what a session on an overlay changed
    Discard(Discard),
    /// Let a session that runs reach a host
    Allow(Allow),
    /// Keep a session that runs from a host, and cut its connections there
    Deny(Deny),
    /// Show which rule decides about a host or a path, and what would change it
    Why(Why),
    /// Show signatures that wait to be confirmed, and confirm them
    Confirm(Confirm),
    /// Have everything of a session's agent stand still
    Freeze(Freeze),
    /// Let a session go on that was frozen, by somebody or because of what came to be in its project
    Thaw(Thaw),
    /// Show what a session left behind in its project
    Report(Report),
    /// Show the audit trail
    Log(Log),
    /// Show the policy and the plan that a start would use; starts nothing
    Explain(Explain),
    /// Look for risks in a directory, and say which posture fits
    Inspect(Inspect),
    /// Accept what a project's own file says now and what its profile puts into a session, after looking at it
    Trust(Trust),
    /// Show and reset profiles
    Profile {
        /// What to do.
        #[command(subcommand)]
        verb: ProfileVerb,
    },
    /// Name directories, and bind them to profiles
    Project {
        /// What to do.
        #[command(subcommand)]
        verb: ProjectVerb,
    },
    /// Check configuration files without a supervisor
    Check(Check),
    /// Print the JSON schema of the configuration
    Schema,
    /// Show what this host can and cannot do, with the remedy for each
    Doctor(Doctor),
    /// Try the attacks of the threat model here, outside and in a session, and show what held
    Verify(Verify),
    /// Print a completion script
    Completions {
        /// The shell it is for
        shell: Shell,
    },
}

/// Which session is wanted.
#[derive(Debug, Clone, Default, Args)]
pub struct Choice {
    /// Name of a project, or its directory [default: the current directory]
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects), value_hint = ValueHint::DirPath)]
    pub project: Option<OsString>,
    /// Profile: whose identity the session has
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::profiles))]
    pub profile: Option<String>,
    /// Posture: how strongly the session is held (L0, L1, L2 or a configured one)
    #[arg(long, value_name = "NAME")]
    pub posture: Option<String>,
    /// Agent program (claude, codex, gemini, opencode, shell)
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// What it reaches: host, public, allowlist or none
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<Network>,
    /// Let it reach a host as well: NAME[:PORT], *.NAME, ADDRESS[/LENGTH][:PORT], host:PORT or @GROUP (can be repeated)
    #[arg(long, value_name = "TARGET", value_parser = crate::targets::rule)]
    pub allow: Vec<HostRule>,
    /// Keep it from a host, whatever allows it (can be repeated)
    #[arg(long, value_name = "TARGET", value_parser = crate::targets::rule)]
    pub deny: Vec<HostRule>,
    /// Show a port inside on the loopback of this machine: 3000, or 8080:3000 for another number here (can be repeated)
    #[arg(long, value_name = "[HOST_PORT:]PORT", value_parser = crate::targets::publish)]
    pub publish: Vec<Publish>,
    /// Let it have a git directory or an object store outside of the project that the project's own git names
    /// (can be repeated)
    #[arg(long, value_name = "PATH")]
    pub git_dir: Vec<HostPath>,
    /// How it can change the project: direct, overlay or readonly
    #[arg(long, value_name = "WORKSPACE")]
    pub workspace: Option<Workspace>,
    /// What of its own files outlives the session: profile, project or ephemeral
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// Agree to a session that nothing confines (L0)
    #[arg(long)]
    pub yes_unconfined: bool,
    /// Agree to private data, untrusted content and external communication in this one session
    #[arg(long)]
    pub yes_trifecta: bool,
    /// Agree to a project that belongs to root
    #[arg(long)]
    pub allow_root_project: bool,
    /// Program and arguments to run in place of the agent
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `start`
#[derive(Debug, Args)]
pub struct Start {
    /// Which session.
    #[command(flatten)]
    pub choice: Choice,
    /// Go on with the overlay of a session that has ended
    #[arg(long, value_name = "ID", conflicts_with = "project", add = ArgValueCandidates::new(complete::changes))]
    pub resume: Option<SessionId>,
    /// Name for the session
    #[arg(long)]
    pub name: Option<String>,
    /// Do not attach; print the session's id
    #[arg(short, long)]
    pub detach: bool,
    /// Leave standard input to others: the agent reads nothing (standard input is /dev/null)
    #[arg(short = 'n', long)]
    pub no_stdin: bool,
    /// Print what was started as JSON
    #[arg(long, requires = "detach")]
    pub json: bool,
    /// Print no banner and no warnings
    #[arg(short, long)]
    pub quiet: bool,
    /// Print banner and warnings also where standard error is no terminal
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Wait for no key after a report of what the session changed
    #[arg(short, long)]
    pub yes: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Name or directory of the project whose configuration is tried [default: the current directory]
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects), value_hint = ValueHint::DirPath)]
    pub project: Option<OsString>,
    /// Profile that is tried
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::profiles))]
    pub profile: Option<String>,
    /// Posture that is tried (L1, L2 or a configured one)
    #[arg(long, value_name = "NAME")]
    pub posture: Option<String>,
    /// Network that is tried: public, allowlist or none
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<Network>,
    /// Workspace that is tried: direct, overlay or readonly
    #[arg(long, value_name = "WORKSPACE")]
    pub workspace: Option<Workspace>,
    /// Print everything that was seen as JSON
    #[arg(long)]
    pub json: bool,
    /// Write everything that was seen to a page for a browser
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::changes))]
    pub id: SessionId,
    /// Only what lies there, from the project's root
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Print JSON
    #[arg(long, conflicts_with = "stat")]
    pub json: bool,
    /// A line for each change
    #[arg(long)]
    pub stat: bool,
}

/// `apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::changes))]
    pub id: SessionId,
    /// What to take, from the project's root; directories with what is in them
    #[arg(value_name = "PATH", required_unless_present_any = ["all", "trigger", "commits"])]
    pub paths: Vec<OsString>,
    /// Everything, but what a program on this machine acts on
    #[arg(short, long, conflicts_with = "paths")]
    pub all: bool,
    /// Take this file, on which a program on this machine acts (can be repeated)
    #[arg(long, value_name = "PATH")]
    pub trigger: Vec<OsString>,
    /// Bring the commits that the session made as refs/agentbox/ID
    #[arg(long)]
    pub commits: bool,
    /// Where the project has changed too, take the session's version
    #[arg(long, conflicts_with = "mine")]
    pub theirs: bool,
    /// Where the project has changed too, keep the project's version and show the session's no more
    #[arg(long)]
    pub mine: bool,
    /// Where the project has changed too, take both, where they changed different lines
    #[arg(long, conflicts_with_all = ["mine", "theirs"])]
    pub merge: bool,
}

/// `discard`
#[derive(Debug, Args)]
pub struct Discard {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::changes))]
    pub id: SessionId,
    /// Without a question
    #[arg(short, long)]
    pub yes: bool,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// Also sessions that have ended: those being cleaned up, and those whose changes wait to be looked at
    #[arg(short, long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `attach`
#[derive(Debug, Args)]
pub struct Attach {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// Wait for no key after a report of what the session changed
    #[arg(short, long)]
    pub yes: bool,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// Leave standard input to others: the program reads nothing (standard input is /dev/null)
    #[arg(short = 'n', long)]
    pub no_stdin: bool,
    /// Program and arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// The sessions
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID", add = ArgValueCandidates::new(complete::sessions))]
    pub ids: Vec<SessionId>,
    /// All of one's sessions
    #[arg(short, long)]
    pub all: bool,
    /// Time between SIGTERM and SIGKILL: 500ms, 10s, 2m
    #[arg(short, long, default_value = "10s", value_parser = crate::output::units::parse_duration)]
    pub timeout: Duration,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// The session; without one, the supervisor
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: Option<SessionId>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `allow`
#[derive(Debug, Args)]
pub struct Allow {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// NAME[:PORT], *.NAME, ADDRESS[/LENGTH][:PORT], host:PORT or @GROUP; without a port, 80 and 443
    #[arg(value_name = "TARGET", value_parser = crate::targets::target)]
    pub target: String,
    /// For how long: 90s, 10m, 2h [default: until the session ends]
    #[arg(long = "for", value_name = "TIME", value_parser = crate::targets::lasting)]
    pub lasting: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `deny`
#[derive(Debug, Args)]
pub struct Deny {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// NAME[:PORT], *.NAME, ADDRESS[/LENGTH][:PORT], host:PORT or @GROUP; without a port, every port
    #[arg(value_name = "TARGET", value_parser = crate::targets::target)]
    pub target: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `why`
#[derive(Debug, Args)]
pub struct Why {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// HOST, HOST:PORT or an absolute path inside
    #[arg(value_name = "HOST[:PORT]|PATH", value_parser = crate::targets::destination)]
    pub what: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `confirm`
#[derive(Debug, Args)]
pub struct Confirm {
    /// The session; without one, all of one's sessions
    #[arg(required_if_eq("deny", "true"), add = ArgValueCandidates::new(complete::sessions))]
    pub id: Option<SessionId>,
    /// Number of the signature to confirm; without one, they are shown
    #[arg(required_if_eq("deny", "true"))]
    pub number: Option<u64>,
    /// Decline it
    #[arg(long)]
    pub deny: bool,
    /// Go on showing them as they come, and ask for each where standard input is a terminal
    #[arg(short, long, conflicts_with_all = ["number", "deny"])]
    pub follow: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["number", "deny"])]
    pub json: bool,
}

/// `freeze`
#[derive(Debug, Args)]
pub struct Freeze {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
}

/// `thaw`
#[derive(Debug, Args)]
pub struct Thaw {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
}

/// `report`
#[derive(Debug, Args)]
pub struct Report {
    /// The session
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: SessionId,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `log`
#[derive(Debug, Args)]
pub struct Log {
    /// The session; without one, all that one may see
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    pub id: Option<SessionId>,
    /// Wait for further events
    #[arg(short, long)]
    pub follow: bool,
    /// Print the lines of the trail as they are
    #[arg(long)]
    pub json: bool,
    /// Check that nothing was changed, removed or cut off (root)
    #[arg(long, conflicts_with_all = ["id", "follow"])]
    pub verify: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Which session.
    #[command(flatten)]
    pub choice: Choice,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Name of a project, or a directory [default: the current directory]
    #[arg(value_name = "PATH", add = ArgValueCandidates::new(complete::projects), value_hint = ValueHint::DirPath)]
    pub project: Option<OsString>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `trust`
#[derive(Debug, Args)]
pub struct Trust {
    /// Name of a project, or its directory [default: the current directory]
    #[arg(value_name = "PROJECT", add = ArgValueCandidates::new(complete::projects), value_hint = ValueHint::DirPath)]
    pub project: Option<OsString>,
    /// Profile, of which what it puts into a session is accepted as well [default: the project's]
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::profiles))]
    pub profile: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `profile`
#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// List profiles, and for which of them something is kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a profile says
    Show {
        /// The profile
        #[arg(add = ArgValueCandidates::new(complete::profiles))]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run an agent's login once, in an empty directory; the profile keeps it
    Login {
        /// The profile
        #[arg(add = ArgValueCandidates::new(complete::profiles))]
        name: String,
        /// The agent [default: the profile's]
        agent: Option<String>,
        /// Whose profile it is (root) [default: who called sudo]
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Remove all that is kept for a profile: logins, conversations
    Reset {
        /// The profile
        #[arg(add = ArgValueCandidates::new(complete::profiles))]
        name: String,
        /// Whose profile it is (root)
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
}

/// `project`
#[derive(Debug, Subcommand)]
pub enum ProjectVerb {
    /// List projects, their directories and profiles
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Name a directory in one's own file
    Add {
        /// Name of the project
        name: String,
        /// Its directory
        path: OsString,
        /// The profile of every session in it
        #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::profiles))]
        profile: Option<String>,
        /// The posture of every session in it
        #[arg(long, value_name = "NAME")]
        posture: Option<String>,
    },
    /// Remove a project from one's own file; its directory is left as it is
    Remove {
        /// Name of the project
        #[arg(add = ArgValueCandidates::new(complete::projects))]
        name: String,
    },
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Files; those of the system in the order in which they are merged [default: all that are used here]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// They are a person's own files
    #[arg(long, conflicts_with = "system")]
    pub person: bool,
    /// They are the system's files, also one with the name of a project's
    #[arg(long)]
    pub system: bool,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Remove what ended sessions left behind (root)
    #[arg(long)]
    pub repair: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests;
