//! What of the agent's own files outlives the session.

use super::choice::Choice;
use super::{Sources, bounds, refused};
use crate::kept::{DIRECTORY_BYTES, DIRECTORY_FILE_BYTES, FILE_BYTES, Kept, KeptWhat};
use crate::plan::project_key;
use crate::policy::{Held, Sourced};
use crate::preset::{Keep, Preset};
use crate::{Inputs, Isolation, PolicyError, State};

pub(super) fn collect(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
    preset: &Preset,
    held: Held,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sourced<Kept>>, PolicyError> {
    let Some(profile) = choice.profile.as_ref().filter(|_| held.isolation != Isolation::None) else {
        return without_login(inputs, choice, Vec::new());
    };
    let named = choice.table.and_then(|(_, table)| table.persist.as_ref());
    // What a posture keeps is the default; what is named is kept unless somebody says otherwise.
    let bound = bounds::state_bound(inputs, sources, choice);
    let (scope, rule) = match (named, bound) {
        (Some(_), Some((state, rule))) => (state, rule),
        (Some(_), None) => (State::Profile, choice.profile_rule("persist")),
        (None, _) => (held.state, choice.profile_rule("state")),
    };
    let wanted = |item: &str| {
        let name = format!("{}:{item}", choice.agent.value);
        named.is_none_or(|list| list.iter().any(|kept| kept.as_str() == name))
    };
    if scope == State::Ephemeral {
        if named.is_some_and(|list| !list.is_empty()) {
            warnings.push(format!("nothing that `persist` names is kept: {rule}"));
        }
        return without_login(inputs, choice, Vec::new());
    }
    let mut all = Vec::new();
    for (item, keep) in preset.keep.iter().filter(|(item, _)| wanted(item)) {
        let key = match (keep, scope) {
            (Keep::File { .. }, State::Profile) => "shared".to_owned(),
            // Conversations are the project's, whatever else is shared.
            _ => project_key(&inputs.project.path),
        };
        let mut store = vec![inputs.person.uid.to_string(), profile.value.clone()];
        store.extend(key.split('/').map(str::to_owned));
        store.push(format!("{}.{item}", choice.agent.value));
        let what = match keep {
            Keep::File { .. } => KeptWhat::File { max_bytes: FILE_BYTES },
            Keep::Directory { suffixes, .. } => KeptWhat::Directory {
                suffixes: suffixes.clone(),
                max_file_bytes: DIRECTORY_FILE_BYTES,
                max_bytes: DIRECTORY_BYTES,
            },
        };
        let path = format!("{}/{}", inputs.person.home, keep.path());
        let name = format!("{}:{item}", choice.agent.value);
        let origin = if named.is_some() { choice.profile_rule("persist") } else { rule.clone() };
        all.push(Sourced::new(Kept { name, path, store, what }, origin));
    }
    without_login(inputs, choice, all)
}

/// A login that nothing keeps is none.
fn without_login(
    inputs: &Inputs<'_>,
    choice: &Choice<'_>,
    kept: Vec<Sourced<Kept>>,
) -> Result<Vec<Sourced<Kept>>, PolicyError> {
    let keeps = kept.iter().any(|kept| matches!(kept.value.what, KeptWhat::File { .. }));
    if !inputs.request.login || keeps {
        return Ok(kept);
    }
    let agent = &choice.agent.value;
    Err(refused(
        format!("a login of `{agent}` that nothing would keep"),
        choice.profile_rule("persist"),
        format!("say persist = [\"{agent}:credentials\"] in the profile"),
    ))
}

#[cfg(test)]
mod tests {
    use crate::fixture::World;
    use crate::{KeptWhat, Policy, State};

    fn world(profile: &str) -> World {
        World::new()
            .system(&format!("[profile.w]\nagent = \"claude\"\n{profile}"))
            .ask(|request| request.profile = Some("w".into()))
    }

    fn stores(policy: &Policy) -> Vec<String> {
        policy.kept().map(|kept| kept.store.join("/")).collect()
    }

    #[test]
    fn nothing_is_kept_that_nobody_named() {
        assert_eq!(stores(&world("").resolve().unwrap()), Vec::<String>::new());
        let other = world("persist = [\"codex:credentials\"]");
        assert_eq!(stores(&other.resolve().unwrap()), Vec::<String>::new());
        let unbound = world("persist = [\"claude:credentials\"]").ask(|request| request.profile = None);
        let unbound = unbound.ask(|request| request.agent = Some("claude".into()));
        assert_eq!(stores(&unbound.resolve().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn logins_are_the_profiles_and_conversations_the_projects() {
        let both = world("persist = [\"claude:credentials\", \"claude:history\"]");
        let policy = both.resolve().unwrap();
        assert_eq!(
            stores(&policy),
            ["1000/w/shared/claude.credentials", "1000/w/-home-me-src-site/claude.history"]
        );
        for (one, other) in [("/a/b-c", "/a-b/c"), ("/a b", "/a%20b")] {
            let at = |path: &str| stores(&both.clone().at(path).resolve().unwrap()).pop().unwrap();
            assert_ne!(at(one), at(other));
        }
        assert!(policy.kept().any(|kept| matches!(kept.what, KeptWhat::Directory { .. })));
    }

    #[test]
    fn whoever_bounds_the_state_bounds_what_is_kept() {
        let named = "persist = [\"claude:credentials\"]";
        for bound in
            [world(&format!("{named}\nstate = \"ephemeral\"")), world(named).file("state = \"ephemeral\"")]
        {
            let policy = bound.resolve().unwrap();
            assert_eq!(stores(&policy), Vec::<String>::new());
            assert!(policy.warnings().iter().any(|warning| warning.contains("persist")));
        }
        let asked = world(named).ask(|request| request.state = Some(State::Ephemeral));
        assert_eq!(stores(&asked.resolve().unwrap()), Vec::<String>::new());
        let project = world(&format!("{named}\nstate = \"project\""));
        assert_eq!(stores(&project.resolve().unwrap()), ["1000/w/-home-me-src-site/claude.credentials"]);
    }

    #[test]
    fn a_state_that_keeps_keeps_what_there_is_to_keep() {
        let asked = world("").ask(|request| request.state = Some(State::Project));
        assert_eq!(stores(&asked.resolve().unwrap()).len(), 2);
    }

    #[test]
    fn a_login_needs_something_that_keeps_it() {
        let login = |profile: &str| world(profile).ask(|request| request.login = true);
        assert!(login("").refusal().contains("claude:credentials"));
        let policy = login("persist = [\"claude:credentials\"]").resolve().unwrap();
        assert!(policy.values().iter().any(|value| value.key == "command" && value.value.contains("login")));
    }

    #[test]
    fn names_of_what_is_kept_are_known_ones() {
        let wrong = World::new().own("[profile.w]\npersist = [\"claude:everything\"]");
        assert!(wrong.refusal().contains("claude:"), "{}", wrong.refusal());
    }
}
