//! What a session will see: everything is opened here, with the right rights, and the plan is made of what
//! was found. No path of it is looked up a second time.

use super::kept::OwnDirectory;
use super::order::{Order, Record};
use super::steps::{StepError, missing};
use crate::network::denials::Denials;
use crate::pinned;
use crate::supervisor::Supervisor;
use agentbox_kernel::person::{self, Person};
use agentbox_kernel::pinned as kernel_pinned;
use agentbox_kernel::source::{self, Opened, Opener, SourceError};
use agentbox_kernel::{directory, keys, own};
use agentbox_plan::look::HeldPlace;
use agentbox_plan::{Plan, Process, Wire};
use agentbox_policy::{
    Facts, Found, Identity, Leg, Pin, PolicyError, SecretGrant, SecretHow, SecretText, Wanted, WantedKind,
};
use rustix::fs::{Mode, OFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use zeroize::Zeroizing;

/// Name inside the session's directory, for supervisors that come later.
const PLAN: &str = "plan";
/// Most bytes of a plan that are read back.
const MAX_PLAN_BYTES: usize = 16 << 20;
/// Host name inside a sandbox.
const HOSTNAME: &str = "agentbox";

/// Opens the sources of a session, in the order that its plan counts them in, and makes the plan. Volumes
/// are made where they are missing.
pub(super) fn open(
    supervisor: &Supervisor,
    order: &Order,
    record: &Record,
    lease_first: u32,
    held: Vec<HeldPlace>,
    mut looked: Looked,
) -> Result<(Vec<OwnedFd>, Plan, Vec<OwnDirectory>), StepError> {
    let own = RefCell::new(Vec::new());
    let values = RefCell::new(Vec::new());
    let (secrets, pins) = (std::mem::take(&mut looked.secrets), std::mem::take(&mut looked.pins));
    let (sources, plan) = open_with(order, record, lease_first, (&values, held, looked), &|wanted| {
        let directory = || -> Result<OwnedFd, StepError> {
            let directory = supervisor.directories.open_session(&record.id)?;
            directory.ok_or_else(|| missing("a directory"))
        };
        match wanted.what {
            WantedKind::Denials => return Ok(Denials::source(directory()?)?),
            WantedKind::Secret { at } => {
                let read = secrets.get(&at).ok_or_else(|| missing("a secret"))?;
                return secret(order, &directory()?, (at, read), lease_first, &values);
            }
            WantedKind::Pinned { at } => {
                let pin = order.policy.pins().get(at).ok_or_else(|| missing("a pin"))?;
                let looked = pins.get(&at).ok_or_else(|| missing("a pin"))?;
                let (pin, name) = ((pin, looked), format!("pin-{at}"));
                return pinned::copy(supervisor, pin, &order.person, &directory()?, &name);
            }
            WantedKind::Told => return made(&directory()?, &wanted.path, &told(order, record)),
            WantedKind::Layer => return crate::layers::open(supervisor, order, record),
            WantedKind::AgentSocket => return Ok(keys::agent_source(directory()?)?),
            WantedKind::Made { ref content } => return made(&directory()?, &wanted.path, content),
            WantedKind::Own { size_bytes, inodes } => {
                let ids = agent_ids(order, lease_first);
                let root = own::make(size_bytes, inodes, ids.0, ids.1)?;
                let source = root.try_clone()?;
                let mut directory = OwnDirectory { path: wanted.path.clone(), root, put: Vec::new() };
                directory.fill(supervisor, order.policy.kept().cloned(), ids)?;
                own.borrow_mut().push(directory);
                return Ok(source);
            }
            _ => {}
        }
        let parts: Vec<_> = wanted.path.split('/').collect();
        Ok(supervisor.directories.volume(&parts, order.person.uid, order.person.gid)?)
    })?;
    Ok((sources, plan, own.into_inner()))
}

/// What the plan of an order would be, with nothing made and nothing kept.
pub(crate) fn preview(
    order: &Order,
    record: &Record,
    lease_first: u32,
    held: Vec<HeldPlace>,
    looked: Looked,
) -> Result<Plan, StepError> {
    // For a plan a volume is a directory that is there; which one it is does not matter.
    let (_sources, plan) =
        open_with(order, record, lease_first, (&RefCell::default(), held, looked), &|_| {
            Ok(order.project.fd.try_clone()?)
        })?;
    Ok(plan)
}

/// Variables whose values come from files, as they are read.
type Values = RefCell<Vec<(String, SecretText)>>;

/// Opens or makes what is the supervisor's own: volumes, the file of refusals.
type Own<'a> = &'a dyn Fn(&Wanted) -> Result<OwnedFd, StepError>;

fn open_with(
    order: &Order,
    record: &Record,
    lease_first: u32,
    (values, held, looked): (&Values, Vec<HeldPlace>, Looked),
    own: Own<'_>,
) -> Result<(Vec<OwnedFd>, Plan), StepError> {
    let opened = open_wanted(looked, own)?;
    let null: OwnedFd = std::fs::File::open("/dev/null")?.into();
    let mut sources = Vec::with_capacity(opened.len() + 1);
    sources.push(order.project.fd.try_clone()?);
    let mut found = Vec::with_capacity(opened.len());
    for opened in opened {
        let (what, fd) = match opened {
            Opened::Missing => (Found::Missing, None),
            Opened::Symlink(to) => (Found::Symlink(to), None),
            Opened::File(fd) => (Found::File, Some(fd)),
            Opened::Directory(fd) => (Found::Directory, Some(fd)),
            Opened::CharDevice(fd) => (Found::CharDevice, Some(fd)),
        };
        found.push(what);
        // The indices of sources are those of what was wanted, so a place is held.
        sources.push(fd.map_or_else(|| null.try_clone(), Ok)?);
    }
    let mut facts = facts(order, record, found, lease_first, held);
    facts.secrets = values.take();
    Ok((sources, agentbox_policy::plan(&order.policy, &facts)?))
}

/// Writes the plan into the session's directory.
pub(super) fn keep_plan(session: impl AsFd, plan: &Plan) -> Result<(), StepError> {
    Ok(directory::write_atomic(session, PLAN, &Zeroizing::new(plan.to_bytes()), 0o600, false)?)
}

/// Forgets what was to run: values of secrets are among its variables.
pub(super) fn forget(process: Process) {
    for variable in process.environment {
        drop(Zeroizing::new(variable.into_bytes()));
    }
}

/// What the policy names at paths of others, opened and read.
#[derive(Debug)]
pub(crate) struct Looked {
    wanted: Vec<Wanted>,
    /// Of those that lie at paths of others, in the same order.
    opened: Vec<Result<Opened, SourceError>>,
    /// By their place in the policy; so are the pins.
    secrets: BTreeMap<usize, Zeroizing<Vec<u8>>>,
    pins: BTreeMap<usize, pinned::Looked>,
}

/// Opens what the policy names at paths of others, and for a session that is to run reads of it what a session gets
/// copies of. Nothing is made, and nobody else waits for it.
pub(crate) async fn look(supervisor: &Supervisor, order: &Order, read: bool) -> Result<Looked, StepError> {
    let wanted = agentbox_policy::wanted(&order.policy);
    let requests: Vec<_> = wanted.iter().filter_map(|wanted| request(order, wanted)).collect();
    let (mut grants, mut pins) = (Vec::new(), Vec::new());
    for wanted in wanted.iter().filter(|_| read) {
        match wanted.what {
            WantedKind::Secret { at } => {
                let grant = order.policy.secrets().get(at).ok_or_else(|| missing("a secret"))?;
                grants.push((at, grant.clone()));
            }
            WantedKind::Pinned { at } => {
                let pin = order.policy.pins().get(at).ok_or_else(|| missing("a pin"))?;
                pins.push((at, pin.clone()));
            }
            _ => {}
        }
    }
    let person = order.person.clone();
    let looked = supervisor.waits.at_paths_of(order.person.uid, move |at| {
        let opened = source::open_batch_telling(&requests, &|path| at.set(path));
        let read = |(of, grant): (usize, SecretGrant)| {
            at.set(&grant.path);
            Ok((of, read_secret(&grant, &person)?))
        };
        let secrets = grants.into_iter().map(read).collect::<Result<_, PolicyError>>()?;
        let look = |(of, pin): (usize, Pin)| {
            at.set(&pin.path);
            Ok((of, pinned::look(&pin, &person)?))
        };
        let pins = pins.into_iter().map(look).collect::<Result<_, PolicyError>>()?;
        Ok(Looked { wanted, opened, secrets, pins })
    });
    looked.await.map_err(|error| StepError::Host(error.refusal()))?
}

/// Takes for each thing that a policy wants what was opened for it, or makes it.
fn open_wanted(looked: Looked, own: Own<'_>) -> Result<Vec<Opened>, StepError> {
    let mut opened = looked.opened.into_iter();
    let mut all = Vec::with_capacity(looked.wanted.len());
    for wanted in &looked.wanted {
        let refused = |error: &SourceError| -> StepError {
            let what = format!("{}: {error}", wanted.path);
            let remedy = match error {
                SourceError::Link { .. } => "name the real path there, without symbolic links",
                _ => "make it readable, or take it out of the configuration",
            };
            PolicyError::Refused { what, rule: wanted.origin.clone(), remedy: remedy.to_owned() }.into()
        };
        match wanted.what {
            WantedKind::Pinned { .. } => {
                let made = own(wanted)?;
                all.push(match kernel_pinned::is_directory(&made)? {
                    true => Opened::Directory(made),
                    false => Opened::File(made),
                });
                continue;
            }
            WantedKind::Volume | WantedKind::Own { .. } | WantedKind::Layer => {
                all.push(Opened::Directory(own(wanted)?));
                continue;
            }
            WantedKind::Secret { .. }
            | WantedKind::Denials
            | WantedKind::Told
            | WantedKind::AgentSocket
            | WantedKind::Made { .. } => {
                all.push(Opened::File(own(wanted)?));
                continue;
            }
            _ => {}
        }
        all.push(match opened.next() {
            Some(Ok(opened)) => opened,
            // A link that a preset did not expect leads nowhere for it; who names one is told.
            Some(Err(error @ SourceError::Link { .. })) if !wanted.preset => return Err(refused(&error)),
            // What its person may not open is as if it were not there. Of the system's places some are
            // covered by private ones, so there an error is never taken for absence.
            Some(Err(error)) if wanted.optional && wanted.by == agentbox_policy::Opener::Person => {
                tracing::debug!("{}: {error}", wanted.path);
                Opened::Missing
            }
            Some(Err(error)) => return Err(refused(&error)),
            None => return Err(missing("an answer for each source")),
        });
    }
    Ok(all)
}

fn request(order: &Order, wanted: &Wanted) -> Option<source::Request> {
    let kind = match wanted.what {
        WantedKind::Any => source::Kind::Any,
        WantedKind::Directory => source::Kind::Directory,
        WantedKind::CharDevice => source::Kind::CharDevice,
        WantedKind::Volume
        | WantedKind::Own { .. }
        | WantedKind::Secret { .. }
        | WantedKind::Pinned { .. }
        | WantedKind::Layer
        | WantedKind::Denials
        | WantedKind::Told
        | WantedKind::AgentSocket
        | WantedKind::Made { .. } => return None,
    };
    let by = match wanted.by {
        agentbox_policy::Opener::System => Opener::System,
        agentbox_policy::Opener::Person => Opener::person(&order.person),
    };
    Some(source::Request { path: wanted.path.clone(), by, kind })
}

/// Most bytes of a secret.
const MAX_SECRET_BYTES: usize = 64 << 10;

fn without_secret(grant: &SecretGrant, why: &str) -> PolicyError {
    PolicyError::Refused {
        what: format!("a session without the secret `{}`: {} {why}", grant.name, grant.path),
        rule: grant.origin().to_owned(),
        remedy: "make the file readable for whom the rule belongs to, or remove the rule".to_owned(),
    }
}

/// Reads the file of a secret.
fn read_secret(grant: &SecretGrant, person: &Person) -> Result<Zeroizing<Vec<u8>>, PolicyError> {
    let by = match grant.by {
        agentbox_policy::Opener::System => Opener::System,
        agentbox_policy::Opener::Person => Opener::person(person),
    };
    let opened = source::open_wanted(&grant.path, &by, source::Kind::Any);
    let file = match opened.map_err(|error| without_secret(grant, &error.to_string()))? {
        Opened::File(file) => file,
        Opened::Symlink(to) => {
            let why = format!("is a symbolic link: name what it points to, `{}`", to.escape_debug());
            return Err(without_secret(grant, &why));
        }
        _ => return Err(without_secret(grant, "is no file")),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let read = source::read_text(&file, MAX_SECRET_BYTES, &mut bytes);
    read.map_err(|error| without_secret(grant, &error.to_string()))?;
    Ok(bytes)
}

/// Hands a secret over. What a session gets as a variable goes into `values`; as a file it is made in the session's
/// directory, the agent's alone.
fn secret(
    order: &Order,
    directory: &OwnedFd,
    (at, bytes): (usize, &Zeroizing<Vec<u8>>),
    lease_first: u32,
    values: &Values,
) -> Result<OwnedFd, StepError> {
    let grant = order.policy.secrets().get(at).ok_or_else(|| missing("a secret"))?;
    let refused = |why: String| without_secret(grant, &why);
    let text = std::str::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.contains('\0') || text.contains('\n') && grant.how != SecretHow::File {
        return Err(refused("holds more than one line".to_owned()).into());
    }
    if grant.how == SecretHow::Env {
        values.borrow_mut().push((grant.name.clone(), SecretText(text.to_owned())));
        return Ok(std::fs::File::open("/dev/null")?.into());
    }
    let name = format!("secret-{at}");
    directory::write_atomic(directory, &name, grant.content(text).as_bytes(), 0o400, false)?;
    let (uid, gid) = agent_ids(order, lease_first);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(directory, &name, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let owner = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
    rustix::fs::chownat(&made, "", owner.0, owner.1, rustix::fs::AtFlags::EMPTY_PATH)
        .map_err(std::io::Error::from)?;
    Ok(made)
}

/// Under which ids the agent runs.
fn agent_ids(order: &Order, lease_first: u32) -> (u32, u32) {
    match order.policy.identity() {
        Identity::Leased => (lease_first, lease_first),
        Identity::Caller => (order.person.uid, order.person.gid),
    }
}

/// What a session is told about itself. No path and no rule of the host: who is told is the agent.
fn told(order: &Order, record: &Record) -> String {
    let stands = |leg: Leg| !order.policy.shared_legs().causes(leg).is_empty();
    let what = serde_json::json!({
        "session": record.id.as_str(), "name": record.name, "project": record.project,
        "profile": order.policy.profile_name(), "posture": record.posture, "agent": record.agent,
        "isolation": record.isolation, "filesystem": order.policy.filesystem().as_str(),
        "identity": record.identity, "network": record.network, "workspace": record.workspace,
        "state": order.policy.state().as_str(), "policy": record.policy_hash,
        "started_unix_s": record.started_unix_s,
        "legs": {
            "private_data": stands(Leg::Private), "untrusted_content": stands(Leg::Untrusted),
            "external_communication": stands(Leg::External),
        },
    });
    format!("{what:#}\n")
}

/// A file that the supervisor makes for a session, opened for it.
fn made(directory: &OwnedFd, name: &str, content: &str) -> Result<OwnedFd, StepError> {
    directory::write_atomic(directory, name, content.as_bytes(), 0o444, false)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(std::io::Error::from)?)
}

/// Names of the groups that files of the session can belong to; one without a name gets its number.
fn group_names(order: &Order) -> Vec<(u32, String)> {
    let mut groups = vec![order.person.gid, order.project.owner_gid];
    groups.dedup();
    groups.into_iter().filter_map(|gid| Some((gid, person::group_name(gid)?))).collect()
}

fn facts(order: &Order, record: &Record, found: Vec<Found>, lease_first: u32, held: Vec<HeldPlace>) -> Facts {
    Facts {
        found,
        lease_first,
        session: record.id.clone(),
        streams: order.streams,
        size: order.size,
        umask: order.umask,
        hostname: HOSTNAME.to_owned(),
        resolved_groups: group_names(order),
        secrets: Vec::new(),
        held,
    }
}

/// The plan of a session that runs.
pub(crate) fn read_plan(directory: impl AsFd) -> Result<Plan, StepError> {
    let bytes = directory::read_file(directory, PLAN, MAX_PLAN_BYTES)?.ok_or_else(|| missing("a plan"))?;
    let bytes = Zeroizing::new(bytes);
    Plan::from_bytes(&bytes).map_err(|error| StepError::Host(format!("the plan: {error}")))
}
