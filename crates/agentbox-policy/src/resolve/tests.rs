//! What is resolved, and what is refused in whole messages.

use crate::fixture::{World, layer};
use crate::{Guard, Layer, LayerKind, Network, Policy, State, Workspace, merge_system};

const SYSTEM: &str = r#"
users = ["me"]
default_posture = "L2"
[floor]
network = "none"
memory_max = "8G"
[ceiling]
read = ["~/.cargo", "/srv/shared"]
write = ["~/.cache"]
env = ["LANG", "MY_*", "NPM_TOKEN"]
[profile.work]
state = "project"
agent = "claude"
read = ["~/.rustup"]
env = { pass = ["COMPANY_TOKEN", "COMPANY_*"], set = { CI = "1" } }
git = { name = "Work Me", email = "me@work.example" }
[project.site]
path = "/home/me/src/site"
profile = "work"
posture = "L2"
[posture.tight]
network = "none"
tasks_max = 100
[posture.tighter]
extends = "tight"
workspace = "readonly"
"#;

fn value(policy: &Policy, key: &str) -> (String, String) {
    let value = policy.values().into_iter().find(|value| value.key == key).unwrap();
    (value.value, value.origin)
}

fn is(policy: &Policy, key: &str, text: &str, origin: &str) {
    assert_eq!(value(policy, key), (text.to_owned(), origin.to_owned()), "{key}");
}

#[test]
fn without_configuration_a_session_is_l2_and_keeps_nothing() {
    let policy = World::new().resolve().unwrap();
    is(&policy, "posture", "L2", "built-in");
    is(&policy, "isolation", "sandbox", "built-in: L2");
    is(&policy, "filesystem", "listed", "built-in: L2");
    is(&policy, "identity", "leased", "built-in: L2");
    is(&policy, "network", "public", "built-in: L2");
    is(&policy, "workspace", "direct", "built-in: L2");
    is(&policy, "state", "ephemeral", "built-in: L2");
    is(&policy, "profile", "none", "built-in: no profile");
    is(&policy, "agent", "shell", "built-in");
    is(&policy, "command", "the shell", "preset shell");
    assert_eq!(policy.tasks_max().map(|limit| (limit.value, limit.configured)), Some((4096, false)));
    assert_eq!(policy.memory_max(), None);
    assert!(policy.warnings().is_empty(), "{:?}", policy.warnings());
}

#[test]
fn every_value_names_the_rule_that_gave_it() {
    let world = World::new().system(SYSTEM).ask(|request| {
        request.workspace = Some(Workspace::Readonly);
        request.name = Some("one".into());
    });
    let policy = world.resolve().unwrap();
    let file = "/etc/agentbox/agentbox.toml";
    is(&policy, "posture", "L2", &format!("{file}: project.site.posture"));
    is(&policy, "profile", "work", &format!("{file}: project.site.profile"));
    is(&policy, "project", "site", &format!("{file}: project.site.path"));
    is(&policy, "agent", "claude", &format!("{file}: profile.work.agent"));
    is(&policy, "workspace", "readonly", "command line");
    is(&policy, "memory_max", "8G", &format!("{file}: floor.memory_max"));
    is(&policy, "env.CI", "set", &format!("{file}: profile.work.env.set.CI"));
    is(&policy, "env.TERM", "passed", "built-in: environment.toml");
    is(&policy, "env.CLAUDE_CONFIG_DIR", "set", "preset claude");
    is(&policy, "env.GIT_AUTHOR_NAME", "set", &format!("{file}: profile.work.git.name"));
    assert!(policy.values().iter().any(|value| value.key == "read"
        && value.value == "/home/me/.rustup"
        && value.origin == format!("{file}: profile.work.read")));
    assert_eq!(policy.memory_max().map(|limit| limit.configured), Some(true));
    assert_eq!(policy.session_name(), Some("one"));
    assert_eq!(policy.project_name(), "site");
}

