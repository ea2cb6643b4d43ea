//! Which ssh-agent a session has: the profile's keys and hosts, with what is known of those hosts.

use super::choice::Choice;
use super::{Sources, refused};
use crate::agent::SshAgent;
use crate::config::{AgentHost, SignFor, SshAgentCeiling};
use crate::policy::Held;
use crate::request::MAX_HOST_KEYS;
use crate::system::Source;
use crate::text::printable;
use crate::{Filesystem, Inputs, Isolation, PolicyError};
use agentbox_plan::keys::{HostKey, KnownHost, SshHost};

pub(super) fn collect(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
    held: Held,
    warnings: &mut Vec<String>,
) -> Result<Option<SshAgent>, PolicyError> {
    let Some(table) = choice.table.and_then(|(_, table)| table.ssh_agent.as_ref()) else { return Ok(None) };
    let rule = choice.profile_rule("ssh_agent");
    let mut keys: Vec<_> = table.keys.iter().flatten().map(|key| key.0).collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        let remedy = "name keys as `ssh-add -l` prints them: keys = [\"SHA256:…\"]";
        return Err(refused("an ssh-agent without a key", rule, remedy));
    }
    let mut names: Vec<_> = table.hosts.iter().flatten().map(|AgentHost(host)| host.clone()).collect();
    names.sort();
    names.dedup();
    let sign_git = table.sign.iter().flatten().any(|what| *what == SignFor::Git);
    if names.is_empty() && !sign_git {
        let remedy = "name hosts for logins, or `sign = [\"git\"]`";
        return Err(refused("an ssh-agent that may sign nothing", rule, remedy));
    }
    let ceiling = ceiling(sources, choice);
    check_ceiling(sources.system, ceiling, &names, sign_git, &rule)?;
    let mut without = |why: &str| warnings.push(format!("the session has no ssh-agent ({rule}): {why}"));
    if held.isolation == Isolation::None || held.filesystem != Filesystem::Listed {
        without("only where nothing but what is listed exists (posture L2) there is a place for its socket");
        return Ok(None);
    }
    let Some(socket) = inputs.ssh.and_then(|ssh| ssh.socket.as_deref()) else {
        without("SSH_AUTH_SOCK is not set where it was started");
        return Ok(None);
    };
    let hosts: Vec<_> =
        names.into_iter().map(|host| KnownHost { keys: known(inputs, &host), host }).collect();
    for KnownHost { host, .. } in hosts.iter().filter(|host| host.keys.is_empty()) {
        warnings.push(format!(
            "no key of the host `{host}` is known, so nothing is signed for it ({rule}); connect to it once yourself, \
             and look at its fingerprint"
        ));
    }
    Ok(Some(SshAgent {
        socket: socket.to_owned(),
        keys,
        hosts,
        sign_git,
        confirm: [table.confirm, ceiling.and_then(|ceiling| ceiling.confirm)].contains(&Some(true)),
        origin: printable(&rule),
    }))
}

/// What the system lets a person's own file say of it.
fn ceiling<'a>(sources: &Sources<'a>, choice: &Choice<'_>) -> Option<&'a SshAgentCeiling> {
    let (source, _) = choice.table?;
    sources.is_person(source).then(|| sources.system.config.ceiling.as_ref()?.ssh_agent.as_ref()).flatten()
}

/// Refuses what is above it.
fn check_ceiling(
    system: &Source,
    ceiling: Option<&SshAgentCeiling>,
    hosts: &[SshHost],
    sign_git: bool,
    rule: &str,
) -> Result<(), PolicyError> {
    let Some(ceiling) = ceiling else { return Ok(()) };
    let remedy = "remove it, or ask the administrator to add it there";
    let refuse = |what: String, key: &str| Err(refused(what, system.rule(key), remedy));
    if let Some(allowed) = &ceiling.hosts
        && let Some(host) = hosts.iter().find(|host| !allowed.iter().any(|AgentHost(one)| one == *host))
    {
        return refuse(format!("logins at `{host}` ({rule}.hosts)"), "ceiling.ssh_agent.hosts");
    }
    if sign_git && ceiling.sign.as_ref().is_some_and(|allowed| !allowed.contains(&SignFor::Git)) {
        return refuse(format!("signatures of git ({rule}.sign)"), "ceiling.ssh_agent.sign");
    }
    Ok(())
}

