//! The settings of a session: what was chosen, joined with everything that bounds it.

use super::choice::{Choice, chain};
use super::{COMMAND_LINE, Sources, refused};
use crate::lattice::{Key, Setting};
use crate::policy::{BUILT_IN, Held};
use crate::{
    Filesystem, Guard, Identity, Inputs, Isolation, Network, PolicyError, Request, Settings, State, Workspace,
};
use std::collections::BTreeMap;

/// A setting that a session may not be looser than, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) setting: Setting,
    pub(super) rule: String,
}

/// The settings in force, and the rule of each.
pub(super) type Settled = (Settings, BTreeMap<Key, String>);

pub(super) fn settle(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
) -> Result<Settled, PolicyError> {
    let chosen = chosen(inputs.request, sources, choice);
    let mut bounds = bounds(sources, choice);
    let isolated = chosen
        .iter()
        .chain(&bounds)
        .any(|bound| matches!(bound.setting, Setting::Isolation(isolation) if isolation != Isolation::None));
    if choice.profile.is_none() && isolated {
        let rule = "built-in: a path without a profile keeps nothing".to_owned();
        bounds.push(Bound { setting: Setting::State(State::Ephemeral), rule });
    }
    refuse_looser(inputs.request, choice, &chosen, &bounds)?;
    let settled = join(chosen, bounds);
    let held = Held::of(&settled.0)?;
    asked_twice(inputs.request, held, &settled)?;
    in_this_version(held, &settled)?;
    fit_together(held, &settled)?;
    Ok(settled)
}

/// The tightest word about the state that is none of a posture's own; none when nobody says one.
pub(super) fn state_bound(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
) -> Option<(State, String)> {
    let asked = inputs.request.state.map(|state| (state, COMMAND_LINE.to_owned()));
    let said = bounds(sources, choice).into_iter().filter_map(|bound| match bound.setting {
        Setting::State(state) => Some((state, bound.rule)),
        _ => None,
    });
    said.chain(asked).max_by_key(|(state, _)| *state)
}

/// What the posture gives, and what was asked for in its place.
fn chosen(request: &Request, sources: &Sources<'_>, choice: &Choice<'_>) -> Vec<Bound> {
    let explicit = explicit(request);
    let posture = chain(sources).settings(&choice.posture.value).into_iter();
    posture
        .map(|(setting, rule)| match explicit.get(setting.key()) {
            Some(setting) => Bound { setting, rule: COMMAND_LINE.to_owned() },
            None => Bound { setting, rule },
        })
        .collect()
}

fn explicit(request: &Request) -> Settings {
    Settings {
        network: request.network,
        workspace: request.workspace,
        state: request.state,
        ..Settings::default()
    }
}

/// Everything that a session may not be looser than. The order does not matter.
fn bounds(sources: &Sources<'_>, choice: &Choice<'_>) -> Vec<Bound> {
    let mut bounds = Vec::new();
    let mut add = |settings: Settings, rule: &dyn Fn(&str) -> String| {
        bounds.extend(settings.iter().map(|setting| Bound { setting, rule: rule(setting.key().as_str()) }));
    };
    if let Some(floor) = &sources.system.config.floor {
        add(*floor, &|key| sources.system.rule(&format!("floor.{key}")));
    }
    if let Some((_, profile)) = choice.table {
        add(profile.settings(), &|key| choice.profile_rule(key));
    }
    for entry in &choice.entries {
        add(entry.table.settings(), &|key| entry.rule(key));
        if let Some(posture) = &entry.table.posture {
            let mut floor = Settings::default();
            chain(sources).settings(posture.as_str()).into_iter().for_each(|(setting, _)| floor.set(setting));
            add(floor, &|_| entry.rule("posture"));
        }
    }
    if let Some(file) = sources.file {
        add(file.config.settings(), &|key| file.rule(key));
    }
    bounds
}

