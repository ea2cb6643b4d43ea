//! From a request to a session: who asks, for which directory, under which policy.
//!
//! Everything in a request is a claim. The person is looked up by the caller's uid, the project by its
//! descriptor; files that the caller parsed are judged by the policy as theirs.

use crate::caller::Caller;
use crate::configuration::Configuration;
use crate::layers;
use crate::neighbours::Apart;
use crate::session::bounds::Bounds;
use crate::session::steps::StepError;
use crate::session::{Order, Record, Session, driver, sources};
use crate::supervisor::Supervisor;
use crate::system::stock;
use crate::waits::{At, Unanswered};
use crate::{accepted, neighbours, pinned, profiles, workspace};
use agentbox_ipc::{
    Action, Error, ExplainAnswer, PublishedPort, StartAnswer, StartRequest, TrustAnswer, ValueRow,
};
use agentbox_kernel::failpoint::in_force;
use agentbox_kernel::person::{self, Person};
use agentbox_kernel::project;
use agentbox_kernel::source::{self, Kind, Opened, Opener};
use agentbox_plan::net::{Pattern, Rule, Verdict, internal_range};
use agentbox_plan::{SessionId, TerminalSize};
use agentbox_policy::{Inputs, Isolation, Layer, Leg, Policy, PolicyError, ProjectFacts, System, Trifecta};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::json;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most sessions of one owner. Each holds a few processes and descriptors of the supervisor.
const MAX_SESSIONS: usize = 64;
/// The mask of a session whose client says none: what a login has where nothing else is configured.
const UMASK: u16 = 0o022;
/// Most bytes of a caller's environment: what execve(2) passes at all is of this order.
const MAX_ENVIRONMENT_BYTES: usize = 1 << 20;

/// What was accepted of the project's own file: at this path, by this user.
type Accepted<'a> = &'a dyn Fn(&str, u32) -> Result<Option<Layer>, accepted::AcceptedError>;

/// A request that was resolved.
#[derive(Debug)]
struct Resolved {
    record: Record,
    order: Order,
    warnings: Vec<String>,
    /// The command, for the audit trail.
    command: Vec<String>,
    /// The project's own file as it was last accepted.
    accepted: Option<Layer>,
    /// Whether it goes on with the layer of an earlier session, and has its id.
    resumes: bool,
}

/// Starts a session; answers when its agent runs.
pub(crate) async fn start(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
) -> Result<(StartAnswer, OwnedFd), Error> {
    expect_scope(supervisor);
    stock::fill(supervisor);
    let started = start_expected(supervisor, caller, project, request).await;
    // It may have taken what there was; and what is made is made after this.
    stock::fill(supervisor);
    started
}

