//! That nothing ever loosens, for arbitrary configuration.

use crate::fixture::World;
use crate::lattice::Key;
use crate::{Layer, LayerKind, Network};
use agentbox_plan::net::{Destination, Rule, Rules, Translators, Verdict};
use proptest::prelude::*;

fn any_settings() -> impl Strategy<Value = Vec<String>> {
    let word = |key: &'static str, values: &'static [&'static str]| {
        proptest::option::weighted(0.3, proptest::sample::select(values))
            .prop_map(move |value| value.map(|value| format!("{key} = \"{value}\"")))
    };
    let number = |key: &'static str, range: std::ops::Range<u64>| {
        proptest::option::weighted(0.3, range)
            .prop_map(move |value| value.map(|value| format!("{key} = {value}")))
    };
    (
        word("isolation", &["none", "sandbox", "vm"]),
        word("filesystem", &["host", "shared", "listed"]),
        word("identity", &["caller", "leased"]),
        word("network", &["host", "public", "allowlist", "none"]),
        word("workspace", &["direct", "readonly"]),
        word("state", &["profile", "project", "ephemeral"]),
        number("memory_max", 20_000_000..90_000_000),
        number("tasks_max", 8..5000),
        number("open_files", 64..600_000),
        (
            number("tmp_size", 2_000_000..9_000_000),
            number("upload_max", 20_000..90_000),
            number("name_upload_max", 20_000..90_000),
            number("cpu_weight", 1..10_000),
            number("runtime_max", 60..9000),
            number("disk_free_min", 2_000_000..9_000_000),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, (j, k, l, m, n, o))| {
            [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o].into_iter().flatten().collect()
        })
}

const PATHS: &[&str] = &["~/.cargo", "~/.cargo/bin", "~/.rustup", "/srv/a", "/srv/a/b", "/home/me/.cargo"];
const NAMES: &[&str] = &["LANG", "MY_*", "MY_TOKEN", "MY_NAME", "FOO"];

const HOSTS: &[&str] = &[
    "a.org",
    "a.org:22",
    "x.a.org",
    "*.a.org",
    "**.a.org:22",
    "git.corp",
    "10.1.0.0/16:22",
    "10.1.2.3:22",
    "0.0.0.0/0",
    "9.9.9.9:53",
    "2001:db8::/32",
    "host:5432",
    "@npm",
    "registry.npmjs.org",
];
const CORP: &[&str] = &["git.corp", "*.eng.corp:22", "a.org"];

/// Places to go to, by name or address, each with an address that it may have.
const PLACES: &[(&str, &str)] = &[
    ("a.org", "93.184.216.34"),
    ("a.org", "10.1.2.3"),
    ("x.a.org", "93.184.216.34"),
    ("y.x.a.org", "192.168.0.1"),
    ("git.corp", "10.1.2.3"),
    ("x.eng.corp", "10.9.9.9"),
    ("registry.npmjs.org", "104.16.0.1"),
    ("example.com", "93.184.216.34"),
    ("9.9.9.9", "9.9.9.9"),
    ("10.1.2.3", "10.1.2.3"),
    ("10.2.0.1", "10.2.0.1"),
    ("2001:db8::1", "2001:db8::1"),
    ("2606:4700::1", "2606:4700::1"),
    ("host", "127.0.0.1"),
];
const PORTS: &[u16] = &[22, 25, 53, 80, 443, 5432];

/// Everything of the sample that rules allow.
fn reached(rules: &Rules) -> Vec<(&'static str, &'static str, u16)> {
    let mut reached = Vec::new();
    for (place, address) in PLACES {
        let to = match place.parse() {
            Ok(address) => Destination::Address { address },
            Err(_) if *place == "host" => Destination::HostLoopback,
            Err(_) => Destination::Name { name: place.parse().unwrap() },
        };
        for port in PORTS {
            if rules.judge_address(&to, *port, address.parse().unwrap(), &Translators::none()).is_allowed() {
                reached.push((*place, *address, *port));
            }
        }
    }
    reached
}

fn any_list(of: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    let list = proptest::collection::vec(proptest::sample::select(of), 0..5);
    proptest::option::weighted(0.6, list.prop_map(|list| format!("{list:?}")))
}

fn lines(keys: &[(&str, &Option<String>)]) -> String {
    let lines = keys.iter().filter_map(|(key, list)| Some(format!("{key} = {}", list.as_ref()?)));
    lines.collect::<Vec<_>>().join("\n")
}