/// Whoever names a value gets that value or a refusal, never silently another one. A posture names what
/// only it can give; the rest of it is joined.
fn refuse_looser(
    request: &Request,
    choice: &Choice<'_>,
    chosen: &[Bound],
    bounds: &[Bound],
) -> Result<(), PolicyError> {
    let explicit = explicit(request);
    for asked in chosen {
        let key = asked.setting.key();
        let by_posture = matches!(key, Key::Isolation | Key::Filesystem | Key::Identity);
        let named = explicit.get(key).is_some() || (by_posture && request.posture.is_some());
        let tighter = bounds
            .iter()
            .filter(|bound| bound.setting.key() == key)
            .filter(|bound| bound.setting.tightness() > asked.setting.tightness())
            // Of equals the first: the floor before a project's entry.
            .min_by_key(|bound| std::cmp::Reverse(bound.setting.tightness()));
        if let Some(bound) = tighter.filter(|_| named) {
            let what = if explicit.get(key).is_some() {
                format!("{} `{}` is looser than `{}`", key.as_str(), asked.setting, bound.setting)
            } else {
                format!(
                    "posture `{}` has {} `{}`, which is looser than `{}`",
                    choice.posture.value,
                    key.as_str(),
                    asked.setting,
                    bound.setting
                )
            };
            let remedy = if explicit.get(key).is_some() {
                format!("ask for `{}` or tighter, or leave it out", bound.setting)
            } else {
                format!("ask for a posture with {} `{}` or tighter", key.as_str(), bound.setting)
            };
            return Err(refused(what, bound.rule.clone(), remedy));
        }
    }
    Ok(())
}

/// The tightest of everything. What was chosen keeps its rule where a bound only says the same.
pub(super) fn join(chosen: Vec<Bound>, bounds: Vec<Bound>) -> Settled {
    let mut settings = Settings::default();
    let mut rules = BTreeMap::new();
    let all =
        chosen.into_iter().map(|bound| (false, bound)).chain(bounds.into_iter().map(|bound| (true, bound)));
    let mut ranked: Vec<_> = all.collect();
    // Of equals the chosen one, then the first by name: the order of the bounds does not matter.
    ranked.sort_by(|(a_bound, a), (b_bound, b)| {
        let tightness = b.setting.tightness().cmp(&a.setting.tightness());
        a.setting
            .key()
            .cmp(&b.setting.key())
            .then(tightness)
            .then(a_bound.cmp(b_bound))
            .then(a.rule.cmp(&b.rule))
    });
    for (_, bound) in ranked {
        let key = bound.setting.key();
        if settings.get(key).is_none() {
            settings.set(bound.setting);
            rules.insert(key, bound.rule);
        }
    }
    (settings, rules)
}

fn rule(settled: &Settled, key: Key) -> String {
    settled.1.get(&key).cloned().unwrap_or_else(|| BUILT_IN.to_owned())
}

fn asked_twice(request: &Request, held: Held, settled: &Settled) -> Result<(), PolicyError> {
    if held.isolation != Isolation::None || (request.allow_unconfined && request.posture.is_some()) {
        return Ok(());
    }
    Err(refused(
        "a session that nothing holds",
        format!("{}; isolation `none` must be asked for twice", rule(settled, Key::Isolation)),
        "name the posture and say it again: --posture L0 --yes-unconfined",
    ))
}

fn in_this_version(held: Held, settled: &Settled) -> Result<(), PolicyError> {
    let missing = |key: Key, what: String, remedy: &str| {
        Err(PolicyError::NotInThisVersion { what, rule: rule(settled, key), remedy: remedy.to_owned() })
    };
    let named = |key: Key| {
        let value = settled.0.get(key).map(|setting| setting.to_string()).unwrap_or_default();
        format!("{} `{value}`", key.as_str())
    };
    if matches!(held.isolation, Isolation::Vm | Isolation::Remote | Isolation::Managed) {
        return missing(Key::Isolation, named(Key::Isolation), "use posture L1 or L2");
    }
    if held.isolation == Isolation::Sandbox && held.network == Network::Host {
        let what = "network `host` in a sandbox".to_owned();
        return missing(Key::Network, what, "use network `public`, `allowlist` or `none`");
    }
    Ok(())
}