/// What the person knows of a host.
fn known(inputs: &Inputs<'_>, host: &SshHost) -> Vec<HostKey> {
    let all = inputs.ssh.iter().flat_map(|ssh| &ssh.known).filter(|known| known.host.0 == *host);
    let mut keys: Vec<_> = all.flat_map(|known| &known.keys).map(|key| key.0.clone()).collect();
    keys.sort();
    keys.dedup();
    keys.truncate(MAX_HOST_KEYS);
    keys
}

#[cfg(test)]
mod tests {
    use crate::fixture::{World, planned};
    use crate::{KnownKeys, Ssh};
    use agentbox_plan::{Confinement, Mount};

    const KEY: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
    const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn world(table: &str) -> World {
        let mut world = World::new()
            .own(&format!("[profile.w]\nssh_agent = {{ {table} }}"))
            .ask(|request| request.profile = Some("w".into()));
        let known =
            |host: &str| KnownKeys { host: host.parse().unwrap(), keys: vec![HOST_KEY.parse().unwrap()] };
        world.ssh = Some(Ssh {
            socket: Some("/run/user/1000/agent".into()),
            known: vec![known("a.org"), known("b.org:2222"), known("not-named.org")],
        });
        world
    }

    fn mounted(world: &World) -> Vec<Mount> {
        match planned(&world.resolve().unwrap()).unwrap().confinement {
            Confinement::Sandbox { sandbox } => sandbox.mounts,
            Confinement::None => Vec::new(),
        }
    }

    fn has(mounts: &[Mount], path: &str) -> bool {
        mounts.iter().any(|mount| mount.target().as_bytes() == path.as_bytes())
    }

    #[test]
    fn what_is_granted_is_there_and_nothing_more_is_known() {
        let world =
            world(&format!("keys = ['{KEY}', '{KEY}'], hosts = ['b.org:2222', 'a.org'], sign = ['git']"));
        let policy = world.resolve().unwrap();
        let agent = policy.ssh_agent().unwrap();
        assert_eq!((agent.keys.len(), agent.hosts.len(), agent.sign_git, agent.confirm), (1, 2, true, false));
        let expected = format!("a.org {HOST_KEY}\n[b.org]:2222 {HOST_KEY}\n");
        assert_eq!(agent.known_hosts(), expected);
        let mounts = mounted(&world);
        let known =
            mounts.iter().find(|mount| mount.target().as_bytes() == b"/etc/ssh/ssh_known_hosts").unwrap();
        assert!(matches!(known, Mount::File { content, .. } if content.0 == expected.as_bytes()));
        assert!(has(&mounts, "/run/agentbox/ssh-agent.sock"));
        let environment = planned(&policy).unwrap().process.environment;
        assert!(
            environment.iter().any(|one| one.to_bytes() == b"SSH_AUTH_SOCK=/run/agentbox/ssh-agent.sock")
        );
        let values: Vec<_> =
            policy.values().into_iter().filter(|value| value.key.starts_with("ssh_agent")).collect();
        assert_eq!(values.len(), 5);
        assert!(values.iter().all(|value| value.origin.contains("profile.w.ssh_agent.")), "{values:?}");
        assert!(!format!("{values:?}").contains("/run/user"));
        assert!(policy.warnings().is_empty(), "{:?}", policy.warnings());
    }