async fn start_expected(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
) -> Result<(StartAnswer, OwnedFd), Error> {
    let allow_trifecta = request.options.allow_trifecta;
    let resolved = match resolve(supervisor, caller, project, request).await {
        Ok(resolved) => match consent(caller, &resolved.order.policy).await {
            Ok(confirmed_by) => Ok((resolved, confirmed_by)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let mut apart = Apart::default();
    if let Ok((resolved, _)) = &resolved {
        let record = &resolved.record;
        apart = neighbours::apart(supervisor, &record.project, record.owner_uid).await;
        profiles::settle_others(supervisor, record.owner_uid, &record.project).await;
        stock::settled(supervisor).await;
    }
    // Between this and the registration of the session nothing waits, so no other start comes between.
    let judged = resolved.and_then(|(mut resolved, confirmed_by)| {
        let record = &resolved.record;
        one_more(supervisor, record.owner_uid, &resolved.order.person.name)?;
        layers::one_for_each(supervisor, &record.id)?;
        profiles::one_at_a_time(supervisor, record.owner_uid, &record.project, &record.profile)?;
        one_name(supervisor, record)?;
        let trifecta = judge_legs(supervisor, &mut resolved, allow_trifecta, &apart)?;
        remember(supervisor, &resolved)?;
        Ok((resolved, confirmed_by, trifecta))
    });
    let (resolved, confirmed_by, trifecta) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            let refused = json!({ "event": "refused", "owner_uid": caller.uid, "what": error.message() });
            supervisor.audit().record(refused).map_err(unwritten)?;
            return Err(error);
        }
    };
    let Resolved { mut record, order, mut warnings, command, resumes, .. } = resolved;
    warnings.extend(trifecta);
    let stocked = if resumes { None } else { stock::take(supervisor, order.scope_limits()) };
    if let Some(held) = &stocked {
        record.id = held.group.id().clone();
    }
    let legs = order.policy.shared_legs().clone();
    let asked = legs.count() == Leg::ALL.len() && order.policy.trifecta() == Trifecta::Confirm;
    let confirmed_by = confirmed_by.or((allow_trifecta && asked).then_some("the request: allow_trifecta"));
    // Before anything is done: what cannot be recorded is not started.
    let started = json!({
        "event": "start", "session": record.id.as_str(), "owner_uid": record.owner_uid,
        "caller_uid": caller.uid, "command": command, "project": record.project,
        "profile": record.profile, "posture": record.posture, "agent": record.agent,
        "policy": record.policy_hash, "confirmed_by": confirmed_by,
        "legs": legs.standing().map(Leg::as_str).collect::<Vec<_>>(),
        "secrets": order.policy.secrets().iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(),
    });
    let recorded = supervisor.audit().record(started);
    if let Err(error) = recorded {
        if let Some(held) = stocked {
            stock::discard(supervisor, held);
        }
        return Err(unwritten(error));
    }
    let mut answer = StartAnswer {
        id: record.id.to_string(),
        posture: record.posture.clone(),
        profile: record.profile.clone(),
        network: record.network.clone(),
        workspace: record.workspace.clone(),
        isolation: record.isolation.clone(),
        identity: record.identity.clone(),
        project: record.project.clone(),
        agent: record.agent.clone(),
        policy_hash: record.policy_hash.clone(),
        allowed: count(&order.policy, |_| true),
        internal: count(&order.policy, opens_internal),
        published: order
            .policy
            .publish()
            .iter()
            .map(|port| PublishedPort { host: port.host_port, inside: port.port })
            .collect(),
        legs,
        banner: Vec::new(),
        warnings,
    };
    let (session, result) = driver::start(supervisor, record, order, stocked);
    let client = result.await.map_err(|_gone| Error::Failed("the session ended before it ran".into()))??;
    answer.banner = session.live().notes;
    answer.banner.extend(session.keys().map(|keys| keys.banner()));
    Ok((answer, client))
}

/// The service manager will move a process into the session's scope, and waits less for the kernel when that was begun
/// while the request is looked at.
fn expect_scope(supervisor: &Arc<Supervisor>) {
    if supervisor.scopes().is_some() && !stock::is_coming(supervisor) {
        let supervisor = Arc::clone(supervisor);
        tokio::task::spawn_blocking(move || supervisor.hierarchy().map(|it| it.expect_move()));
    }
}

fn count(policy: &Policy, which: impl Fn(&Rule) -> bool) -> u32 {
    let allow = policy.network_rules().rules.iter().filter(|rule| rule.verdict == Verdict::Allow);
    u32::try_from(allow.filter(|rule| which(rule)).count()).unwrap_or(u32::MAX)
}

/// Whether a rule opens what is not on the internet.
fn opens_internal(rule: &Rule) -> bool {
    match rule.target.pattern {
        Pattern::HostLoopback => true,
        Pattern::Network { range } => internal_range(range.first()).is_some(),
        _ => rule.internal,
    }
}

/// What a start with the same arguments would do.
pub(crate) async fn explain(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
) -> Result<ExplainAnswer, Error> {
    let mut resolved = resolve(supervisor, caller, project, request).await?;
    // What would refuse the start is what the person wants to see here.
    let record = &resolved.record;
    let apart = neighbours::apart(supervisor, &record.project, record.owner_uid).await;
    let verdict = judge_legs(supervisor, &mut resolved, false, &apart);
    let Resolved { record, order, mut warnings, .. } = resolved;
    match verdict {
        Ok(warning) => warnings.extend(warning),
        Err(error) => warnings.push(error.message()),
    }
    let first = supervisor.lease_range().first;
    let failed = |error: StepError| error.for_caller(crate::session::Step::Sources);
    let surveyed = workspace::survey(supervisor, &order).await.map_err(|error| failed(error.into()))?;
    let opened = sources::look(supervisor, &order, false).await.map_err(failed)?;
    let plan = sources::preview(&order, &record, first, surveyed.held, opened).map_err(failed)?;
    Ok(ExplainAnswer {
        values: record.values,
        steps: crate::describe::steps(&plan),
        hash: record.policy_hash,
        legs: order.policy.shared_legs().clone(),
        warnings,
    })
}

async fn resolve(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
) -> Result<Resolved, Error> {
    let (supervisor, caller) = (Arc::clone(supervisor), caller.clone());
    let waits = Arc::clone(&supervisor);
    let resolved = waits.waits.at_paths_of(caller.uid, move |at| {
        let accepted: Accepted<'_> = &|path, uid| accepted::read(&supervisor, uid, path);
        resolve_as(&supervisor, &caller, project, request, (accepted, at))
    });
    resolved.await.map_err(unanswered)?
}

fn unanswered(error: Unanswered) -> Error {
    Error::Refused(error.refusal())
}

/// The same with something else taken for accepted.
fn resolve_as(
    supervisor: &Supervisor,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
    (accepted, at): (Accepted<'_>, &At),
) -> Result<Resolved, Error> {
    at.set(&named(&project));
    let configuration = supervisor.configuration();
    let configuration = usable(&configuration)?;
    let environment = request.environment.iter().map(|(name, value)| name.len() + value.len() + 2);
    if environment.sum::<usize>() > MAX_ENVIRONMENT_BYTES {
        return Err(Error::Invalid(format!(
            "the environment is larger than {MAX_ENVIRONMENT_BYTES} bytes\nstart with a smaller one: env -i"
        )));
    }
    let umask = u32::from(request.umask.unwrap_or(UMASK));
    if umask > 0o777 {
        return Err(Error::Invalid(format!("`umask` is {umask}, which is more than 0777")));
    }
    let person = owner(caller, &project)?;
    one_more(supervisor, person.uid, &person.name)?;
    let project = project::check(project, &person).map_err(|error| Error::Refused(error.to_string()))?;
    let facts = ProjectFacts {
        path: project.path.clone(),
        owner_uid: project.owner_uid,
        owner_gid: project.owner_gid,
    };
    let accepted = accepted(&project.path, person.uid).map_err(failed)?;
    misnamed(&configuration.system, &project.path, &person, at)?;
    let policy = agentbox_policy::resolve(&Inputs {
        system: &configuration.system,
        person_layer: request.person.as_ref(),
        project_file: request.project_file.as_ref().filter(|_| in_force("project-file")),
        accepted_file: accepted.as_ref().filter(|_| in_force("accepted-file")),
        request: &request.options,
        person: &agentbox_policy::Person {
            uid: person.uid,
            gid: person.gid,
            groups: person.groups.clone(),
            name: person.name.clone(),
            home: person.home.clone(),
            shell: person.shell.clone(),
        },
        project: &facts,
        environment: &request.environment,
        inspection: request.inspection.as_ref(),
        git_identity: request.git_name.clone().zip(request.git_email.clone()),
        ssh: request.ssh.as_ref(),
    })
    .map_err(|error| also_outdated(supervisor, policy_error(&error)))?;
    let id = match &request.resume {
        Some(resume) => layers::resumed(supervisor, caller, resume, (&project, &person), &policy)?,
        None => new_id(supervisor)?,
    };
    let record = Record {
        id,
        owner_uid: person.uid,
        name: policy.session_name().map(str::to_owned),
        project: project.path.clone(),
        profile: policy.profile_name().unwrap_or_default().to_owned(),
        posture: policy.posture_name().to_owned(),
        agent: policy.agent_name().to_owned(),
        isolation: policy.isolation().to_string(),
        identity: policy.identity().to_string(),
        network: policy.network().to_string(),
        workspace: policy.workspace().to_string(),
        policy_hash: policy.hash(),
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        owner_gid: person.gid,
        owner_home: person.home.clone(),
        own: policy.own_directories(),
        kept: policy.kept().cloned().collect(),
        neighbour: Some(policy.neighbour()),
        bounds: Bounds::of(&policy),
        values: rows(&policy),
    };
    let warnings = policy.warnings().to_vec();
    let order = Order {
        policy,
        person,
        project,
        streams: request.streams.into(),
        size: TerminalSize { rows: request.rows, columns: request.columns },
        umask,
        detach: request.detach,
        base_commit: request.base_commit,
    };
    Ok(Resolved {
        record,
        order,
        warnings,
        command: request.options.command,
        accepted,
        resumes: request.resume.is_some(),
    })
}

/// A name stands for one session of its owner.
fn one_name(supervisor: &Supervisor, record: &Record) -> Result<(), Error> {
    let Some(name) = &record.name else { return Ok(()) };
    let has_it = |session: &Session| {
        session.record.owner_uid == record.owner_uid && session.record.name.as_ref() == Some(name)
    };
    match supervisor.sessions().iter().find(|session| has_it(session)) {
        None => Ok(()),
        Some(other) => Err(Error::Refused(format!(
            "refused: the name `{name}`, which session {} has\nrule: of the sessions that run one has a name\n\
             choose another one, or: agentboxctl stop {0}",
            other.id()
        ))),
    }
}

/// Refuses a session to an owner who has as many as there may be: before work is done for it, and when it begins.
fn one_more(supervisor: &Supervisor, owner_uid: u32, name: &str) -> Result<(), Error> {
    let mine = supervisor.sessions().iter().filter(|session| session.record.owner_uid == owner_uid).count();
    if mine < MAX_SESSIONS {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "refused: {name} has {mine} sessions\nrule: at most {MAX_SESSIONS} for each owner\nstop one of them"
    )))
}