/// A setting that the others cannot hold is refused: nothing is promised that nothing keeps.
fn fit_together(held: Held, settled: &Settled) -> Result<(), PolicyError> {
    let cannot = |key: Key, holder: &str, remedy: &str| {
        let value = settled.0.get(key).map(|setting| setting.to_string()).unwrap_or_default();
        let what = format!("{holder} cannot hold {} `{value}`", key.as_str());
        Err(refused(what, rule(settled, key), remedy))
    };
    if held.isolation == Isolation::None {
        let holder = "isolation `none`";
        let remedy = "use posture L1 or L2";
        let tight = [
            (Key::Filesystem, held.filesystem != Filesystem::Host),
            (Key::Identity, held.identity != Identity::Caller),
            (Key::Network, held.network != Network::Host),
            (Key::Workspace, held.workspace != Workspace::Direct),
            (Key::State, held.state != State::Profile),
            (Key::TmpSize, settled.0.tmp_size.is_some()),
            (Key::HomeSize, settled.0.home_size.is_some()),
            (Key::UploadMax, settled.0.upload_max.is_some()),
            (Key::NameUploadMax, settled.0.name_upload_max.is_some()),
            (Key::OnGateLoss, settled.0.on_gate_loss.is_some()),
            (Key::Guard, settled.0.guard == Some(Guard::Require)),
        ];
        return match tight.into_iter().find(|(_, tight)| *tight) {
            Some((key, _)) => cannot(key, holder, remedy),
            None => Ok(()),
        };
    }
    if held.filesystem == Filesystem::Host {
        let remedy = "use `shared` or `listed`";
        return cannot(Key::Filesystem, "isolation `sandbox`", remedy);
    }
    if held.filesystem == Filesystem::Shared && held.identity == Identity::Leased {
        // A stranger cannot even pass through the person's home to the project.
        let remedy = "use posture L2, or filesystem `listed`";
        return cannot(Key::Identity, "filesystem `shared`", remedy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::{Memory, Tasks};
    use proptest::prelude::*;

    pub(crate) fn any_setting() -> impl Strategy<Value = Setting> {
        prop_oneof![
            proptest::sample::select(Isolation::ALL).prop_map(Setting::Isolation),
            proptest::sample::select(Network::ALL).prop_map(Setting::Network),
            proptest::sample::select(Workspace::ALL).prop_map(Setting::Workspace),
            proptest::sample::select(State::ALL).prop_map(Setting::State),
            (16u64 << 20..1 << 40)
                .prop_filter_map("size", |bytes| Memory::new(bytes).ok())
                .prop_map(Setting::MemoryMax),
            (8u32..9999).prop_filter_map("tasks", |tasks| Tasks::new(tasks).ok()).prop_map(Setting::TasksMax),
        ]
    }

    fn any_bounds() -> impl Strategy<Value = Vec<Bound>> {
        let bound = (any_setting(), "[a-d]").prop_map(|(setting, rule)| Bound { setting, rule });
        proptest::collection::vec(bound, 0..12)
    }

    proptest! {
        #[test]
        fn the_order_of_bounds_does_not_matter(
            chosen in any_bounds(),
            (bounds, shuffled) in any_bounds()
                .prop_flat_map(|bounds| (Just(bounds.clone()), Just(bounds).prop_shuffle())),
        ) {
            prop_assert_eq!(join(chosen.clone(), bounds), join(chosen, shuffled));
        }

        #[test]
        fn another_bound_never_loosens(chosen in any_bounds(), mut bounds in any_bounds(), more in any_setting()) {
            let before = join(chosen.clone(), bounds.clone()).0;
            bounds.push(Bound { setting: more, rule: "more".into() });
            let after = join(chosen, bounds).0;
            for setting in before.iter() {
                let now = after.get(setting.key()).unwrap();
                prop_assert!(now.tightness() >= setting.tightness());
            }
            prop_assert!(after.get(more.key()).unwrap().tightness() >= more.tightness());
        }
    }
}