prop_compose! {
    /// A machine with a floor, a profile of either owner and a project entry.
    fn any_world()(
        floor in any_settings(), posture in any_settings(), personal in any::<bool>(),
        read in any_list(PATHS), write in any_list(PATHS), pass in any_list(NAMES),
        more in any_list(PATHS), default in proptest::sample::select(&["L0", "L1", "L2", "p"][..]),
        asked in proptest::option::weighted(0.3, proptest::sample::select(&["L0", "L1", "L2"][..])),
        network in proptest::option::weighted(0.2, proptest::sample::select(Network::ALL)),
        (allow, deny, internal, entry) in (any_list(HOSTS), any_list(HOSTS), any_list(CORP), any_list(HOSTS)),
        asked_hosts in proptest::collection::vec(proptest::sample::select(HOSTS), 0..2),
    ) -> World {
        let grants = lines(&[
            ("read", &read), ("write", &write), ("env.pass", &pass), ("allow", &allow), ("deny", &deny),
            ("internal", &internal),
        ]);
        let both = format!(
            "default_posture = \"{default}\"\n[profile.w]\n{grants}\n[project.s]\npath = \"/home/me/src/site\"\n\
             profile = \"w\"\n{}\n[posture.p]\nextends = \"L1\"\n{}",
            lines(&[("read", &more), ("allow", &entry)]), posture.join("\n"),
        );
        let floor = format!("[floor]\n{}", floor.join("\n"));
        let world = if personal { World::new().system(&floor).own(&both) } else {
            World::new().system(&format!("{both}\n{floor}"))
        };
        let mut world = world.ask(|request| {
            request.posture = asked.map(str::to_owned);
            request.allow_unconfined = true;
            request.network = network;
            request.allow = asked_hosts.iter().map(|host| host.parse().unwrap()).collect();
        });
        for name in ["MY_TOKEN", "MY_NAME", "FOO", "MY_OTHER"] {
            world.environment.insert(name.into(), "1".into());
        }
        world
    }
}

fn any_order(of: &'static [&'static str]) -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    proptest::collection::vec(proptest::sample::select(of), 0..6)
        .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
}

/// The rules of a session whose profile has these lists, and one more denial at one of the places where
/// there can be one.
fn with_lists(allow: &[&str], deny: &[&str], more: Option<(usize, &str)>, public: bool, own: bool) -> Rules {
    let at = |place: usize| match more {
        Some((mine, host)) if mine == place => vec![host],
        _ => Vec::new(),
    };
    let deny: Vec<_> = deny.iter().copied().chain(at(0)).collect();
    let text = format!(
        "[profile.w]\nallow = {allow:?}\ndeny = {deny:?}\n[project.s]\npath = \"/home/me/src/site\"\n\
         profile = \"w\"\ndeny = {:?}",
        at(1)
    );
    let world = if own { World::new().own(&text) } else { World::new().system(&text) };
    let world = world.file(&format!("deny = {:?}", at(2))).ask(|request| {
        request.network = Some(if public { Network::Public } else { Network::Allowlist });
        request.deny = at(3).into_iter().map(|host| host.parse().unwrap()).collect();
    });
    world.resolve().unwrap().network_rules().clone()
}

