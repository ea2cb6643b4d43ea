//! Plans of particular policies; [`hold`] is what every one of them holds to.

use super::*;
use crate::ProjectFacts;
use crate::fixture::{World, facts, found, planned};
use agentbox_plan::{Access, Mount, Owner, SourceIndex, Wire};

pub(super) fn ask(world: World, posture: &str) -> World {
    world.ask(|request| {
        request.posture = Some(posture.into());
        request.allow_unconfined = true;
        request.allow_root_project = true;
    })
}

fn sandbox(plan: &Plan) -> &Sandbox {
    match &plan.confinement {
        Confinement::Sandbox { sandbox } => sandbox,
        Confinement::None => panic!("no sandbox"),
    }
}

fn step<'a>(plan: &'a Plan, path: &str) -> Option<&'a Mount> {
    let path = InnerPath::new(path).unwrap();
    sandbox(plan).mounts.iter().find(|step| *step.target() == path)
}

fn variable(plan: &Plan, name: &str) -> Option<String> {
    let variables = plan.process.environment.iter().map(|text| text.to_str().unwrap());
    variables
        .filter_map(|text| text.split_once('='))
        .find(|(mine, _)| *mine == name)
        .map(|(_, value)| value.to_owned())
}

fn source(policy: &Policy, path: &str) -> SourceIndex {
    let at = wanted(policy).iter().position(|wanted| wanted.path == path).unwrap();
    SourceIndex { index: u16::try_from(at + 1).unwrap() }
}

/// Everything that a plan must hold to.
pub(super) fn hold(policy: &Policy, plan: &Plan) {
    let items = wanted(policy);
    assert_eq!(Plan::from_bytes(&plan.to_bytes()).as_ref(), Ok(plan));
    let names: Vec<_> = plan
        .process
        .environment
        .iter()
        .map(|text| text.to_str().unwrap().split('=').next().unwrap())
        .collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for ours in crate::environment::OURS {
        assert!(names.contains(ours), "{ours}");
    }
    let Confinement::Sandbox { sandbox } = &plan.confinement else {
        assert_eq!(policy.isolation(), Isolation::None);
        return;
    };
    let mounts = &sandbox.mounts;
    for (at, step) in mounts.iter().enumerate() {
        for earlier in &mounts[..at] {
            assert_ne!(earlier.target(), step.target());
            assert!(
                !earlier.target().is_within(step.target()),
                "{} before {}",
                earlier.target(),
                step.target()
            );
            let leaf = matches!(
                earlier,
                Mount::File { .. } | Mount::Symlink { .. } | Mount::Mask { .. } | Mount::Device { .. }
            );
            assert!(
                !leaf || !step.target().is_within(earlier.target()),
                "{} in {}",
                step.target(),
                earlier.target()
            );
        }
        assert!(!step.target().is_root() || at == 0);
        if let Mount::Bind { source, access, idmap, target, .. } = step {
            if let Some(map) = idmap.map(|map| &sandbox.idmaps[usize::from(map)]) {
                // Nothing of what is only read has a group that the map knows, so nothing there is written.
                let own = map.groups.iter().any(|(disk, _)| *disk != plan.identity.agent.gid);
                assert_eq!(own, *access == Access::ReadWrite, "{target}");
            }
            let wanted = usize::from(source.index).checked_sub(1).map(|at| &items[at]);
            if let Some(wanted) = wanted.filter(|wanted| wanted.path.starts_with('/')) {
                assert_eq!(wanted.path.as_bytes(), target.as_bytes());
            }
            // A source of the person's, and the project, is seen through a map wherever there are maps.
            let own =
                wanted.is_none_or(|wanted| wanted.by == Opener::Person || wanted.what == WantedKind::Volume);
            assert_eq!(idmap.is_some(), own && policy.identity() == Identity::Leased, "{target}");
            if *access == Access::ReadWrite {
                let granted = wanted.is_none_or(|wanted| {
                    wanted.what == WantedKind::Volume
                        || policy.grants.iter().any(|grant| grant.write && grant.path == wanted.path)
                });
                assert!(granted, "{target} is writable");
            }
        }
    }
    let gate = matches!(policy.network(), crate::Network::Public | crate::Network::Allowlist);
    assert_eq!(sandbox.network == NetworkNamespace::Prepared, gate);
    let projects =
        mounts.iter().filter(|step| matches!(step, Mount::Bind { source, .. } if source.index == 0));
    let projects: Vec<_> = projects.collect();
    assert_eq!(projects.len(), 1);
    assert_eq!(projects[0].target().as_bytes(), policy.project_path().as_bytes());
    assert_eq!(projects[0].is_writable(), policy.workspace() == crate::Workspace::Direct);
    for map in &sandbox.idmaps {
        for column in [&map.users, &map.groups] {
            for (at, (disk, inside)) in column.iter().enumerate() {
                assert!(column[..at].iter().all(|(a, b)| a != disk && b != inside), "{column:?}");
                assert!((2_001_000_000..2_001_000_004).contains(inside));
            }
        }
        assert_eq!(map.users, [(policy.person.uid, 2_001_000_000)]);
        assert!(!map.groups.is_empty());
        assert!(map.groups.iter().all(|(disk, _)| *disk == policy.person.gid || *disk >= 1000));
    }
    for hidden in ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger"] {
        assert!(matches!(step(plan, hidden), Some(Mount::Mask { .. })), "{hidden}");
    }
    if policy.identity() == Identity::Leased {
        let ids = &plan.identity;
        assert_eq!((ids.agent.uid, ids.agent.gid), (2_001_000_000, 2_001_000_000));
        assert!(ids.agent.groups.iter().all(|group| (2_001_000_000..2_001_000_004).contains(group)));
    }
    assert_ne!(plan.identity.console.uid, plan.identity.agent.uid);
    assert!(plan.identity.console.groups.is_empty());
}