#[test]
fn a_posture_gives_what_it_extends_does_not_say() {
    let policy = World::new()
        .system(SYSTEM)
        .at("/srv/x")
        .ask(|request| request.posture = Some("tighter".into()))
        .resolve();
    let policy = policy.unwrap();
    let file = "/etc/agentbox/agentbox.toml";
    is(&policy, "workspace", "readonly", &format!("{file}: posture.tighter.workspace"));
    is(&policy, "tasks_max", "100", &format!("{file}: posture.tight.tasks_max"));
    is(&policy, "filesystem", "listed", "built-in: L2");
}

#[test]
fn a_project_file_tightens() {
    let world = World::new()
        .system(SYSTEM)
        .file("workspace = \"readonly\"\nmemory_max = \"1G\"\nread = []\nenv.pass = []\nstate = \"profile\"");
    let policy = world.resolve().unwrap();
    is(&policy, "workspace", "readonly", ".agentbox.toml: workspace");
    is(&policy, "memory_max", "1G", ".agentbox.toml: memory_max");
    assert_eq!(policy.state(), State::Ephemeral);
    assert!(policy.grants.is_empty());
}

#[test]
fn the_guard_is_asked_for_where_a_project_is_changed_in_place() {
    assert_eq!(World::new().resolve().unwrap().guard(), Guard::Auto);
    let policy = World::new().file("guard = \"require\"").resolve().unwrap();
    assert_eq!(policy.guard(), Guard::Require);
    is(&policy, "guard", "require", ".agentbox.toml: guard");
    let readonly = World::new().file("guard = \"require\"\nworkspace = \"readonly\"");
    assert_eq!(readonly.resolve().unwrap().guard(), Guard::Off);
    // No project can switch off what the posture gives.
    assert_eq!(World::new().file("guard = \"off\"").resolve().unwrap().guard(), Guard::Auto);
}

#[test]
fn denied_variables_pass_only_by_their_exact_name() {
    let mut world = World::new().system(SYSTEM);
    for name in ["COMPANY_TOKEN", "COMPANY_NAME", "COMPANY_SECRET", "SSH_AUTH_SOCK", "OTHER"] {
        world.environment.insert(name.into(), "x".into());
    }
    let policy = world.resolve().unwrap();
    let names: Vec<_> =
        policy.environment.iter().filter(|(_, is)| is.passed).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["COMPANY_NAME", "COMPANY_TOKEN", "TERM"]);
    // A wildcard of the profile does not let a project's file pick the denied name out of it.
    world.project_file =
        Some(crate::fixture::layer("f", "env.pass = [\"COMPANY_SECRET\"]", LayerKind::Project));
    assert!(world.resolve().unwrap().environment.iter().all(|(name, is)| !is.passed || name == "TERM"));
}

#[test]
fn equal_policies_have_equal_hashes() {
    let world = World::new().system(SYSTEM);
    let policy = world.resolve().unwrap();
    assert_eq!(policy.hash().len(), 16);
    assert_eq!(policy.hash(), world.resolve().unwrap().hash());
    let mut other_terminal = world.clone();
    other_terminal.environment.insert("TERM".into(), "dumb".into());
    assert_eq!(policy.hash(), other_terminal.resolve().unwrap().hash());
    let moved = World {
        system: crate::merge_system(vec![crate::fixture::layer("/x.toml", SYSTEM, LayerKind::System)])
            .unwrap(),
        ..world.clone()
    };
    assert_eq!(policy.hash(), moved.resolve().unwrap().hash());
    for other in [
        world.clone().at("/home/me/src/site/sub"),
        world.clone().file("memory_max = \"1G\""),
        world.clone().ask(|request| request.agent = Some("codex".into())),
        world.clone().ask(|request| request.command = vec!["ls".into()]),
        world.clone().file("read = []"),
    ] {
        assert_ne!(policy.hash(), other.resolve().unwrap().hash());
    }
}