prop_compose! {
    fn any_project_file()(
        settings in any_settings(), read in any_list(PATHS), write in any_list(PATHS), pass in any_list(NAMES),
        allow in any_list(HOSTS), deny in any_list(HOSTS),
    ) -> String {
        let lists = [("read", &read), ("write", &write), ("env.pass", &pass), ("allow", &allow), ("deny", &deny)];
        format!("{}\n{}", settings.join("\n"), lines(&lists))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_project_file_ever_loosens(world in any_world(), file in any_project_file()) {
        let without = world.resolve();
        let with = world.clone().file(&file).resolve();
        let (Ok(without), Ok(with)) = (without, with) else { return Ok(()) };
        for key in Key::ALL {
            let (Some(before), after) = (without.settings.get(*key), with.settings.get(*key)) else { continue };
            prop_assert!(after.is_some_and(|after| after.tightness() >= before.tightness()), "{}", key.as_str());
        }
        // Said again without the lattice's own measure of tightness.
        let (a, b) = (&without.settings, &with.settings);
        prop_assert!(a.isolation <= b.isolation && a.filesystem <= b.filesystem && a.identity <= b.identity);
        prop_assert!(a.network <= b.network && a.workspace <= b.workspace && a.state <= b.state);
        let smaller = |a: Option<u64>, b: Option<u64>| a.is_none_or(|a| b.is_some_and(|b| b <= a));
        prop_assert!(smaller(a.memory_max.map(|size| size.get()), b.memory_max.map(|size| size.get())));
        prop_assert!(smaller(a.tasks_max.map(|count| count.get()), b.tasks_max.map(|count| count.get())));
        prop_assert!(smaller(a.cpu_weight.map(|weight| weight.get()), b.cpu_weight.map(|weight| weight.get())));
        prop_assert!(smaller(a.runtime_max.map(|time| time.get()), b.runtime_max.map(|time| time.get())));
        prop_assert!(a.disk_free_min.is_none_or(|a| b.disk_free_min.is_some_and(|b| b.get() >= a.get())));
        prop_assert!(smaller(a.open_files.map(|count| count.get()), b.open_files.map(|count| count.get())));
        prop_assert!(smaller(a.tmp_size.map(|size| size.get()), b.tmp_size.map(|size| size.get())));
        prop_assert!(smaller(a.home_size.map(|size| size.get()), b.home_size.map(|size| size.get())));
        for grant in &with.grants {
            prop_assert!(without.grants.contains(grant), "{}", grant.path);
        }
        for (name, variable) in &with.environment {
            prop_assert_eq!(without.environment.get(name), Some(variable));
        }
        prop_assert!(smaller(a.upload_max.map(|size| size.get()), b.upload_max.map(|size| size.get())));
        prop_assert!(smaller(a.name_upload_max.map(|size| size.get()), b.name_upload_max.map(|size| size.get())));
        // Without a gate there is the host's network, or none.
        if without.has_gate() {
            let before = reached(without.network_rules());
            for one in reached(with.network_rules()) {
                prop_assert!(before.contains(&one), "{:?}", one);
            }
        }
        for publish in with.publish() {
            prop_assert!(without.publish().contains(publish));
        }
        prop_assert_eq!(with.profile, without.profile);
        prop_assert_eq!(with.command, without.command);
        prop_assert_eq!(with.own_directories, without.own_directories);
    }

    #[test]
    fn a_project_file_helps_nobody_past_a_refusal(world in any_world(), file in any_project_file()) {
        // Only what nothing can hold or this version has not may become possible by tightening.
        if let Err(error @ crate::PolicyError::Refused { .. }) = world.resolve() {
            let tolerable = ["cannot hold", "that nothing holds"];
            if !tolerable.iter().any(|words| error.to_string().contains(words)) {
                prop_assert!(world.clone().file(&file).resolve().is_err(), "{error}");
            }
        }
    }

    /// Whoever writes them, in whatever file and order.
    #[test]
    fn the_order_of_rules_does_not_matter_and_a_denial_never_loosens(
        (allow, shuffled) in any_order(HOSTS), (deny, other) in any_order(HOSTS),
        one in proptest::sample::select(HOSTS), place in 0usize..4, public in any::<bool>(), personal in any::<bool>(),
    ) {
        let before = reached(&with_lists(&allow, &deny, None, public, personal));
        prop_assert_eq!(&before, &reached(&with_lists(&shuffled, &other, None, public, !personal)));
        for one in reached(&with_lists(&allow, &deny, Some((place, one)), public, personal)) {
            prop_assert!(before.contains(&one), "{:?}", one);
        }
    }

    /// Said with the judgement itself: the ceiling as if it were the rules.
    #[test]
    fn no_rule_of_a_person_reaches_past_the_ceiling(
        allow in any_list(HOSTS), internal in any_list(CORP), asked in proptest::sample::select(HOSTS),
        most in any_list(HOSTS), inner in any_list(HOSTS),
    ) {
        let ceiling = format!("[ceiling]\n{}", lines(&[("allow", &most), ("internal", &inner)]));
        let own = format!(
            "[profile.w]\nnetwork = \"allowlist\"\n{}", lines(&[("allow", &allow), ("internal", &internal)])
        );
        let world = World::new().system(&ceiling).own(&own).ask(|request| {
            request.profile = Some("w".into());
            request.allow = vec![asked.parse().unwrap()];
        });
        let (Ok(policy), Some(_)) = (world.resolve(), &most) else { return Ok(()) };
        let mut rules = Rules::nothing();
        for (list, internal) in [(&most, false), (&inner, true)] {
            let list: Vec<crate::HostRule> = serde_json::from_str(list.as_deref().unwrap_or("[]")).unwrap();
            let targets = list.iter().flat_map(crate::HostRule::targets);
            // Without a list for what is internal, the other one says which of it there is.
            let internal = internal || inner.is_none();
            rules.rules.extend(targets.map(|target| Rule {
                verdict: Verdict::Allow, target, internal, origin: String::new(),
            }));
        }
        let most = reached(&rules);
        for one in reached(policy.network_rules()) {
            prop_assert!(most.contains(&one), "{:?}", one);
        }
    }

    #[test]
    fn any_bytes_are_a_layer_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in "[\\[\\]{}=\".,:a-z0-9_\\\\ \n#-]{0,120}",
    ) {
        for file in ["a.toml", "a.json"] {
            for kind in [LayerKind::System, LayerKind::Person, LayerKind::Project] {
                let _ = Layer::parse(file, &bytes, kind);
                let _ = Layer::parse(file, text.as_bytes(), kind);
            }
        }
    }
}