#[test]
fn l2_shows_only_what_is_listed() {
    let policy = World::new().resolve().unwrap();
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    assert!(step(&plan, "/").is_none());
    assert!(matches!(
        step(&plan, "/usr"),
        Some(Mount::Bind { access: Access::ReadOnly, recursive: true, idmap: None, .. })
    ));
    assert!(matches!(step(&plan, "/bin"), Some(Mount::Symlink { to, .. }) if to.as_c_str() == c"usr/bin"));
    assert!(matches!(step(&plan, "/home/me"), Some(Mount::Tmpfs { mode: 0o700, owner: Owner::Agent, .. })));
    assert!(matches!(
        step(&plan, "/home/me/src/site"),
        Some(Mount::Bind { source: SourceIndex { index: 0 }, idmap: Some(0), .. })
    ));
    assert!(step(&plan, "/nix/store").is_none(), "missing on this host");
    assert!(step(&plan, "/var/log").is_none() && step(&plan, "/etc/ssh").is_none());
    let Some(Mount::File { content, .. }) = step(&plan, "/etc/passwd") else { panic!() };
    let passwd = String::from_utf8(content.0.clone()).unwrap();
    assert!(passwd.contains("me:x:2001000000:2001000000::/home/me:/bin/bash\n"), "{passwd}");
    assert!(sandbox(&plan).unix_sockets);
    assert_eq!(variable(&plan, "PATH").as_deref(), Some("/usr/bin:/bin"));
    assert_eq!(variable(&plan, "SHELL").as_deref(), Some("/bin/bash"));
    assert_eq!(variable(&plan, "SECRET_TOKEN"), None);
    assert_eq!(plan.process.arguments, [c"/bin/bash".to_owned()]);
    assert_eq!(plan.process.directory.as_bytes(), b"/home/me/src/site");
}

