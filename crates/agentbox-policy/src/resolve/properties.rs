//! That nothing ever loosens, for arbitrary configuration.

use crate::fixture::World;
use crate::lattice::Key;
use crate::{Layer, LayerKind, Network};
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
        number("tmp_size", 2_000_000..9_000_000),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
            [a, b, c, d, e, f, g, h, i, j].into_iter().flatten().collect()
        })
}

const PATHS: &[&str] = &["~/.cargo", "~/.cargo/bin", "~/.rustup", "/srv/a", "/srv/a/b", "/home/me/.cargo"];
const NAMES: &[&str] = &["LANG", "MY_*", "MY_TOKEN", "MY_NAME", "FOO"];

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
    ) -> World {
        let grants = lines(&[("read", &read), ("write", &write), ("env.pass", &pass)]);
        let both = format!(
            "default_posture = \"{default}\"\n[profile.w]\n{grants}\n[project.s]\npath = \"/home/me/src/site\"\n\
             profile = \"w\"\n{}\n[posture.p]\nextends = \"L1\"\n{}",
            lines(&[("read", &more)]), posture.join("\n"),
        );
        let floor = format!("[floor]\n{}", floor.join("\n"));
        let world = if personal { World::new().system(&floor).own(&both) } else {
            World::new().system(&format!("{both}\n{floor}"))
        };
        let mut world = world.ask(|request| {
            request.posture = asked.map(str::to_owned);
            request.allow_unconfined = true;
            request.network = network;
        });
        for name in ["MY_TOKEN", "MY_NAME", "FOO", "MY_OTHER"] {
            world.environment.insert(name.into(), "1".into());
        }
        world
    }
}

prop_compose! {
    fn any_project_file()(
        settings in any_settings(), read in any_list(PATHS), write in any_list(PATHS), pass in any_list(NAMES),
    ) -> String {
        format!("{}\n{}", settings.join("\n"), lines(&[("read", &read), ("write", &write), ("env.pass", &pass)]))
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
        prop_assert!(smaller(a.open_files.map(|count| count.get()), b.open_files.map(|count| count.get())));
        prop_assert!(smaller(a.tmp_size.map(|size| size.get()), b.tmp_size.map(|size| size.get())));
        prop_assert!(smaller(a.home_size.map(|size| size.get()), b.home_size.map(|size| size.get())));
        for grant in &with.grants {
            prop_assert!(without.grants.contains(grant), "{}", grant.path);
        }
        for (name, variable) in &with.environment {
            prop_assert_eq!(without.environment.get(name), Some(variable));
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
