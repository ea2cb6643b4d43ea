//! What every plan holds to, for arbitrary policies and hosts.

use super::tests::{ask, hold};
use super::*;
use crate::fixture::{World, facts, found, planned};
use crate::paths::is_within;
use crate::{Inputs, resolve};
use agentbox_plan::Mount;
use proptest::prelude::*;

const HOMES: &[&str] = &["/home/me", "/root", "/var/home/me", "/tmp/me", "/srv/people/me"];
const PROJECTS: &[&str] = &[
    "/home/me/src/site",
    "/srv/site",
    "/tmp/x/site",
    "/var/tmp/site",
    "/home/me/.config",
    "/root/a",
    "/var/home/me/p",
    "/home/me/.local/share/claude/x",
    "/opt/x\n/y",
    "/srv/people/me/src",
    "/home/me/.cargo/registry",
];
const PATHS: &[&str] = &[
    "~/.cargo",
    "~/.cargo/bin",
    "~/.cargo/credentials.toml",
    "~/.ssh",
    "~/.config",
    "~/src",
    "~/src/site/vendor",
    "/srv",
    "/srv/site/target",
    "/usr/share/x",
    "/opt",
    "~/.claude",
    "~/.local/bin/claude",
    "/tmp/x",
    "/var/tmp/site/a",
    "/etc/x.conf",
];

prop_compose! {
    fn any_policy()(
        home in proptest::sample::select(HOMES), project in proptest::sample::select(PROJECTS),
        read in proptest::collection::vec(proptest::sample::select(PATHS), 0..5),
        write in proptest::collection::vec(proptest::sample::select(PATHS), 0..3),
        agent in proptest::sample::select(crate::preset::NAMES),
        posture in proptest::sample::select(&["L0", "L1", "L2", "keep", "mine"][..]),
        readonly in any::<bool>(), profile in any::<bool>(),
        gids in (proptest::sample::select(&[0u32, 27, 1000, 5000, 7000][..]), proptest::sample::select(&[0u32, 100, 1000, 5000][..])),
        names in proptest::collection::vec("[A-Z_]{1,8}(_TOKEN|_KEY|)", 0..6),
    ) -> Option<(Policy, bool)> {
        let text = format!(
            "[posture.keep]\nstate = \"profile\"\n[posture.mine]\nidentity = \"caller\"\n[profile.w]\nread = {read:?}\n\
             write = {write:?}\nenv.pass = [\"A*\", \"B*\", \"GRANTED_TOKEN\"]"
        );
        let mut world = ask(World::new().system(&text).home(home).at(project), posture);
        world.request.profile = profile.then(|| "w".to_owned());
        world.request.agent = Some(agent.to_owned());
        if readonly {
            world.request.workspace = Some(crate::Workspace::Readonly);
        }
        world.project.owner_gid = gids.0;
        world.person.gid = gids.1;
        for name in names.iter().map(String::as_str).chain(["GRANTED_TOKEN", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"]) {
            world.environment.insert(name.into(), "x".into());
        }
        let inputs = Inputs {
            system: &world.system, person_layer: None, project_file: None, request: &world.request,
            person: &world.person, project: &world.project, environment: &world.environment, inspection: None,
            accepted_file: None, git_identity: None, ssh: None,
        };
        resolve(&inputs).ok().map(|policy| (policy, profile))
    }
}

fn any_found() -> impl Strategy<Value = Found> {
    prop_oneof![
        4 => Just(Found::Directory),
        1 => Just(Found::File),
        1 => Just(Found::Missing),
        1 => "[a-z./]{1,9}".prop_map(Found::Symlink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_holds_to_the_rules(
        policy in any_policy().prop_filter_map("refused", |policy| policy),
        answers in proptest::collection::vec(any_found(), 256),
    ) {
        let (policy, profile) = policy;
        if let Ok(plan) = planned(&policy) {
            hold(&policy, &plan);
        }
        // Whatever the host looks like. Devices and volumes are there or the plan is refused.
        let mut seen = found(&policy);
        for ((wanted, found), answer) in wanted(&policy).iter().zip(&mut seen).zip(answers) {
            if matches!(wanted.what, WantedKind::Any | WantedKind::Directory) {
                *found = answer;
            }
        }
        if let Ok(plan) = super::plan(&policy, &facts(seen)) {
            hold(&policy, &plan);
            let rules = crate::environment::Rules::load().unwrap();
            for (name, variable) in &policy.environment {
                let granted = profile && name == "GRANTED_TOKEN";
                prop_assert!(granted || !variable.passed || !rules.is_denied(name), "{}", name);
            }
            for text in &plan.process.environment {
                let name = text.to_str().unwrap().split('=').next().unwrap();
                let git = crate::environment::GIT.iter().any(|(git, _)| *git == name);
                let ours = git || crate::environment::OURS.contains(&name);
                prop_assert!(ours || policy.environment.contains_key(name), "{}", name);
            }
        }
    }

    #[test]
    fn no_credential_is_bound_unless_granted(policy in any_policy().prop_filter_map("refused", |policy| policy)) {
        let (policy, _) = policy;
        let Ok(plan) = planned(&policy) else { return Ok(()) };
        let Confinement::Sandbox { sandbox } = &plan.confinement else { return Ok(()) };
        for place in crate::places::credentials(&policy.person.home).unwrap() {
            let granted = policy.grants.iter().any(|grant| !grant.preset && is_within(&place, &grant.path)
                && crate::places::credentials(&policy.person.home).unwrap().iter().any(|other| is_within(&grant.path, other)));
            let own = policy.own_directories.iter().any(|own| place == format!("{}/{own}", policy.person.home));
            if granted || own {
                continue;
            }
            let path = InnerPath::new(place.as_str()).unwrap();
            // The innermost step around it hides it, or is one of the session's own.
            let around = sandbox.mounts.iter().rev().find(|step| path.is_within(step.target()));
            let hidden = around.is_none_or(|step| !matches!(step, Mount::Bind { .. }));
            prop_assert!(hidden, "{} by {:?}", place, around);
        }
    }
}