#[test]
fn l1_is_the_host_without_its_sockets_and_credentials() {
    let policy = ask(World::new(), "L1").resolve().unwrap();
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    let mounts = &sandbox(&plan).mounts;
    assert!(
        matches!(&mounts[0], Mount::Bind { target, access: Access::ReadOnly, recursive: true, .. } if target.is_root())
    );
    for path in ["/run", "/tmp", "/var/tmp", "/dev", "/dev/shm"] {
        assert!(matches!(step(&plan, path), Some(Mount::Tmpfs { .. })), "{path}");
    }
    for path in ["/home/me/.ssh", "/home/me/.aws", "/home/me/.bash_history", "/etc/shadow", "/root"] {
        assert!(matches!(step(&plan, path), Some(Mount::Mask { .. })), "{path}");
    }
    assert!(step(&plan, "/home/me").is_none(), "the home stays readable");
    assert!(!sandbox(&plan).unix_sockets);
    assert!(sandbox(&plan).idmaps.is_empty());
    assert_eq!(plan.identity.agent.groups, [27, 998, 1000, 5000]);
    assert!(plan.limits.iter().all(|limit| limit.kind != LimitKind::Processes));
    // Where a directory that is replaced is not there, nothing is mounted.
    let mut none = found(&policy);
    for (wanted, found) in wanted(&policy).iter().zip(&mut none) {
        if wanted.path == "/var/tmp" {
            *found = Found::Symlink("/tmp".into());
        }
    }
    assert!(step(&super::plan(&policy, &facts(none)).unwrap(), "/var/tmp").is_none());
}

#[test]
fn l0_is_the_host_with_a_scrubbed_environment() {
    let policy = ask(World::new(), "L0").resolve().unwrap();
    assert!(wanted(&policy).is_empty());
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    assert_eq!(plan.confinement, Confinement::None);
    assert_eq!(variable(&plan, "PATH").as_deref(), Some("/home/me/bin:/usr/bin:/bin"));
    assert_eq!(variable(&plan, "SECRET_TOKEN"), None);
    assert_eq!(plan.identity.agent.uid, 1000);
}

#[test]
fn projects_and_homes_are_mounted_on_what_they_lie_in() {
    let places = [
        ("/root", "/root/site"),
        ("/var/home/me", "/var/home/me/site"),
        ("/home/me", "/srv/site"),
        ("/home/me", "/tmp/x/site"),
        ("/tmp/me", "/tmp/me/site"),
        ("/home/me", "/var/tmp/site"),
        ("/home/me", "/home/me/.local/share/claude/site"),
        ("/home/me", "/home/me/a\nb \u{1b}[31m\"'%/\u{202e}x"),
        ("/home/me", "/mnt/:weird,=\\path"),
    ];
    for (home, project) in places {
        for posture in ["L1", "L2"] {
            let world = ask(World::new().home(home).at(project), posture);
            let policy = world.resolve().unwrap();
            let plan = planned(&policy).unwrap();
            hold(&policy, &plan);
            assert_eq!(plan.process.directory.as_bytes(), project.as_bytes());
        }
    }
}

#[test]
fn grants_nest_with_the_project_in_the_order_of_paths() {
    let world = World::new()
        .own(
            "[profile.w]\nread = [\"~/src\", \"~/src/site/vendor\", \"/usr/share/x\", \"~/gone\"]\n\
             write = [\"~/.cache/x\", \"~/src/site/target\"]\n",
        )
        .ask(|request| {
            request.profile = Some("w".into());
            request.workspace = Some(crate::Workspace::Readonly);
        });
    let policy = world.resolve().unwrap();
    let mut answers = found(&policy);
    for (wanted, found) in wanted(&policy).iter().zip(&mut answers) {
        if wanted.path == "/home/me/gone" {
            *found = Found::Missing;
        }
    }
    let plan = super::plan(&policy, &facts(answers)).unwrap();
    hold(&policy, &plan);
    let access = |path: &str| match step(&plan, path) {
        Some(Mount::Bind { access, source: index, .. }) => {
            assert!(path == policy.project_path() || *index == source(&policy, path));
            Some(*access)
        }
        _ => None,
    };
    assert_eq!(access("/home/me/src"), Some(Access::ReadOnly));
    assert_eq!(access("/home/me/src/site"), Some(Access::ReadOnly));
    assert_eq!(access("/home/me/src/site/vendor"), Some(Access::ReadOnly));
    assert_eq!(access("/home/me/src/site/target"), Some(Access::ReadWrite));
    assert_eq!(access("/home/me/.cache/x"), Some(Access::ReadWrite));
    assert_eq!(access("/usr/share/x"), None, "shown with /usr");
    assert_eq!(access("/home/me/gone"), None);
}