#[test]
fn refusals_say_what_which_rule_and_what_to_do() {
    let world = || World::new().system(SYSTEM);
    let posture = |name: &str| world().ask(|request| request.posture = Some(name.into()));
    let file = "/etc/agentbox/agentbox.toml";
    let own = "~/.config/agentbox/agentbox.toml";
    let twice = "name the posture and say it again: --posture L0 --yes-unconfined";
    let version =
        |what: &str, rule: &str, remedy: &str| format!("not in this version: {what}\nrule: {rule}\n{remedy}");
    let refused = |what: &str, rule: &str, remedy: &str| format!("refused: {what}\nrule: {rule}\n{remedy}");
    let cases = [
        (
            posture("L1"),
            refused(
                "posture `L1` has filesystem `shared`, which is looser than `listed`",
                &format!("{file}: project.site.posture"),
                "ask for a posture with filesystem `listed` or tighter",
            ),
        ),
        (
            world().ask(|request| request.network = Some(Network::Host)),
            refused(
                "network `host` is looser than `none`",
                &format!("{file}: floor.network"),
                "ask for `none` or tighter, or leave it out",
            ),
        ),
        (
            world().ask(|request| request.state = Some(State::Profile)),
            refused(
                "state `profile` is looser than `ephemeral`",
                &format!("{file}: project.site.posture"),
                "ask for `ephemeral` or tighter, or leave it out",
            ),
        ),
        (
            World::new().ask(|request| request.state = Some(State::Project)),
            refused(
                "state `project` is looser than `ephemeral`",
                "built-in: a path without a profile keeps nothing",
                "ask for `ephemeral` or tighter, or leave it out",
            ),
        ),
        (
            World::new().ask(|request| request.posture = Some("L0".into())),
            refused(
                "a session that nothing holds",
                "built-in: L0; isolation `none` must be asked for twice",
                twice,
            ),
        ),
        (
            World::new().own("default_posture = \"L0\"").ask(|request| request.allow_unconfined = true),
            refused(
                "a session that nothing holds",
                "built-in: L0; isolation `none` must be asked for twice",
                twice,
            ),
        ),
        (
            World::new().file("network = \"none\"").ask(|request| {
                request.posture = Some("L0".into());
                request.allow_unconfined = true;
            }),
            refused(
                "isolation `none` cannot hold network `none`",
                ".agentbox.toml: network",
                "use posture L1 or L2",
            ),
        ),
        (
            World::new().file("identity = \"leased\"").ask(|request| request.posture = Some("L1".into())),
            refused(
                "posture `L1` has identity `caller`, which is looser than `leased`",
                ".agentbox.toml: identity",
                "ask for a posture with identity `leased` or tighter",
            ),
        ),
        (
            World::new().own("default_posture = \"L1\"").file("identity = \"leased\""),
            refused(
                "filesystem `shared` cannot hold identity `leased`",
                ".agentbox.toml: identity",
                "use posture L2, or filesystem `listed`",
            ),
        ),
        (
            World::new()
                .system("[posture.odd]\nextends = \"L0\"\nisolation = \"sandbox\"\nnetwork = \"none\"")
                .ask(|request| request.posture = Some("odd".into())),
            refused(
                "isolation `sandbox` cannot hold filesystem `host`",
                "built-in: L0",
                "use `shared` or `listed`",
            ),
        ),
        (
            World::new().ask(|request| request.posture = Some("L3".into())),
            version("isolation `vm`", "built-in: L3", "use posture L1 or L2"),
        ),
        (
            World::new().ask(|request| request.network = Some(Network::Host)),
            version(
                "network `host` in a sandbox",
                "command line",
                "use network `public`, `allowlist` or `none`",
            ),
        ),
        (
            World::new().file("isolation = \"vm\""),
            version("isolation `vm`", ".agentbox.toml: isolation", "use posture L1 or L2"),
        ),
        (
            posture("L9"),
            refused(
                "there is no posture `L9`",
                "command line",
                "known: `L0`, `L1`, `L2`, `L3`, `L4`, `L5`, `tight`, `tighter`",
            ),
        ),
        (
            world().at("/srv/x").ask(|request| request.profile = Some("wrok".into())),
            refused("there is no profile `wrok`", "command line", "did you mean `work`?"),
        ),
        (
            world().ask(|request| request.agent = Some("cladue".into())),
            refused("there is no agent `cladue`", "command line", "did you mean `claude`?"),
        ),
        (
            world().ask(|request| request.project = Some("zzz".into())),
            refused("there is no project `zzz`", "command line", "known: `site`"),
        ),
        (
            world().ask(|request| request.profile = Some("../x".into())),
            refused(
                "the profile that was asked for",
                "command line",
                "a name is 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`, the first a letter or a digit",
            ),
        ),
        (
            world().own("[profile.mine]").ask(|request| request.profile = Some("mine".into())),
            refused(
                "profile `mine` for the project `site`, which is bound to `work`",
                &format!("{file}: project.site.profile"),
                "leave --profile out, or bind the project to `mine`",
            ),
        ),
        (
            world().at("/srv/x").ask(|request| request.project = Some("site".into())),
            refused(
                "`/srv/x` as the project `site`: it is not in that project's directory",
                &format!("{file}: project.site.path"),
                "write the directory's real path there, without symbolic links",
            ),
        ),
        (
            world()
                .own("[project.mine]\npath = \"~/src\"")
                .ask(|request| request.project = Some("mine".into())),
            refused(
                "`/home/me/src/site` as the project `mine`: it belongs to the project `site`",
                &format!("{file}: project.site.path"),
                "start `site`",
            ),
        ),
        (
            world()
                .own("[profile.mine]\nread = [\"~/.cargo/bin\", \"~/.ssh\"]")
                .at("/srv/x")
                .ask(|request| request.profile = Some("mine".into())),
            refused(
                &format!("a grant of `/home/me/.ssh` ({own}: profile.mine.read)"),
                &format!("{file}: ceiling.read"),
                "remove it, or ask the administrator to add it there",
            ),
        ),
        (
            world()
                .own("[profile.mine]\nwrite = [\"~/.cargo\"]")
                .at("/srv/x")
                .ask(|request| request.profile = Some("mine".into())),
            refused(
                &format!("a grant of `/home/me/.cargo` ({own}: profile.mine.write)"),
                &format!("{file}: ceiling.write"),
                "remove it, or ask the administrator to add it there",
            ),
        ),
        (
            world()
                .own("[profile.mine]\nenv.pass = [\"NPM_TOKEN\", \"MY_NAME\", \"MY_TOKEN\"]")
                .at("/srv/x")
                .ask(|request| request.profile = Some("mine".into())),
            refused(
                &format!("the variable `MY_TOKEN` ({own}: profile.mine.env.pass)"),
                &format!("{file}: ceiling.env"),
                "remove it, or ask the administrator to add exactly that name there",
            ),
        ),
        (
            world().ask(|request| request.command = vec![String::new()]),
            refused("a command without a name", "command line", "name a program"),
        ),
        (
            world().ask(|request| request.command = vec!["a\0b".into()]),
            refused("a command with a NUL byte", "command line", "put it into a file in the project"),
        ),
    ];
    for (world, message) in cases {
        assert_eq!(world.refusal(), message);
    }
}

