//! Which files in a project make a program on the host act later, from `data/triggers.toml`.

use crate::{PolicyError, places};
use agentbox_plan::glob::PathGlob;
use agentbox_plan::trigger::{Hold, Trigger, Triggers};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// `data/triggers.toml`.
#[derive(Debug, Clone, Deserialize)]
struct File {
    brought: Vec<String>,
    #[serde(flatten)]
    actors: BTreeMap<String, Actor>,
}

/// What one actor acts on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Actor {
    everywhere: bool,
    refuse: Vec<Written>,
    judge: Vec<Written>,
    report: Vec<Written>,
}

/// A pattern as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Written(PathGlob);

impl TryFrom<String> for Written {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| format!("{text}: {error}"))
    }
}

/// The trigger files that are built in.
///
/// # Errors
/// [`PolicyError::Invalid`] when the list of this build cannot be read.
pub fn built_in_triggers() -> Result<&'static Triggers, PolicyError> {
    static ONCE: OnceLock<Result<Triggers, PolicyError>> = OnceLock::new();
    ONCE.get_or_init(|| {
        static FILE: OnceLock<Result<File, String>> = OnceLock::new();
        let File { brought, actors } =
            places::load(&FILE, "triggers.toml", include_str!("../data/triggers.toml"))?;
        let mut all = Vec::new();
        for (actor, lists) in actors {
            for (hold, list) in
                [(Hold::Refuse, &lists.refuse), (Hold::Judge, &lists.judge), (Hold::Report, &lists.report)]
            {
                all.extend(list.iter().map(|Written(pattern)| Trigger {
                    pattern: pattern.clone(),
                    hold,
                    actor: actor.clone(),
                    everywhere: lists.everywhere,
                }));
            }
        }
        Ok(Triggers { all, brought: brought.clone() })
    })
    .as_ref()
    .map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn hold(path: &str) -> Option<Hold> {
        let names: Vec<&str> = path.split('/').collect();
        built_in_triggers().unwrap().find(&names).map(|trigger| trigger.hold)
    }

    #[test]
    fn what_runs_by_itself_is_refused_wherever_it_lies() {
        for path in [
            ".git/hooks/pre-commit",
            "vendor/lib/.git/hooks/pre-commit",
            ".git/modules/lib/hooks/post-checkout",
            ".git/info/attributes",
            ".claude/settings.json",
            "packages/a/.claude/settings.local.json",
            ".mcp.json",
            ".vscode/tasks.json",
            "sub/.envrc",
            ".git/modules/lib/commondir",
            ".githooks/pre-push",
            ".husky/pre-push",
            ".husky/_/pre-push",
            ".devcontainer/devcontainer.json",
            ".hg/hgrc",
            ".jj/repo/config.toml",
            ".github/hooks/a.json",
            ".codex/rules/default.rules",
            ".config/mise/conf.d/a.toml",
            "sub/.irbrc",
            ".pi/extensions/a.ts",
        ] {
            assert_eq!(hold(path), Some(Hold::Refuse), "{path}");
        }
    }

    #[test]
    fn of_what_packages_bring_only_gits_own_is_refused() {
        let triggers = built_in_triggers().unwrap();
        let held =
            |path: &str| triggers.find_held(&path.split('/').collect::<Vec<_>>()).map(|(_, hold)| hold);
        for place in ["node_modules/p", "a/.venv/lib", "vendor/x", "target/debug/build/y"] {
            for name in [".vscode/settings.json", ".envrc", ".claude/settings.json", ".husky/pre-push"] {
                assert_eq!(held(&format!("{place}/{name}")), Some(Hold::Report), "{place}/{name}");
            }
            assert_eq!(held(&format!("{place}/.git/hooks/pre-commit")), Some(Hold::Refuse));
            assert_eq!(held(&format!("{place}/package.json")), None);
        }
        for trigger in triggers.all.iter().filter(|trigger| !trigger.everywhere) {
            assert!(!trigger.pattern.to_string().contains(".git/"), "{}", trigger.pattern);
        }
        assert!(
            triggers.brought.iter().all(|name| !name.is_empty() && !name.contains('/') && name.len() < 64)
        );
    }

    #[test]
    fn what_git_needs_to_change_is_judged_and_instructions_are_reported() {
        assert_eq!(hold(".git/config"), Some(Hold::Judge));
        assert_eq!(hold(".git/modules/a/b/config"), Some(Hold::Judge));
        assert_eq!(hold("docs/CLAUDE.md"), Some(Hold::Report));
        assert_eq!(hold("package.json"), Some(Hold::Report));
        assert_eq!(hold(".git"), Some(Hold::Report));
        for path in
            [".codex/new", ".github/dependabot.yml", ".vscode/new.json", "Cargo.toml", ".bundle/config"]
        {
            assert_eq!(hold(path), Some(Hold::Report), "{path}");
        }
        for directory in [".git", ".git/worktrees/tree", ".git/modules/a/b"] {
            for file in ["rebase-merge/git-rebase-todo", "rebase-apply/next", "sequencer/todo"] {
                assert_eq!(hold(&format!("{directory}/{file}")), Some(Hold::Report), "{directory}/{file}");
            }
        }
    }

    #[test]
    fn ordinary_files_are_not_on_the_list() {
        for path in [
            "src/main.rs",
            ".git/index",
            ".git/HEAD",
            ".git/refs/heads/main",
            "settings.json",
            ".claude/notes.md",
            ".claude/worktrees/a/src/main.rs",
            ".opencode/node_modules/a/index.js",
            ".env",
        ] {
            assert_eq!(hold(path), None, "{path}");
        }
    }

    #[test]
    fn no_pattern_stands_twice() {
        let triggers = built_in_triggers().unwrap();
        let patterns: BTreeSet<String> =
            triggers.all.iter().map(|trigger| trigger.pattern.to_string()).collect();
        assert_eq!(patterns.len(), triggers.all.len());
    }
}