#[test]
fn credentials_below_what_is_bound_are_hidden() {
    for posture in ["L1", "L2"] {
        let world = ask(World::new().at("/home/me/.config"), posture)
            .own("[profile.w]\nread = [\"~/.cargo\", \"~/.config/gh\"]")
            .ask(|request| request.profile = Some("w".into()));
        let policy = world.resolve().unwrap();
        let plan = planned(&policy).unwrap();
        hold(&policy, &plan);
        assert!(matches!(step(&plan, "/home/me/.config/gcloud"), Some(Mount::Mask { .. })), "{posture}");
        assert!(
            matches!(step(&plan, "/home/me/.cargo/credentials.toml"), Some(Mount::Mask { .. })),
            "{posture}"
        );
        assert!(
            matches!(step(&plan, "/home/me/.config/gh"), Some(Mount::Bind { .. })),
            "granted by name, {posture}"
        );
        assert!(
            policy
                .warnings()
                .iter()
                .any(|text| text.contains("`/home/me/.config/gh` is a place of credentials"))
        );
    }
}

#[test]
fn a_grant_inside_what_is_hidden_as_a_whole_is_refused() {
    let world = ask(World::new(), "L1")
        .own("[profile.w]\nread = [\"~/.ssh/known_hosts\"]")
        .ask(|request| request.profile = Some("w".into()));
    assert_eq!(
        planned(&world.resolve().unwrap()).unwrap_err().to_string(),
        "refused: a grant of `/home/me/.ssh/known_hosts`: it lies in `/home/me/.ssh`, a place of credentials, which is \
         hidden as a whole\nrule: ~/.config/agentbox/agentbox.toml: profile.w.read\n\
         grant `/home/me/.ssh`, or use posture L2 and no grant around it"
    );
    let world = ask(world, "L2");
    assert!(step(&planned(&world.resolve().unwrap()).unwrap(), "/home/me/.ssh/known_hosts").is_some());
}

#[test]
fn what_is_kept_of_the_agent_is_a_volume_of_its_own() {
    let world = World::new()
        .system("[profile.w]\nagent = \"claude\"\n[posture.keep]\nstate = \"project\"")
        .ask(|request| {
            request.profile = Some("w".into());
            request.posture = Some("keep".into());
        });
    let policy = world.resolve().unwrap();
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    let volume = wanted(&policy).into_iter().find(|wanted| wanted.what == WantedKind::Volume).unwrap();
    assert_eq!(volume.path, "1000/w/-home-me-src-site/claude.history");
    assert!(matches!(step(&plan, "/home/me/.claude"), Some(Mount::Own { .. })));
    assert!(matches!(
        step(&plan, "/home/me/.claude/projects"),
        Some(Mount::Bind { access: Access::ReadWrite, idmap: Some(0), .. })
    ));
    for settings in ["/home/me/.claude/settings.json", "/etc/claude-code/managed-settings.json"] {
        assert!(
            matches!(step(&plan, settings), Some(Mount::Bind { access: Access::ReadOnly, .. })),
            "{settings}"
        );
    }
    assert!(matches!(step(&plan, "/home/me/.local/bin/claude"), Some(Mount::Symlink { .. })));
    assert_eq!(variable(&plan, "CLAUDE_CONFIG_DIR").as_deref(), Some("/home/me/.claude"));
    assert_eq!(variable(&plan, "PATH").as_deref(), Some("/usr/bin:/bin:/home/me/.local/bin"));
    let ephemeral = world.ask(|request| request.state = Some(crate::State::Ephemeral)).resolve().unwrap();
    assert!(wanted(&ephemeral).iter().all(|wanted| wanted.what != WantedKind::Volume));
    let plan = planned(&ephemeral).unwrap();
    assert!(matches!(step(&plan, "/home/me/.claude"), Some(Mount::Own { .. })));
    assert!(step(&plan, "/home/me/.claude/projects").is_none());
}

#[test]
fn l1_replaces_the_agents_directory_and_needs_it_to_be_there() {
    let world = ask(World::new(), "L1").ask(|request| request.agent = Some("codex".into()));
    let policy = world.resolve().unwrap();
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    assert!(matches!(step(&plan, "/home/me/.codex"), Some(Mount::Own { .. })));
    assert!(matches!(step(&plan, "/home/me/.claude"), Some(Mount::Mask { .. })), "another agent's");
    let mut answers = found(&policy);
    let at = wanted(&policy).iter().position(|wanted| wanted.path == "/home/me/.codex").unwrap();
    answers[at] = Found::Missing;
    assert_eq!(
        super::plan(&policy, &facts(answers)).unwrap_err().to_string(),
        "refused: a session without `/home/me/.codex`: it is no directory, and filesystem `shared` cannot make it\n\
         rule: preset codex\nmake it (mkdir -p '/home/me/.codex'), or use posture L2"
    );
}

