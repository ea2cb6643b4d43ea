//! A review that root asks for, done by a child that is the session's owner.
//!
//! Root never touches a project. The child is root for as long as it takes to leave everything behind but three
//! directories, and then the owner, with the owner's groups and without a way back. It gets the question on
//! its standard input and says one answer, which is read with bounds and escaped again.

use super::Review;
use super::job::{self, Answer, Job, Order};
use crate::account::Account;
use crate::child;
use crate::errors::Failure;
use crate::output::escape;
use agentbox_ipc::ReviewAnswer;
use nix::unistd::{Gid, User, getgrouplist};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// First argument of the child that is still root.
pub(crate) const AS_OWNER: &str = "__review-as-owner";
/// First argument of the child that reviews.
pub(crate) const REVIEW: &str = "__review";
const OURSELVES: &str = "/proc/self/exe";
/// Most bytes of a question and of an answer.
const MOST_BYTES: usize = 256 << 20;
/// A project of a hundred thousand files is compared in seconds; its disk can be a slow one.
const PATIENCE: Duration = Duration::from_secs(1800);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Said {
    Answered(Box<Answer>),
    Failed(String),
}

/// Does a job as whoever may: in this process for the owner, in a child for root.
pub(crate) fn run(
    facts: ReviewAnswer,
    descriptors: [OwnedFd; 3],
    job: Job,
    file: Option<OwnedFd>,
) -> Result<Answer, Failure> {
    let owner = facts.set.owner_uid;
    if rustix::process::geteuid().is_root() && owner != 0 {
        let descriptors: Vec<OwnedFd> = descriptors.into_iter().chain(file).collect();
        return by_owner(owner, &Order { job, facts }, &descriptors);
    }
    let mut review = Review::open(facts, descriptors)?;
    job::run(&mut review, &job, file)
}

fn by_owner(owner: u32, order: &Order, descriptors: &[OwnedFd]) -> Result<Answer, Failure> {
    let account = Account::of(owner)?;
    let failed = |what: &str| format!("cannot look at the changes as user id {owner}: {what}");
    for descriptor in descriptors {
        // Inherited from here on; this program starts nothing else.
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())
            .map_err(|errno| Failure::system(failed("a descriptor"), errno))?;
    }
    let mut child = Command::new(OURSELVES)
        .arg(AS_OWNER)
        .args([account.uid.to_string(), account.gid.to_string()])
        .args(descriptors.iter().map(|descriptor| descriptor.as_raw_fd().to_string()))
        .env_clear()
        .env("HOME", &account.home)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::system(failed("no child"), error))?;
    let question = serde_json::to_vec(order).map_err(|error| Failure::new(failed(&error.to_string())))?;
    if let Some(mut input) = child.stdin.take() {
        // One that has died says so below.
        let _broken_pipe = input.write_all(&question);
    }
    let (_, bytes) = child::output(child, MOST_BYTES, PATIENCE)
        .map_err(|error| Failure::system(failed("its answer"), error))?;
    match serde_json::from_slice(&bytes) {
        Ok(Said::Answered(mut answer)) => {
            let lines: Vec<String> = answer.out.split('\n').map(escape::line).collect();
            answer.out = lines.join("\n");
            answer.notes.iter_mut().for_each(|note| *note = escape::line(note));
            Ok(*answer)
        }
        Ok(Said::Failed(text)) => Err(Failure::new(text)),
        Err(error) => Err(Failure::new(failed(&format!("nothing that can be understood ({error})")))),
    }
}

/// The child that is still root.
pub(crate) fn become_owner(arguments: &[OsString]) -> ExitCode {
    let number = |at: usize| arguments.get(at)?.to_str()?.parse::<u32>().ok();
    let (Some(uid @ 1..), Some(gid)) = (number(0), number(1)) else { return ExitCode::FAILURE };
    let handed: Vec<u32> = (2..arguments.len()).filter_map(number).collect();
    close_all_but(&handed);
    if rustix::process::setsid().is_err() || rustix::thread::set_no_new_privs(true).is_err() {
        return ExitCode::FAILURE;
    }
    if take_ids(uid, gid).is_none() {
        return ExitCode::FAILURE;
    }
    let _not_executed = Command::new(OURSELVES).arg(REVIEW).args(&arguments[2..]).exec();
    ExitCode::FAILURE
}

/// Groups first: afterwards it is forbidden.
pub(crate) fn take_ids(uid: u32, gid: u32) -> Option<()> {
    use rustix::thread::{
        Gid as RawGid, Uid as RawUid, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    };
    let user = User::from_uid(uid.into()).ok()??;
    let name = CString::new(user.name).ok()?;
    let groups = getgrouplist(&name, Gid::from_raw(gid)).ok()?;
    let groups: Vec<RawGid> = groups.into_iter().map(|group| RawGid::from_raw(group.as_raw())).collect();
    set_thread_groups(&groups).ok()?;
    let (uid, gid) = (RawUid::from_raw(uid), RawGid::from_raw(gid));
    // This process has one thread, and executes the next program at once.
    set_thread_res_gid(gid, gid, gid).ok()?;
    set_thread_res_uid(uid, uid, uid).ok()
}

pub(crate) fn close_all_but(kept: &[u32]) {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2 && !kept.contains(number)) {
        // One of them was the directory that was just read: already closed.
        let _already_closed = nix::unistd::close(number.cast_signed());
    }
}

/// The child that is the owner: reads an [`Order`], says one answer.
pub(crate) fn review_and_print(arguments: &[OsString]) -> ExitCode {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return ExitCode::FAILURE;
    }
    // Whoever stops waiting for the answer stops the work as well.
    if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_err()
        || rustix::process::getppid().is_none_or(Pid::is_init)
    {
        return ExitCode::FAILURE;
    }
    let said = match review_as_ourselves(arguments) {
        Ok(answer) => Said::Answered(Box::new(answer)),
        Err(failure) => Said::Failed(failure.text().to_owned()),
    };
    match serde_json::to_writer(std::io::stdout(), &said) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn review_as_ourselves(arguments: &[OsString]) -> Result<Answer, Failure> {
    let mut question = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    std::io::stdin()
        .take(most)
        .read_to_end(&mut question)
        .map_err(|error| Failure::system("cannot read what is asked", error))?;
    let Order { job, facts } = serde_json::from_slice(&question)
        .map_err(|error| Failure::new(format!("cannot understand what is asked: {error}")))?;
    // Opened again with the owner's rights, which is all that is to be had here.
    let open = |at: usize, flags: OFlags| {
        let number = arguments.get(at).and_then(|number| number.to_str()?.parse::<u32>().ok());
        let path = format!("/proc/self/fd/{}", number.unwrap_or(u32::MAX));
        rustix::fs::openat(CWD, path, OFlags::RDONLY | flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Failure::system("cannot open what was handed over", errno))
    };
    let directory = |at: usize| open(at, OFlags::DIRECTORY);
    let mut review = Review::open(facts, [directory(0)?, directory(1)?, directory(2)?])?;
    let file = (arguments.len() > 3).then(|| open(3, OFlags::empty())).transpose()?;
    job::run(&mut review, &job, file)
}