#[test]
fn a_project_may_not_be_where_the_system_the_home_or_credentials_are() {
    let cases = [
        ("/", "it is the whole file system", "start in a directory of the project's own"),
        ("/home/me", "it holds the home `/home/me`", "start in a directory of the project's own"),
        ("/home", "it holds the home `/home/me`", "start in a directory of the project's own"),
        (
            "/usr/src/x",
            "it is in `/usr`, which is the system's",
            "put the project into a directory of its own",
        ),
        (
            "/var",
            "it holds `/var/lib/agentbox`, which is the system's",
            "put the project into a directory of its own",
        ),
        (
            "/var/lib/agentbox/state",
            "it is in `/var/lib/agentbox`, which is the system's",
            "put the project into a directory of its own",
        ),
        (
            "/run/user/1000/x",
            "it is in `/run`, which is the system's",
            "put the project into a directory of its own",
        ),
        (
            "/nix/store/x",
            "it is in `/nix`, which is the system's",
            "put the project into a directory of its own",
        ),
        ("/tmp", "every session has its own", "start in a directory of the project's own"),
        (
            "/home/me/.ssh",
            "`/home/me/.ssh` is a place of credentials",
            "start in a directory of the project's own",
        ),
        (
            "/home/me/.config/gh/x",
            "`/home/me/.config/gh` is a place of credentials",
            "start in a directory of the project's own",
        ),
        ("/root/x", "`/root` is a place of credentials", "start in a directory of the project's own"),
    ];
    for (path, why, remedy) in cases {
        let message = format!(
            "refused: `{path}` as a project: {why}\nrule: built-in: where a project may be\n{remedy}"
        );
        assert_eq!(World::new().at(path).refusal(), message);
    }
    for path in ["relative", "/a/../b", "/a//b", "/a/", ""] {
        assert_eq!(World::new().at(path).refusal(), format!("invalid: `{path}` is not a real path"));
    }
    let escaped = World::new().at("/usr/a\u{1b}[2J\nb").refusal();
    assert!(escaped.starts_with("refused: `/usr/a\\u{1b}[2J\\nb` as a project"), "{escaped}");
}

