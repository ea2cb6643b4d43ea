//! agentbox.toml(5): every key of the table of keys, in the words of the schema.

use super::page::Page;
use agentbox_policy::LayerKind;
use agentbox_policy::lattice::TABLE;
use serde_json::Value;

pub(super) fn page() -> Vec<u8> {
    let schema = serde_json::to_value(agentbox_policy::schema()).unwrap_or_default();
    let mut page = Page::new("agentbox.toml", "5", "configuration of agentbox");
    page.section("SYNOPSIS");
    for (file, says) in [
        (
            "/etc/agentbox/agentbox.toml, /etc/agentbox/conf.d/*.toml",
            "The system's, read by the supervisor; merged in this order, key by key.",
        ),
        (
            "~/.config/agentbox/agentbox.toml",
            "The person's: profiles, projects and postures of their own, within the floor and the ceiling of the system.",
        ),
        (".agentbox.toml", "In a project, by whoever wrote it: it can only tighten."),
    ] {
        page.item(file, says);
    }
    page.section("DESCRIPTION");
    page.text(
        "TOML, or JSON where the name ends in .json. *agentboxctl check* reads a file without using it, *agentboxctl \
         schema* prints the JSON schema, *agentboxctl explain* shows every value of a session and where it comes from.",
    );
    page.text(
        "A session begins with its posture; what the command line asks for takes the place of the posture's value. Then \
         the *tightest* of everything that bounds the session holds: the system's *floor*, the profile, the project's entry \
         and its own file. What was asked for by name and is looser than a bound is refused.",
    );
    page.text(
        "What is unknown is an error that names the file, the line and the nearest key. A file has at most 1 MiB. Sizes \
         are bytes or end in K, M, G, T; times end in s, m, h, d. *NAME* below is a name of your own.",
    );
    page.section("KEYS");
    for row in TABLE {
        let says = says(&schema, row.key).unwrap_or_default();
        page.item(row.key, &says.replace(['\n', '*', '`'], " "));
        let order = if row.order == "–" { String::new() } else { format!("; {}", row.order) };
        let who: Vec<&str> = row.who.iter().copied().map(whose).collect();
        page.aside(
            &format!("{}; default: {}{order}; in files of: {}", row.takes, row.default, who.join(", "))
                .replace('`', ""),
        );
    }
    page.section("EXAMPLE");
    page.example(
        "[floor]\nnetwork = \"public\"\n\n[profile.work]\nallow = [\"@github\", \"*.example.org\"]\n\n\
         [project.website]\npath = \"~/src/website\"\nprofile = \"work\"",
    );
    page.see_also(&[
        "agentboxctl(1)",
        "agentboxctl-check(1)",
        "agentboxctl-explain(1)",
        "agentbox(7)",
        "agentboxd(8)",
    ]);
    page.finish()
}

fn whose(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::System => "the system",
        LayerKind::Person => "the person",
        LayerKind::Project => "the project",
    }
}

/// What the schema says about a key, or about the table that it stands in.
fn says(schema: &Value, key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('.').collect();
    (1..=parts.len()).rev().find_map(|length| described(schema, schema, &parts[..length]))
}

fn described(schema: &Value, at: &Value, parts: &[&str]) -> Option<String> {
    let at = target(schema, at);
    let Some((first, rest)) = parts.split_first() else {
        return at["description"].as_str().map(str::to_owned);
    };
    let named = at["properties"].get(first);
    let others = || at["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
    let next =
        named.or_else(others).or_else(|| at.get("additionalProperties").filter(|next| next.is_object()))?;
    let own = || next["description"].as_str().map(str::to_owned);
    match rest {
        [] => own().or_else(|| described(schema, next, rest)),
        _ => described(schema, next, rest),
    }
}

/// What a reference means, and a choice between something and nothing.
fn target<'a>(schema: &'a Value, at: &'a Value) -> &'a Value {
    if let Some(name) = at["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return target(schema, &schema["$defs"][name]);
    }
    match at["anyOf"].as_array().and_then(|choices| choices.first()) {
        Some(first) => target(schema, first),
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_on_the_page_and_is_described() {
        let page = String::from_utf8(page()).unwrap();
        let schema = serde_json::to_value(agentbox_policy::schema()).unwrap();
        for row in TABLE {
            assert!(page.contains(row.key), "{}", row.key);
            assert!(says(&schema, row.key).is_some_and(|says| !says.is_empty()), "{}", row.key);
        }
    }
}