#[test]
fn what_is_needed_and_not_there_is_refused() {
    let refuse = |world: &World, path: &str, answer: Found| {
        let policy = world.resolve().unwrap();
        let mut answers = found(&policy);
        let at = wanted(&policy).iter().position(|wanted| wanted.path == path).unwrap();
        answers[at] = answer;
        super::plan(&policy, &facts(answers)).unwrap_err().to_string()
    };
    let world = World::new()
        .own("[profile.w]\nwrite = [\"~/w\"]\nread = [\"~/r\"]")
        .ask(|request| request.profile = Some("w".into()));
    let rule = "~/.config/agentbox/agentbox.toml: profile.w";
    assert_eq!(
        refuse(&world, "/home/me/w", Found::Missing),
        format!(
            "refused: a session without `/home/me/w`: it is not there, or not yours\nrule: {rule}.write\nmake it (mkdir -p), or remove it"
        )
    );
    assert_eq!(
        refuse(&world, "/home/me/r", Found::Symlink("/x\n".into())),
        format!(
            "refused: a session without `/home/me/r`: it is a symbolic link\nrule: {rule}.read\ngrant what it points to: `/x\\n`"
        )
    );
    assert_eq!(
        refuse(&world, "/home/me/r", Found::CharDevice),
        format!("refused: a session without `/home/me/r`: it is a device\nrule: {rule}.read\nremove it")
    );
    assert_eq!(
        refuse(&world, "/dev/null", Found::File),
        "refused: a session without `/dev/null`: it is not there or no character device\nrule: built-in: base.toml\n\
         make it (mknod(1))"
    );
    let policy = world.resolve().unwrap();
    assert_eq!(
        super::plan(&policy, &facts(vec![])).unwrap_err().to_string(),
        format!("invalid: 0 answers for {} wanted paths", found(&policy).len())
    );
}

#[test]
fn a_directory_below_a_file_is_refused() {
    let world = World::new()
        .own("[profile.w]\nread = [\"~/a.conf\", \"~/a.conf/b\"]")
        .ask(|request| request.profile = Some("w".into()));
    let message = planned(&world.resolve().unwrap()).unwrap_err().to_string();
    assert!(
        message.starts_with("refused: `/home/me/a.conf/b`: `/home/me/a.conf` is no directory\n"),
        "{message}"
    );
}

#[test]
fn only_a_group_of_people_that_the_person_is_in_is_mapped() {
    let groups = |owner_gid: u32| {
        let mut world = World::new();
        world.project = ProjectFacts { owner_gid, ..world.project };
        let policy = world.resolve().unwrap();
        let plan = planned(&policy).unwrap();
        hold(&policy, &plan);
        let Some(Mount::Bind { idmap: Some(map), .. }) = step(&plan, policy.project_path()) else { panic!() };
        (sandbox(&plan).idmaps[usize::from(*map)].groups.clone(), plan.identity.agent.groups)
    };
    let own = (1000, 2_001_000_000);
    assert_eq!(groups(1000), (vec![own], vec![]));
    assert_eq!(groups(5000), (vec![own, (5000, 2_001_000_002)], vec![2_001_000_002]));
    for (gid, why) in [(27, "sudo"), (998, "docker"), (0, "root"), (65534, "nogroup"), (7777, "not in it")] {
        assert_eq!(groups(gid), (vec![own], vec![]), "{why}");
    }
}

#[test]
fn names_that_would_break_passwd_are_not_written_there() {
    for name in ["root", "nobody", "a:b", "a\nroot:x:0:0", "", "+x", "a/b"] {
        let mut world = World::new();
        world.person.name = name.into();
        let plan = planned(&world.resolve().unwrap()).unwrap();
        let Some(Mount::File { content, .. }) = step(&plan, "/etc/passwd") else { panic!() };
        let text = String::from_utf8(content.0.clone()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("\nagent:x:2001000000:"), "{text}");
        assert_eq!(variable(&plan, "USER").as_deref(), Some("agent"));
    }
}