#[test]
fn homes_that_cannot_be_are_refused() {
    for home in ["/", "home", "/usr/x", "/proc", "/run/x", "/home/a:b", "/home/a\nroot:x:0:0", "/tmp", ""] {
        let world = World::new().home(home).at("/srv/x");
        let message = format!(
            "refused: a session of me, whose home is `{}`\nrule: built-in: a home is an absolute path outside the \
             system's directories\ngive the user a home of its own (usermod -d)",
            home.escape_default()
        );
        assert_eq!(world.refusal(), message);
    }
    for home in ["/root", "/var/home/me", "/tmp/me", "/nonexistent", "/var/lib/service"] {
        assert!(World::new().home(home).at("/srv/x").resolve().is_ok(), "{home}");
    }
}

#[test]
fn root_needs_an_explicit_yes() {
    let mut world = World::new().home("/root").at("/srv/x");
    world.person.uid = 0;
    assert_eq!(
        world.refusal(),
        "refused: a session that belongs to root\nrule: built-in: root's projects need an explicit yes\n\
         give the project to a user (chown), or say --allow-root-project"
    );
    world.request.allow_root_project = true;
    assert!(world.resolve().is_ok());
}

#[test]
fn a_leased_id_starts_no_session() {
    let mut world = World::new();
    world.person.uid = 2_001_000_000;
    assert!(world.refusal().contains("which is the id of a session"));
}

#[test]
fn grants_that_cannot_be_are_refused() {
    let cases = [
        (
            "read",
            "/home/me",
            "it holds the home `/home/me`, which a session has for itself",
            "grant what is needed below it",
        ),
        (
            "read",
            "/home",
            "it holds the home `/home/me`, which a session has for itself",
            "grant what is needed below it",
        ),
        ("read", "/run/docker.sock", "it is in `/run`, which no session sees", "remove it"),
        ("write", "/var/run/x", "it is in `/var/run`, which no session sees", "remove it"),
        ("read", "/nix", "it holds `/nix/var/nix/daemon-socket`, which no session sees", "remove it"),
        ("read", "/var/lib", "it holds `/var/lib/agentbox`, which no session sees", "remove it"),
        ("read", "/proc/1", "it is in `/proc`, which no session sees", "remove it"),
        ("read", "/tmp", "every session has its own", "grant what is needed below it"),
        ("write", "/usr/local", "`/usr` is the system's", "grant it for reading"),
        ("write", "/etc/x", "`/etc` is the system's", "grant it for reading"),
        ("read", "/etc", "agentbox makes what is there", "remove it"),
        ("read", "/etc/passwd", "agentbox makes what is there", "remove it"),
        ("read", "/etc/ssl", "parts of it are shown to every session", "grant what is needed below it"),
    ];
    for (key, path, why, remedy) in cases {
        let world = World::new()
            .own(&format!("[profile.mine]\n{key} = [\"{path}\"]"))
            .ask(|request| request.profile = Some("mine".into()));
        let shown = path.replace('~', "/home/me");
        let how = if key == "read" { "reading" } else { "writing" };
        let message = format!(
            "refused: a grant of `{shown}` for {how}: {why}\n\
             rule: ~/.config/agentbox/agentbox.toml: profile.mine.{key}\n{remedy}"
        );
        assert_eq!(world.refusal(), message);
    }
}