/// Holds the legs of the session together with those of others on the project.
fn judge_legs(
    supervisor: &Supervisor,
    resolved: &mut Resolved,
    confirmed: bool,
    apart: &Apart,
) -> Result<Option<String>, Error> {
    let record = &resolved.record;
    let others = neighbours::of(supervisor, &record.project, record.owner_uid, None, apart);
    resolved.order.policy.share(&others, confirmed).map_err(|error| policy_error(&error))
}

/// What the project's own file holds is remembered before anything runs that could change it.
fn remember(supervisor: &Supervisor, resolved: &Resolved) -> Result<(), Error> {
    let (record, file) = (&resolved.record, resolved.order.policy.project_file());
    if file.map(|file| &file.config) == resolved.accepted.as_ref().map(|accepted| &accepted.config) {
        return Ok(());
    }
    accepted::write(supervisor, record.owner_uid, &record.project, file).map_err(failed)
}

fn failed(error: accepted::AcceptedError) -> Error {
    Error::Failed(error.to_string())
}

/// Accepts the project's own file as it is now, and what the profile puts into a session of it.
pub(crate) async fn trust(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
) -> Result<TrustAnswer, Error> {
    let (given, by) = (Arc::clone(supervisor), caller.clone());
    let looked =
        supervisor.waits.at_paths_of(caller.uid, move |at| look_at(&given, &by, project, request, at));
    let ToTrust { person, project, file, changed, looked } = looked.await.map_err(unanswered)??;
    // Nothing is accepted of which the trail does not tell.
    let event = json!({
        "event": "trusted", "project": project, "owner_uid": person.uid, "caller_uid": caller.uid,
        "changed": changed,
    });
    supervisor.audit().record(event).map_err(unwritten)?;
    accepted::write(supervisor, person.uid, &project, file.as_ref()).map_err(failed)?;
    for accepting in &looked {
        accepting.write(supervisor, &person).map_err(|error| policy_error(&error))?;
    }
    Ok(TrustAnswer { project, changed })
}

