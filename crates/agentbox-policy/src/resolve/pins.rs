//! What the profile puts into the session, and where the agent looks for it.

use super::grants;
use super::refused;
use crate::config::{HostPath, PinnedPath};
use crate::paths::{expand, expand_text, is_within};
use crate::pins::Pin;
use crate::policy::{Grant, Held};
use crate::text::printable;
use crate::{Filesystem, Isolation, Opener, PolicyError};

pub(super) fn collect(context: &grants::Context<'_, '_>, held: Held) -> Result<Vec<Pin>, PolicyError> {
    let choice = context.choice;
    let Some((source, table)) = choice.table.filter(|_| held.isolation != Isolation::None) else {
        return Ok(Vec::new());
    };
    let home = &context.inputs.person.home;
    let inputs = &context.preset.inputs;
    let mut wanted: Vec<(&str, &PinnedPath, Option<&HostPath>)> = Vec::new();
    wanted.extend(table.skills.iter().flatten().map(|path| ("skills", path, inputs.skills.as_ref())));
    for (key, path, place) in [
        ("mcp", &table.mcp, &inputs.mcp),
        ("instructions", &table.instructions, &inputs.instructions),
        ("settings", &table.settings, &inputs.settings),
    ] {
        wanted.extend(path.iter().map(|path| (key, path, place.as_ref())));
    }
    let mut pins: Vec<Pin> = Vec::new();
    for (key, pinned, place) in wanted {
        let origin = choice.profile_rule(key);
        let Some(place) = place else {
            // A profile is for several agents; what one of them has no place for, another one has.
            continue;
        };
        let path = expand_text(pinned.path(), home);
        let name = path.rsplit('/').next().unwrap_or_default();
        let inside = match key {
            "skills" => format!("{}/{name}", expand(place, home)),
            _ => expand(place, home),
        };
        if held.filesystem != Filesystem::Listed && !is_within(&inside, home) {
            return Err(refused(
                format!(
                    "`{key}` at `{}`, where filesystem `{}` has the host's files",
                    inside, held.filesystem
                ),
                origin,
                "use posture L2, or take it out of the profile",
            ));
        }
        let own = context.sources.is_person(source);
        let by = if own { Opener::Person } else { Opener::System };
        let grant =
            Grant { path: path.clone(), write: false, preset: false, git: false, origin: origin.clone() };
        grants::check_pin(context, &grant, own)?;
        if pins.iter().any(|other| other.inside == inside) {
            let what = format!("two skills of the name `{}`", printable(name));
            return Err(refused(what, origin, "give one of them another name"));
        }
        pins.push(Pin { path, hash: pinned.hash().map(str::to_owned), by, inside, origin });
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use crate::Opener;
    use crate::fixture::{World, planned};

    fn world(profile: &str) -> World {
        World::new()
            .own(&format!("[profile.w]\nagent = \"claude\"\n{profile}"))
            .ask(|request| request.profile = Some("w".into()))
    }

    #[test]
    fn what_a_profile_names_is_where_the_agent_looks() {
        let hash = "ab".repeat(32);
        let policy = world(&format!(
            "skills = [\"~/skills/review#sha256:{hash}\"]\nmcp = \"~/mcp.json\"\ninstructions = \"~/mine.md\""
        ));
        let policy = policy.resolve().unwrap();
        let seen: Vec<_> = policy.pins().iter().map(|pin| (pin.inside.as_str(), pin.by)).collect();
        assert_eq!(
            seen,
            [
                ("/home/me/.claude/skills/review", Opener::Person),
                ("/etc/claude-code/managed-mcp.json", Opener::Person),
                ("/home/me/.claude/CLAUDE.md", Opener::Person)
            ]
        );
        assert_eq!(policy.pins()[0].hash.as_deref(), Some(hash.as_str()));
        // They take the place of what the preset renders.
        assert!(policy.rendered.iter().all(|file| file.path != "/home/me/.claude/CLAUDE.md"));
        assert!(planned(&policy).is_ok());
    }

    #[test]
    fn what_a_person_pins_is_within_the_ceiling() {
        let pinned = "skills = [\"~/skills/review\"]";
        for (ceiling, above) in [("~/skills", false), ("/opt", true)] {
            let world = world(pinned).system(&format!("[ceiling]\nread = [\"{ceiling}\"]"));
            assert_eq!(world.resolve().is_err(), above, "{ceiling}");
        }
    }

    #[test]
    fn what_is_secret_or_closed_is_no_skill() {
        for path in ["~/.ssh", "~/.aws/x", "/proc/self"] {
            assert!(
                world(&format!("skills = [\"{path}\"]")).refusal().contains("profile.w.skills"),
                "{path}"
            );
        }
    }
}