#[test]
fn there_is_an_end_to_what_can_be_granted() {
    let world = |each: usize| {
        let list =
            |from: &str| (0..each).map(|at| format!("\"/srv/{from}{at}\"")).collect::<Vec<_>>().join(", ");
        let lists = |a, b| format!("read = [{}]\nwrite = [{}]", list(a), list(b));
        let system = format!(
            "[profile.mine]\n{}\n[project.s]\npath = \"~/src/site\"\n{}\ngit_dirs = [{}]",
            lists("a", "b"),
            lists("c", "d"),
            list("e")
        );
        World::new().system(&system).ask(|request| request.profile = Some("mine".into()))
    };
    assert!(world(102).resolve().is_ok());
    assert!(world(103).refusal().contains("there can be 512"));
}

#[test]
fn what_nothing_holds_is_not_promised() {
    for (key, value) in [
        ("filesystem", "\"shared\""),
        ("identity", "\"leased\""),
        ("network", "\"none\""),
        ("workspace", "\"readonly\""),
        ("state", "\"ephemeral\""),
        ("tmp_size", "\"1M\""),
        ("home_size", "\"1M\""),
        ("upload_max", "\"1M\""),
        ("name_upload_max", "\"1M\""),
        ("on_gate_loss", "\"repair\""),
        ("guard", "\"require\""),
    ] {
        let posture = format!("[posture.odd]\nextends = \"L0\"\n{key} = {value}");
        let world = World::new().system(&posture).ask(|request| {
            request.posture = Some("odd".into());
            request.allow_unconfined = true;
        });
        let refusal = world.refusal();
        assert!(refusal.contains(&format!("isolation `none` cannot hold {key} `")), "{key}: {refusal}");
    }
}

#[test]
fn a_readonly_project_cannot_be_written_through_a_grant_around_it() {
    let world = World::new()
        .own("[profile.mine]\nwrite = [\"~/src\"]\nworkspace = \"readonly\"")
        .ask(|request| request.profile = Some("mine".into()));
    assert_eq!(
        world.refusal(),
        "refused: a grant of `/home/me/src` for writing (~/.config/agentbox/agentbox.toml: profile.mine.write): it \
         holds the project, whose workspace is `readonly`\nrule: ~/.config/agentbox/agentbox.toml: \
         profile.mine.workspace\ngrant it for reading, or use workspace `direct`"
    );
}

#[test]
fn the_agents_own_directory_is_neither_project_nor_inside_a_grant() {
    let world = World::new().at("/home/me/.local").ask(|request| request.agent = Some("opencode".into()));
    assert_eq!(
        world.refusal(),
        "refused: `/home/me/.local` as a project: the agent `opencode` keeps its own files in \
         `/home/me/.local/share/opencode`\nrule: command line\nstart in another directory, or use another agent"
    );
    let world = World::new().own("[profile.mine]\nread = [\"~/.config\"]").ask(|request| {
        request.agent = Some("opencode".into());
        request.profile = Some("mine".into());
    });
    assert_eq!(
        world.refusal(),
        "refused: a grant of `/home/me/.config`: the agent `opencode` keeps its own files in \
         `/home/me/.config/opencode`\nrule: ~/.config/agentbox/agentbox.toml: profile.mine.read\n\
         grant what is needed beside it, or exactly `/home/me/.config/opencode`"
    );
}

