//! Which variables a session has. `HOME` and the others that agentbox sets itself come with the plan.

use super::choice::Choice;
use super::{Sources, refused};
use crate::config::{Line, SecretAs, VariableName};
use crate::environment::{self, Grant, MAX_VARIABLE_BYTES, OURS, Rules};
use crate::paths::expand_text;
use crate::policy::Variable;
use crate::preset::Preset;
use crate::secrets::{SecretGrant, SecretHow};
use crate::{Inputs, Opener, PassName, PolicyError};
use std::collections::BTreeMap;

pub(super) fn collect(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
    preset: &Preset,
    (secrets, signs): (&[SecretGrant], bool),
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Variable>, PolicyError> {
    let rules = Rules::load()?;
    check_ceiling(sources, choice, rules)?;
    let profile = choice.table.and_then(|(_, table)| table.env.as_ref());
    let file = sources.file.and_then(|file| file.config.env.as_ref()?.pass.as_ref());
    // By the letter: a name that a wildcard covers may be one that the wildcard does not pass.
    let kept = |name: &&PassName| file.is_none_or(|file| file.contains(name));
    let granted: Vec<_> =
        profile.and_then(|env| env.pass.as_ref()).into_iter().flatten().filter(kept).collect();
    let needed: Vec<_> = preset.env.pass.iter().flatten().filter(kept).collect();
    let preset_rule = format!("preset {}", choice.agent.value);

    let mut variables = BTreeMap::new();
    for (name, value) in inputs.environment {
        if VariableName::new(name.as_str()).is_err() || OURS.contains(&name.as_str()) {
            continue;
        }
        let denied = rules.is_denied(name);
        let by_profile = environment::grant(granted.iter().map(|name| name.as_str()), name);
        let by_preset = environment::grant(needed.iter().map(|name| name.as_str()), name);
        let origin = if by_profile == Grant::Exact || (by_profile == Grant::Wildcard && !denied) {
            choice.profile_rule("env.pass")
        } else if by_preset != Grant::Absent && !denied {
            preset_rule.clone()
        } else if rules.passes(name) {
            "built-in: environment.toml".to_owned()
        } else {
            continue;
        };
        if value.contains('\0') || name.len() + value.len() + 2 > MAX_VARIABLE_BYTES {
            warnings.push(format!("the variable {name} is too long to pass"));
            continue;
        }
        variables.insert(name.clone(), Variable { value: value.clone(), passed: true, origin });
    }

    let home = &inputs.person.home;
    let mut set = |name: &str, value: &str, origin: String| {
        variables
            .insert(name.to_owned(), Variable { value: expand_text(value, home), passed: false, origin });
    };
    for (name, value) in &preset.env.set {
        set(name.as_str(), value, preset_rule.clone());
    }
    for (name, value) in profile.iter().flat_map(|env| &env.set) {
        set(name.as_str(), value, choice.profile_rule(&format!("env.set.{name}")));
    }
    for (name, value, origin) in git_settings(inputs, choice, secrets, signs) {
        set(&name, &value, origin);
    }
    for grant in secrets {
        if grant.how == SecretHow::File
            && let Some(path) = grant.path_inside()
        {
            set(&grant.name, &path, grant.origin.clone());
        }
    }
    for (name, value, origin) in git(inputs, choice) {
        variables.insert(name.to_owned(), Variable { value, passed: false, origin });
    }
    Ok(variables)
}

/// The secrets of the profile.
pub(super) fn secrets(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
) -> Result<Vec<SecretGrant>, PolicyError> {
    let Some((source, env)) = choice.table.and_then(|(source, table)| Some((source, table.env.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    let by = if sources.is_person(source) { Opener::Person } else { Opener::System };
    let mut grants = Vec::new();
    for (name, secret) in &env.secrets {
        let origin = choice.profile_rule(&format!("env.{name}"));
        if OURS.contains(&name.as_str()) {
            return Err(refused(
                format!("`{name}` as a secret: agentbox sets it itself"),
                origin,
                "choose another name",
            ));
        }
        let how = match (&secret.git, secret.how) {
            (Some(host), None) => SecretHow::Git(host.as_str().to_owned()),
            (None, Some(SecretAs::File)) => SecretHow::File,
            (None, _) => SecretHow::Env,
            (Some(_), Some(_)) => {
                let remedy =
                    "say one of them: what git answers is in neither a variable nor a file of its own";
                return Err(refused(format!("`as` and `git` of the secret `{name}`"), origin, remedy));
            }
        };
        let path = crate::paths::expand(&secret.file, &inputs.person.home);
        grants.push(SecretGrant { name: name.to_string(), path, by, how, origin });
    }
    Ok(grants)
}

/// What git is told, above every file that it reads (git-config(1), GIT_CONFIG_COUNT): no helper of the host's
/// is there, and nothing to sign with.
fn git_settings(
    inputs: &Inputs<'_>,
    choice: &Choice<'_>,
    secrets: &[SecretGrant],
    signs: bool,
) -> Vec<(String, String, String)> {
    if choice.posture.value == "L0" || inputs.request.allow_unconfined {
        return Vec::new();
    }
    let built_in = || "built-in: git inside".to_owned();
    // An empty helper forgets those that were named before (gitcredentials(7)).
    let mut settings = vec![("credential.helper".to_owned(), String::new(), built_in())];
    // For dumb transports, which nobody uses over a project's own directory, and into a directory that is held
    // (git-repack(1)).
    settings.push(("repack.updateServerInfo".to_owned(), "false".to_owned(), built_in()));
    // The bit by which a directory hands its group on is refused with all others of its kind, and git, told to set it
    // where a group shares a repository, would end with an error. Directories have it by themselves of the one above
    // them (inode(7)), and what is written is the group's to write where the person's mask is 0002.
    settings.push(("core.sharedRepository".to_owned(), "false".to_owned(), built_in()));
    if !signs {
        settings.push(("commit.gpgSign".to_owned(), "false".to_owned(), built_in()));
        settings.push(("tag.gpgSign".to_owned(), "false".to_owned(), built_in()));
    }
    for grant in secrets {
        if let (SecretHow::Git(host), Some(path)) = (&grant.how, grant.path_inside()) {
            // Of its words the path alone is not fixed, and that is made of a variable's name.
            let helper = format!("!cat {path} #");
            settings.push((format!("credential.https://{host}.helper"), helper, grant.origin.clone()));
        }
    }
    let count = ("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string(), built_in());
    let each = settings.into_iter().enumerate().flat_map(|(at, (key, value, origin))| {
        [
            (format!("GIT_CONFIG_KEY_{at}"), key, origin.clone()),
            (format!("GIT_CONFIG_VALUE_{at}"), value, origin),
        ]
    });
    each.chain([count]).collect()
}

/// The author of commits: the profile's, else the person's.
fn git(inputs: &Inputs<'_>, choice: &Choice<'_>) -> Vec<(&'static str, String, String)> {
    let profile = choice.table.and_then(|(_, table)| table.git.as_ref());
    let line = |text: &String| Line::new(text.as_str()).ok();
    let person = inputs.git_identity.as_ref();
    let name = match profile.and_then(|git| git.name.clone()) {
        Some(name) => Some((name, choice.profile_rule("git.name"))),
        None => person.and_then(|(name, _)| Some((line(name)?, "git config user.name".to_owned()))),
    };
    let email = match profile.and_then(|git| git.email.clone()) {
        Some(email) => Some((email, choice.profile_rule("git.email"))),
        None => person.and_then(|(_, email)| Some((line(email)?, "git config user.email".to_owned()))),
    };
    let mut variables = Vec::new();
    if let Some((name, origin)) = name {
        variables.push(("GIT_AUTHOR_NAME", name.to_string(), origin.clone()));
        variables.push(("GIT_COMMITTER_NAME", name.to_string(), origin));
    }
    if let Some((email, origin)) = email {
        variables.push(("GIT_AUTHOR_EMAIL", email.to_string(), origin.clone()));
        variables.push(("GIT_COMMITTER_EMAIL", email.to_string(), origin));
    }
    variables
}

/// What the profile of a person's own file passes and sets must be within `ceiling.env`.
fn check_ceiling(sources: &Sources<'_>, choice: &Choice<'_>, rules: &Rules) -> Result<(), PolicyError> {
    let ceiling = sources.system.config.ceiling.as_ref().and_then(|ceiling| ceiling.env.as_ref());
    let (Some(ceiling), Some((source, table))) = (ceiling, choice.table) else { return Ok(()) };
    if !sources.is_person(source) {
        return Ok(());
    }
    let env = table.env.as_ref();
    let pass = env.and_then(|env| env.pass.as_ref()).into_iter().flatten().map(PassName::as_str);
    let set = env.into_iter().flat_map(|env| env.set.keys()).map(VariableName::as_str);
    let secret = env.into_iter().flat_map(|env| env.secrets.keys()).map(VariableName::as_str);
    let all = pass.map(|name| ("env.pass", name)).chain(set.map(|name| ("env.set", name)));
    for (key, name) in all.chain(secret.map(|name| ("env", name))) {
        let covered = match environment::grant(ceiling.iter().map(PassName::as_str), name) {
            Grant::Exact => true,
            Grant::Wildcard => !rules.is_denied(name),
            Grant::Absent => false,
        };
        if !covered {
            return Err(refused(
                format!("the variable `{name}` ({})", choice.profile_rule(key)),
                sources.system.rule("ceiling.env"),
                "remove it, or ask the administrator to add exactly that name there",
            ));
        }
    }
    Ok(())
}
