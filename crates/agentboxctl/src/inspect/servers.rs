//! Tool servers (Model Context Protocol) as agents' configurations name them.

use super::Notes;
use agentbox_policy::Sign;
use serde_json::Value;

/// A table of servers by name: `command` and `args`, or `url`.
pub(super) fn look(table: &Value, place: &str, notes: &mut Notes) {
    for (name, server) in table.as_object().into_iter().flatten() {
        notes.add(Sign::Server, place, format!("`{name}`: {}, which nothing pins", origin(server)));
        for (variable, _) in
            ["env", "environment"].iter().filter_map(|key| server[*key].as_object()).flatten()
        {
            super::settings::variable(variable, place, notes);
        }
    }
}

/// Where a server comes from.
fn origin(server: &Value) -> String {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    for key in ["url", "httpUrl", "serverUrl"] {
        if let Some(url) = server[key].as_str() {
            return format!("at {url}");
        }
    }
    let command = format!("{} {}", words(&server["command"]), words(&server["args"]));
    match command.trim() {
        "" => "of unknown origin".to_owned(),
        command => format!("runs `{command}`"),
    }
}