#[test]
fn a_person_cannot_redefine_what_the_system_defines() {
    let cases = [
        (
            "\n[profile.work]",
            "2: profile.work: the system's configuration has a profile `work` (choose another name)",
        ),
        (
            "[posture.tight]",
            "1: posture.tight: the system's configuration has a posture `tight` (choose another name)",
        ),
        (
            "[project.site]\npath=\"/x\"",
            "1: project.site: the system's configuration has a project `site` (choose another name)",
        ),
        ("[posture.L0]", "1: posture.L0: `L0` is built in (choose another name and say `extends = \"L0\"`)"),
        (
            "[posture.a]\nextends = \"tihgt\"",
            "2: posture.a.extends: there is no posture `tihgt` (did you mean `tight`?)",
        ),
        (
            "[project.a]\npath = \"/x\"\nprofile = \"wrok\"",
            "3: project.a.profile: there is no profile `wrok` (did you mean `work`?)",
        ),
        (
            "[posture.a]\nextends = \"b\"\n[posture.b]\nextends = \"a\"",
            "2: posture.a.extends: extends itself: a → b → a (let one of them extend a built-in posture)",
        ),
        (
            "[profile.a]\nenv.pass = [\"HOME\"]",
            "2: profile.a.env.pass: `HOME` is set by agentbox itself (remove it)",
        ),
        (
            "[profile.a]\nenv.set.PATH = \"/x\"",
            "2: profile.a.env.set.PATH: `PATH` is set by agentbox itself (remove it)",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(
            World::new().system(SYSTEM).own(text).refusal(),
            format!("invalid: ~/.config/agentbox/agentbox.toml:{message}")
        );
    }
}

#[test]
fn a_layer_that_crossed_the_bus_is_checked_again() {
    let mut world = World::new();
    let config = serde_json::json!({ "floor": { "network": "host" } });
    let layer =
        Layer { file: "f".into(), config: serde_json::from_value(config).unwrap(), ..Layer::default() };
    world.person_layer = Some(layer.clone());
    assert_eq!(
        world.refusal(),
        "invalid: f: floor: cannot stand in a person's own file (it may stand in the system's file)"
    );
    world.person_layer = None;
    world.project_file = Some(layer);
    assert_eq!(
        world.refusal(),
        "invalid: f: floor: cannot stand in a project's own file, which can only tighten: the key has no order (it \
         may stand in the system's file)"
    );
}

#[test]
fn a_directory_around_a_project_is_bound_by_its_rules() {
    let world =
        World::new().system(SYSTEM).at("/home/me/src").ask(|request| request.posture = Some("L1".into()));
    assert!(world.refusal().contains("rule: /etc/agentbox/agentbox.toml: project.site.posture"));
    let policy = World::new().system(SYSTEM).at("/home/me/src").resolve().unwrap();
    assert_eq!(policy.warnings().len(), 1, "{:?}", policy.warnings());
}

#[test]
fn the_systems_entry_governs_below_it() {
    let world = World::new().system(SYSTEM).at("/home/me/src/site/sub");
    let world = world.own("[profile.mine]\n[project.sub]\npath = \"~/src/site/sub\"\nprofile = \"mine\"");
    assert_eq!(world.resolve().unwrap().profile_name(), Some("work"));
}

#[test]
fn names_that_would_be_taken_for_each_other_are_refused() {
    for (one, other) in
        [("work", "Work"), ("w0rk", "work"), ("client1", "clientl"), ("a-b", "a_b"), ("modem", "modern")]
    {
        for kind in ["profile", "project"] {
            let table = |name: &str| match kind {
                "profile" => format!("[profile.{name}]\nagent = \"claude\"\n"),
                _ => format!("[project.{name}]\npath = \"/srv/{name}\"\n"),
            };
            let merged =
                merge_system(vec![layer("f", &format!("{}{}", table(one), table(other)), LayerKind::System)]);
            let error = merged.unwrap_err().to_string();
            assert!(error.contains("looks like"), "{one} {other}: {error}");
            let world = World::new().system(&table(one)).own(&table(other));
            assert!(world.refusal().contains("looks like"), "{one} {other}");
        }
    }
    assert!(
        World::new()
            .system("[profile.work]\nagent = \"claude\"\n[profile.home]\nagent = \"codex\"")
            .resolve()
            .is_ok()
    );
}

#[test]
fn a_file_that_was_accepted_holds_after_it_was_loosened_or_removed() {
    let mut world = World::new();
    world.accepted = Some(layer(".agentbox.toml", "network = \"none\"", LayerKind::Project));
    let policy = world.resolve().unwrap();
    assert_eq!(policy.network(), Network::None);
    assert!(
        policy.warnings().iter().any(|warning| warning.contains("agentboxctl trust")),
        "{:?}",
        policy.warnings()
    );
    assert_eq!(policy.project_file().unwrap().config.network, Some(Network::None));
    let loosened = world.clone().file("network = \"public\"\nworkspace = \"readonly\"").resolve().unwrap();
    assert_eq!((loosened.network(), loosened.workspace()), (Network::None, Workspace::Readonly));
    let same = world.file("network = \"none\"").resolve().unwrap();
    assert!(same.warnings().iter().all(|warning| !warning.contains("trust")), "{:?}", same.warnings());
}

#[test]
fn values_of_a_file_that_another_program_wrote_are_called_as_it_says() {
    let file = crate::fixture::layer(
        "/etc/agentbox/agentbox.json",
        r#"{"said_as": {"profile": "services.agentbox.profiles"}, "profile": {"work": {"network": "none"}}, "project":
            {"web": {"path": "/home/ada/web", "profile": "work", "tasks_max": 64}}}"#,
        LayerKind::System,
    );
    let drop_in = crate::fixture::layer(
        "/etc/agentbox/conf.d/a.toml",
        "profile.work.workspace = \"readonly\"",
        LayerKind::System,
    );
    let system = crate::merge_system(vec![file, drop_in]).unwrap();
    assert_eq!(system.source.rule("profile.work.network"), "services.agentbox.profiles.work.network");
    assert_eq!(
        system.source.rule("project.web.tasks_max"),
        "/etc/agentbox/agentbox.json: project.web.tasks_max"
    );
    assert_eq!(
        system.source.rule("profile.work.workspace"),
        "/etc/agentbox/conf.d/a.toml: profile.work.workspace"
    );

    let wrong = crate::fixture::layer("a.toml", "said_as.profil = \"x\"", LayerKind::System);
    assert_eq!(
        crate::merge_system(vec![wrong]).unwrap_err().to_string(),
        "a.toml:1: said_as.profil: there is no key `profil` (did you mean `profile`?)"
    );
}