/// What is about to be accepted.
struct ToTrust {
    person: Person,
    project: String,
    file: Option<Layer>,
    changed: Vec<String>,
    looked: Vec<pinned::Accepting>,
}

fn look_at(
    supervisor: &Supervisor,
    caller: &Caller,
    project: OwnedFd,
    request: StartRequest,
    at: &At,
) -> Result<ToTrust, Error> {
    at.set(&named(&project));
    let person = owner(caller, &project)?;
    let again = project.try_clone().map_err(|error| Error::Failed(format!("the project: {error}")))?;
    let project = project::check(project, &person).map_err(|error| Error::Refused(error.to_string()))?;
    // One that cannot be understood is replaced.
    let before = accepted::read(supervisor, person.uid, &project.path).ok().flatten();
    let file = request.project_file.clone();
    let mut changed = agentbox_policy::changed_file(before.as_ref(), file.as_ref())
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let now = file.clone();
    let resolved = resolve_as(supervisor, caller, again, request, (&|_, _| Ok(now.clone()), at))?;
    let looked = pinned::look_at_all(supervisor, resolved.order.policy.pins(), &person, at);
    let looked = looked.map_err(|error| policy_error(&error))?;
    changed.extend(looked.iter().flat_map(pinned::Accepting::told));
    Ok(ToTrust { person, project: project.path, file, changed, looked })
}