fn content(plan: &Plan, path: &str) -> String {
    match step(plan, path) {
        Some(Mount::File { content, .. }) => String::from_utf8(content.0.clone()).unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_session_with_a_gate_asks_it_for_names_and_sees_what_it_refused() {
    let policy = World::new().resolve().unwrap();
    let plan = planned(&policy).unwrap();
    hold(&policy, &plan);
    assert_eq!(sandbox(&plan).network, NetworkNamespace::Prepared);
    assert!(content(&plan, "/etc/resolv.conf").contains("\nnameserver 198.18.0.1\n"));
    assert!(content(&plan, "/etc/nsswitch.conf").contains("\nhosts: files dns\n"));
    for posture in ["L1", "L2"] {
        let policy = ask(World::new(), posture).resolve().unwrap();
        let plan = planned(&policy).unwrap();
        hold(&policy, &plan);
        let at = wanted(&policy).iter().position(|wanted| wanted.what == WantedKind::Denials).unwrap();
        let Some(Mount::Bind { source, access, idmap, .. }) = step(&plan, "/run/agentbox/denials.jsonl")
        else {
            panic!("{posture}");
        };
        assert_eq!((usize::from(source.index), *access, *idmap), (at + 1, Access::ReadOnly, None));
    }
}

#[test]
fn a_session_without_a_gate_has_nobody_to_ask() {
    for posture in ["L1", "L2"] {
        let policy = ask(World::new(), posture)
            .ask(|request| request.network = Some(crate::Network::None))
            .resolve()
            .unwrap();
        let plan = planned(&policy).unwrap();
        hold(&policy, &plan);
        assert_eq!(sandbox(&plan).network, NetworkNamespace::Empty);
        // The kernel's guard refuses as well.
        assert!(step(&plan, "/run/agentbox/denials.jsonl").is_some());
        let readonly = ask(World::new(), posture)
            .ask(|request| request.network = Some(crate::Network::None))
            .ask(|request| request.workspace = Some(crate::Workspace::Readonly))
            .resolve()
            .unwrap();
        assert!(step(&planned(&readonly).unwrap(), "/run/agentbox/denials.jsonl").is_none());
        let kinds: Vec<_> = wanted(&readonly)
            .into_iter()
            .filter(|wanted| !wanted.path.starts_with('/'))
            .map(|wanted| wanted.what)
            .collect();
        assert_eq!(kinds, [WantedKind::Told], "{posture}");
        match posture {
            "L2" => assert!(!content(&plan, "/etc/resolv.conf").contains("nameserver")),
            _ => assert!(step(&plan, "/etc/resolv.conf").is_none()),
        }
    }
}

#[test]
fn l1_covers_what_the_host_says_about_names() {
    let policy = ask(World::new(), "L1").resolve().unwrap();
    let with = |path: &str, answer: Found| {
        let mut answers = found(&policy);
        let at = wanted(&policy).iter().position(|wanted| wanted.path == path).unwrap();
        answers[at] = answer;
        super::plan(&policy, &facts(answers))
    };
    let made = |name: &str| source(&policy, name);
    let covered = |plan: &Plan, path: &str, name: &str| match step(plan, path) {
        Some(Mount::Bind { source, access: Access::ReadOnly, .. }) => *source == made(name),
        _ => false,
    };
    let plan = planned(&policy).unwrap();
    assert!(covered(&plan, "/etc/resolv.conf", "resolv.conf"));
    assert!(covered(&plan, "/etc/nsswitch.conf", "nsswitch.conf"));

    for (to, path) in [
        ("../run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/stub-resolv.conf"),
        ("/etc/static/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"),
        ("/var/run/odd/resolv.conf", "/run/odd/resolv.conf"),
    ] {
        let plan = with("/etc/resolv.conf", Found::Symlink(to.into())).unwrap();
        hold(&policy, &plan);
        assert!(content(&plan, path).contains("nameserver 198.18.0.1"), "{to}");
        assert!(step(&plan, "/etc/resolv.conf").is_none(), "a link stays a link");
    }
    let plan = with("/etc/resolv.conf", Found::Symlink("/mnt/wsl/resolv.conf".into())).unwrap();
    assert!(covered(&plan, "/mnt/wsl/resolv.conf", "resolv.conf"));

    let plan = with("/etc/nsswitch.conf", Found::Missing).unwrap();
    assert!(step(&plan, "/etc/nsswitch.conf").is_none());
    for answer in [Found::Missing, Found::Symlink("../dev".into()), Found::Symlink("resolv.conf".into())] {
        let refusal = with("/etc/resolv.conf", answer).unwrap_err().to_string();
        assert!(refusal.contains("or use posture L2"), "{refusal}");
    }
}

#[test]
fn what_is_held_is_held_below_its_place_and_nothing_covers_another_mount() {
    use agentbox_plan::look::{HeldPlace, Hiding, PlacePath};
    let world = ask(World::new().system("[profile.w]\ngit_dirs = [\"/srv/main/.git\"]"), "L2");
    let policy = world.ask(|request| request.profile = Some("w".into())).resolve().unwrap();
    assert_eq!(policy.git_dirs().map(|(path, _)| path).collect::<Vec<_>>(), ["/srv/main/.git"]);
    let held = |place, path: &str, hiding| HeldPlace::new(place, PlacePath::new(path).unwrap(), hiding);
    let facts = Facts {
        held: vec![
            held(0, ".git", Hiding::Pinned),
            held(0, ".git/hooks", Hiding::ReadOnly),
            held(0, "secrets", Hiding::Hidden),
            held(0, "secrets/.git", Hiding::Pinned),
            held(1, "", Hiding::Pinned),
            held(1, "hooks", Hiding::ReadOnly),
        ],
        ..facts(found(&policy))
    };
    let plan = plan(&policy, &facts).unwrap();
    hold(&policy, &plan);
    let project = policy.project_path().to_owned();
    let hiding = |path: &str| match step(&plan, path) {
        Some(Mount::Hold { hiding, .. }) => Some(*hiding),
        _ => None,
    };
    assert_eq!(hiding(&format!("{project}/.git")), Some(Hiding::Pinned));
    assert_eq!(hiding(&format!("{project}/.git/hooks")), Some(Hiding::ReadOnly));
    assert_eq!(hiding(&format!("{project}/secrets")), Some(Hiding::Hidden));
    assert_eq!(hiding(&format!("{project}/secrets/.git")), None, "it is not seen");
    assert_eq!(hiding("/srv/main/.git"), None, "it is a mount already");
    assert!(matches!(step(&plan, "/srv/main/.git"), Some(Mount::Bind { access: Access::ReadWrite, .. })));
    assert_eq!(hiding("/srv/main/.git/hooks"), Some(Hiding::ReadOnly));
    assert_eq!(variable(&plan, "GIT_TEMPLATE_DIR").as_deref(), Some(""));
    let last = variable(&plan, "GIT_CONFIG_COUNT").unwrap().parse::<usize>().unwrap() - 1;
    assert_eq!(variable(&plan, &format!("GIT_CONFIG_KEY_{last}")).as_deref(), Some("core.excludesFile"));
    assert_eq!(
        variable(&plan, &format!("GIT_CONFIG_VALUE_{last}")).as_deref(),
        Some("/run/agentbox/git-ignore")
    );
    assert!(matches!(step(&plan, "/run/agentbox/git-ignore"), Some(Mount::File { mode: 0o644, .. })));
    let stranger = Facts { held: vec![held(2, "x", Hiding::Pinned)], ..facts.clone() };
    assert!(super::plan(&policy, &stranger).is_err(), "a place that nobody named");
}

#[test]
fn a_session_has_the_mask_of_its_person_and_others_never_write() {
    for posture in ["L0", "L1", "L2"] {
        let policy = ask(World::new(), posture).resolve().unwrap();
        for (umask, expected) in [(0o022, 0o022), (0o077, 0o077), (0o002, 0o002), (0, 0o002), (0o777, 0o777)]
        {
            let facts = Facts { umask, ..facts(found(&policy)) };
            assert_eq!(plan(&policy, &facts).unwrap().umask, expected, "{posture} {umask:o}");
        }
    }
}