#[test]
fn secrets_are_read_with_the_rights_of_who_names_them_and_never_told() {
    let env = "[profile.w.env]\nNPM_TOKEN = { file = \"/run/agenix/npm\" }\nKEY = { file = \"~/k\", as = \"file\" }\n\
        GH = { file = \"~/gh\", git = \"github.com\" }\n";
    let ask = |world: World| world.ask(|request| request.profile = Some("w".into())).resolve().unwrap();
    let by_system = ask(World::new().system(env));
    let by_person = ask(World::new().own(env));
    assert!(by_system.secrets().iter().all(|secret| secret.by == crate::Opener::System));
    assert!(by_person.secrets().iter().all(|secret| secret.by == crate::Opener::Person));
    let variable = |name: &str| by_system.environment.get(name).map(|variable| variable.value.as_str());
    assert_eq!(variable("KEY"), Some("/run/agentbox/secrets/KEY"));
    assert_eq!((variable("NPM_TOKEN"), variable("GH")), (None, None));
    assert_eq!(variable("GIT_CONFIG_VALUE_0"), Some(""));
    assert_eq!(variable("GIT_CONFIG_KEY_5"), Some("credential.https://github.com.helper"));
    let token = by_system.secrets().iter().find(|secret| secret.name == "GH").unwrap();
    assert_eq!(*token.content("t"), "username=x-access-token\npassword=t\n");
    let mut facts = crate::fixture::facts(crate::fixture::found(&by_system));
    facts.secrets = vec![("NPM_TOKEN".into(), crate::SecretText("hidden".into()))];
    assert!(!format!("{facts:?}").contains("hidden"));
    let plan = crate::plan(&by_system, &facts).unwrap();
    assert!(plan.process.environment.iter().any(|text| text.as_bytes() == b"NPM_TOKEN=hidden"));
}

#[test]
fn secrets_are_within_the_ceiling_and_one_thing_each() {
    let env = "[profile.w.env]\nNPM_TOKEN = { file = \"~/npm\" }";
    let world = World::new().system("[ceiling]\nenv = [\"OTHER\"]").own(env);
    assert!(world.ask(|request| request.profile = Some("w".into())).refusal().contains("ceiling.env"));
    let both = World::new()
        .own("[profile.w.env]\nT = { file = \"/t\", as = \"env\", git = \"a.org\" }")
        .ask(|request| request.profile = Some("w".into()));
    assert!(both.refusal().contains("`as` and `git`"));
    let slip = Layer::parse("f", b"[profile.w.env]\npas = []", LayerKind::Person).unwrap_err().to_string();
    assert!(slip.contains("did you mean `pass`"), "{slip}");
}