/// Who has just changed a file asks why it does not count.
fn also_outdated(supervisor: &Supervisor, error: Error) -> Error {
    let Some(outdated) = supervisor.outdated() else { return error };
    match error {
        Error::Refused(text) => Error::Refused(format!("{text}\nnote: {outdated}")),
        Error::Invalid(text) => Error::Invalid(format!("{text}\nnote: {outdated}")),
        other => other,
    }
}

fn usable(configuration: &Result<Configuration, String>) -> Result<&Configuration, Error> {
    configuration.as_ref().map_err(|error| {
        Error::Invalid(format!("no session is started with a configuration that cannot be used\n{error}"))
    })
}

/// On the bus a session without confinement is asked for a second time, from the person: a program of theirs
/// can set any option.
async fn consent(caller: &Caller, policy: &Policy) -> Result<Option<&'static str>, Error> {
    if policy.isolation() != Isolation::None {
        return Ok(None);
    }
    if !caller.is_on_bus() {
        // L0 cannot be asked for by a file alone: the policy saw both of these in the request itself.
        return Ok(Some("the request: posture and allow_unconfined"));
    }
    if caller.is_authorized(Action::Unconfined, "").await {
        return Ok(Some("polkit: org.agentbox1.start-unconfined"));
    }
    Err(Error::NotAuthorized(
        "refused: a session that is not confined\nrule: polkit: org.agentbox1.start-unconfined\n\
         confirm it when you are asked (without a desktop `pkttyagent --process $$ &` asks), or choose another posture"
            .to_owned(),
    ))
}