    #[test]
    fn each_permission_changes_the_hash() {
        let base = format!("keys = ['{KEY}'], hosts = ['a.org']");
        let mut hashes = vec![World::new().resolve().unwrap().hash()];
        for more in ["", ", sign = ['git']", ", confirm = true", ", sign = ['git'], confirm = true"] {
            hashes.push(world(&format!("{base}{more}")).resolve().unwrap().hash());
        }
        hashes.push(world(&format!("keys = ['{KEY}'], hosts = ['b.org:2222']")).resolve().unwrap().hash());
        let count = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn an_agent_that_can_do_nothing_is_refused() {
        for (table, words) in [
            ("hosts = ['a.org']".to_owned(), "an ssh-agent without a key"),
            ("keys = []".to_owned(), "an ssh-agent without a key"),
            (format!("keys = ['{KEY}']"), "an ssh-agent that may sign nothing"),
            (format!("keys = ['{KEY}'], hosts = [], sign = []"), "an ssh-agent that may sign nothing"),
        ] {
            let refusal = world(&table).refusal();
            assert!(refusal.contains(words) && refusal.contains("profile.w.ssh_agent"), "{table}: {refusal}");
        }
    }

    #[test]
    fn a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says() {
        let most = "[ceiling.ssh_agent]\nhosts = ['a.org']\nsign = []\nconfirm = true\n";
        let of_person = |table: &str| world(&format!("keys = ['{KEY}'], {table}")).system(most);
        for (table, key) in [
            ("hosts = ['a.org', 'b.org:2222']", "ceiling.ssh_agent.hosts"),
            ("hosts = ['a.org:2222']", "ceiling.ssh_agent.hosts"),
            ("hosts = ['a.org'], sign = ['git']", "ceiling.ssh_agent.sign"),
        ] {
            let refusal = of_person(table).refusal();
            assert!(refusal.contains(key) && refusal.contains("profile.w.ssh_agent"), "{table}: {refusal}");
        }
        for table in ["hosts = ['a.org']", "hosts = ['a.org'], confirm = false"] {
            assert!(of_person(table).resolve().unwrap().ssh_agent().unwrap().confirm, "{table}");
        }
        // The same without one, and by the administrator.
        let table = format!("keys = ['{KEY}'], hosts = ['b.org:2222'], sign = ['git']");
        let free = world(&table).resolve().unwrap();
        let system = format!("{most}[profile.s]\nssh_agent = {{ {table} }}");
        let by_system = world("keys = []").system(&system).ask(|request| request.profile = Some("s".into()));
        for policy in [free, by_system.resolve().unwrap()] {
            let agent = policy.ssh_agent().unwrap();
            assert!(agent.sign_git && !agent.confirm && agent.hosts.len() == 1);
        }
    }

    #[test]
    fn where_there_is_none_it_is_said() {
        let table = format!("keys = ['{KEY}'], hosts = ['a.org', 'c.org']");
        let unknown = world(&table).resolve().unwrap();
        assert!(
            unknown.warnings()[0].contains("no key of the host `c.org` is known"),
            "{:?}",
            unknown.warnings()
        );
        let mut away = world(&table);
        away.ssh = None;
        let shared = world(&table).ask(|request| {
            request.profile = Some("w".into());
            request.posture = Some("L1".into());
        });
        let unconfined = world(&table).ask(|request| {
            request.profile = Some("w".into());
            request.posture = Some("L0".into());
            request.allow_unconfined = true;
        });
        for (world, words) in [(away, "SSH_AUTH_SOCK"), (shared, "posture L2"), (unconfined, "posture L2")] {
            let policy = world.resolve().unwrap();
            assert!(policy.ssh_agent().is_none());
            assert!(
                policy.warnings().iter().any(|warning| warning.contains(words)),
                "{:?}",
                policy.warnings()
            );
            if policy.isolation() != crate::Isolation::None {
                assert!(!has(&mounted(&world), "/run/agentbox/ssh-agent.sock"));
            }
        }
        let without = World::new();
        assert!(!has(&mounted(&without), "/run/agentbox/ssh-agent.sock"));
    }

    #[test]
    fn what_is_no_key_no_host_and_no_use_is_refused_with_its_place() {
        let parse = |table: &str| {
            let text = format!("[profile.w]\nssh_agent = {{ {table} }}");
            crate::Layer::parse("a.toml", text.as_bytes(), crate::LayerKind::Person)
                .map_err(|error| error.to_string())
        };
        for (table, words) in [
            ("keys = ['MD5:aa']", "ssh-add -l"),
            ("hosts = ['*.org']", "wildcard"),
            ("hosts = ['*.a.org']", "one name or address"),
            ("hosts = ['10.0.0.0/8']", "one name or address"),
            ("sign = ['file']", "git"),
            ("confirm = 'yes'", "true or false"),
            ("key = []", "keys"),
        ] {
            let error = parse(table).unwrap_err();
            assert!(error.contains(words) && error.contains("a.toml:2"), "{table}: {error}");
        }
    }
}