/// What the system's configuration binds by the path of its directory must not be passed by, because that path leads
/// to it through a symbolic link.
fn misnamed(system: &System, project: &str, person: &Person, at: &At) -> Result<(), Error> {
    let elsewhere = agentbox_policy::projects_elsewhere(system, &person.home, project);
    let by = Opener::person(person);
    let requests: Vec<_> = elsewhere
        .iter()
        .map(|(path, _)| source::Request { path: path.clone(), by: by.clone(), kind: Kind::Behind })
        .collect();
    let opened = source::open_batch_telling(&requests, &|path| at.set(path));
    for ((path, rule), opened) in elsewhere.iter().zip(opened) {
        // What the person cannot open is not where they start something.
        let Ok(Opened::Directory(found)) = opened else { continue };
        let Ok(real) = source::real_path(&found) else { continue };
        if project == real || project.strip_prefix(&real).is_some_and(|rest| rest.starts_with('/')) {
            let what = format!(
                "`{}`, which is `{}` behind a symbolic link",
                real.escape_debug(),
                path.escape_debug()
            );
            let remedy = "write the directory's real path there".to_owned();
            return Err(policy_error(&PolicyError::Refused { what, rule: rule.clone(), remedy }));
        }
    }
    Ok(())
}

/// What a directory is called, without asking its file system.
fn named(directory: &OwnedFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    link.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whose the session will be: the caller's, or for root the project's owner's.
fn owner(caller: &Caller, project: &OwnedFd) -> Result<Person, Error> {
    let uid = if caller.is_root() {
        rustix::fs::fstat(project).map_err(|error| Error::Invalid(format!("the project: {error}")))?.st_uid
    } else {
        caller.uid
    };
    match person::by_uid(uid) {
        Ok(Some(person)) => Ok(person.at_real_home()),
        Ok(None) => Err(Error::Refused(format!(
            "refused: the session would belong to user id {uid}, which is no account here\n\
             rule: the owner of a session has a home and a shell\nchown the project to an account"
        ))),
        Err(error) => Err(Error::Failed(format!("user id {uid} could not be looked up: {error}"))),
    }
}

/// An id that no session has, and none will have.
pub(crate) fn new_id(supervisor: &Supervisor) -> Result<SessionId, Error> {
    loop {
        let mut random = [0; 8];
        let filled = getrandom(&mut random, GetRandomFlags::empty());
        if filled.map_err(|error| Error::Failed(format!("getrandom: {error}")))? == random.len() {
            let id = SessionId::from_random(random);
            let is_known = supervisor.session(&id).is_some() || stock::id(supervisor).as_ref() == Some(&id);
            if layers::is_free(supervisor, &id) && !is_known {
                return Ok(id);
            }
        }
    }
}

fn rows(policy: &Policy) -> Vec<ValueRow> {
    policy.values().into_iter().map(|value| [value.key, value.value, value.origin]).collect()
}

fn unwritten(error: crate::audit::AuditError) -> Error {
    Error::Failed(format!(
        "refused: {error}\nrule: what cannot be recorded is not started\nmake room, or make it writable"
    ))
}

/// An error of the policy as a caller reads it.
pub(crate) fn policy_error(error: &PolicyError) -> Error {
    let text = error.to_string();
    match error {
        PolicyError::Refused { .. } => Error::Refused(text),
        PolicyError::NotInThisVersion { .. } => Error::NotInThisVersion(text),
        PolicyError::Unconfirmed { .. } => Error::Unconfirmed(text),
        PolicyError::Invalid { .. } => Error::Invalid(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    #[test]
    fn an_owner_has_no_more_sessions_than_there_may_be_and_a_layer_one() {
        let place = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(place.path());
        let id = |number: usize| format!("s{number:07}").parse::<SessionId>().unwrap();
        for number in 0..MAX_SESSIONS {
            assert!(one_more(&supervisor, 1000, "ada").is_ok(), "{number}");
            assert!(layers::one_for_each(&supervisor, &id(number)).is_ok(), "{number}");
            let record = Record { owner_uid: 1000, ..Record::unknown(id(number)) };
            supervisor.register(Arc::new(Session::without_driver(record)));
            assert!(layers::one_for_each(&supervisor, &id(number)).is_err(), "{number}");
        }
        let refused = one_more(&supervisor, 1000, "ada").unwrap_err().message();
        assert!(refused.contains("ada has 64 sessions"), "{refused}");
        assert!(one_more(&supervisor, 1001, "grace").is_ok());
    }
}
