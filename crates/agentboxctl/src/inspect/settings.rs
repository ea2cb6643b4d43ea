//! What the settings say that agents find in a project: what runs by itself, what is no longer asked, and
//! what leads elsewhere.

use super::{Notes, servers};
use agentbox_policy::Sign;
use serde_json::Value;

/// `.claude/settings.json` and `.claude/settings.local.json`.
pub(crate) fn claude(value: &Value, place: &str, notes: &mut Notes) {
    let permissions = &value["permissions"];
    for rule in permissions["allow"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Some(why) = broad(rule) {
            notes.add(Sign::BroadRule, place, format!("`{rule}` is allowed without asking: {why}"));
        }
    }
    for mode in [&permissions["defaultMode"], &value["defaultMode"]].iter().filter_map(|mode| mode.as_str()) {
        if mode.eq_ignore_ascii_case("bypassPermissions") || mode.eq_ignore_ascii_case("dontAsk") {
            notes.add(Sign::Bypass, place, format!("the mode is `{mode}`"));
        }
    }
    for key in
        ["skipDangerousModePermissionPrompt", "dangerouslySkipPermissions", "enableAllProjectMcpServers"]
    {
        if value[key] == Value::Bool(true) {
            notes.add(Sign::Bypass, place, format!("`{key}` is set"));
        }
    }
    if value["sandbox"]["enabled"] == Value::Bool(false) {
        notes.add(Sign::Bypass, place, "its own sandbox is switched off");
    }
    for name in value["enabledMcpjsonServers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        notes.add(Sign::Bypass, place, format!("the tool server `{name}` is started without asking"));
    }
    hooks(&value["hooks"], place, notes);
    for key in ["apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "otelHeadersHelper"] {
        if let Some(command) = value[key].as_str() {
            notes.add(Sign::Hook, place, format!("`{key}` runs `{command}`"));
        }
    }
    for key in ["statusLine", "fileSuggestion"] {
        if let Some(command) = value[key]["command"].as_str() {
            notes.add(Sign::Hook, place, format!("`{key}` runs `{command}`"));
        }
    }
    for name in value["env"].as_object().into_iter().flat_map(|env| env.keys()) {
        variable(name, place, notes);
    }
    let plugins = value["enabledPlugins"].as_object().into_iter().flatten();
    for (name, _) in plugins.filter(|(_, enabled)| **enabled != Value::Bool(false)) {
        notes.add(Sign::Skill, place, format!("the plugin `{name}` is switched on"));
    }
    for name in value["extraKnownMarketplaces"].as_object().into_iter().flat_map(|all| all.keys()) {
        notes.add(Sign::Skill, place, format!("plugins are taken from `{name}`"));
    }
    servers::look(&value["mcpServers"], place, notes);
}

/// Hooks by event, each with commands somewhere below.
fn hooks(value: &Value, place: &str, notes: &mut Notes) {
    for (event, below) in value.as_object().into_iter().flatten() {
        let mut commands = Vec::new();
        commands_in(below, &mut commands, 0);
        for command in commands {
            notes.add(Sign::Hook, place, format!("at {event} it runs `{command}`"));
        }
    }
}

fn commands_in<'a>(value: &'a Value, commands: &mut Vec<&'a str>, depth: usize) {
    match value {
        _ if depth > 8 || commands.len() > 16 => {}
        Value::Array(items) => items.iter().for_each(|item| commands_in(item, commands, depth + 1)),
        Value::Object(fields) => {
            commands.extend(fields.get("command").and_then(Value::as_str));
            fields.values().for_each(|item| commands_in(item, commands, depth + 1));
        }
        _ => {}
    }
}

/// Programs that run whatever is handed to them.
const ANYTHING: &[&str] = &[
    "*", "sudo", "doas", "su", "pkexec", "run0", "sh", "bash", "zsh", "dash", "fish", "env", "xargs", "eval",
    "exec", "nohup", "python", "python3", "node", "deno", "bun", "ruby", "perl", "php", "npx", "uvx", "pipx",
    "ssh", "docker", "podman", "curl", "wget", "nc", "socat", "find", "awk", "make",
];

/// Why a rule that allows is broad; none when it is not. `Bash`, `Bash(*)`, `Bash(sudo:*)`, `Bash(sudo *)`.
pub(super) fn broad(rule: &str) -> Option<&'static str> {
    let rule = rule.trim();
    if rule == "*" {
        return Some("every tool");
    }
    let (tool, inside) = match rule.split_once('(') {
        Some((tool, rest)) => (tool.trim(), rest.trim_end_matches(')').trim()),
        None => (rule, "*"),
    };
    if !matches!(tool, "Bash" | "Shell" | "PowerShell") {
        return None;
    }
    // With a prefix, what follows is free; without, the command is what it says.
    let prefix = inside.strip_suffix(":*").or_else(|| inside.strip_suffix('*')).map(str::trim)?;
    let program = prefix.split_whitespace().next().unwrap_or("*");
    let program = program.rsplit('/').next().unwrap_or(program);
    match program {
        "" | "*" => Some("every command"),
        "sudo" | "doas" | "su" | "pkexec" | "run0" => Some("commands as root"),
        // `make test *` is about one target; `make *` is about all.
        program if ANYTHING.contains(&program) && prefix.split_whitespace().count() <= 1 => {
            Some("a program that runs whatever it is given")
        }
        _ => None,
    }
}

/// Variables that move where an agent's configuration is, whom it talks to, or what else runs.
const LEADING: &[&str] = &[
    "ALL_PROXY",
    "ANTHROPIC_API_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_VERTEX_BASE_URL",
    "BASH_ENV",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GEMINI_CLI_HOME",
    "GEMINI_CLI_SYSTEM_SETTINGS_PATH",
    "GIT_SSH_COMMAND",
    "GOOGLE_GEMINI_BASE_URL",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_PRELOAD",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "OPENAI_BASE_URL",
    "OPENCODE_CONFIG",
    "OPENCODE_CONFIG_DIR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "PYTHONSTARTUP",
    "SSL_CERT_FILE",
];

/// A variable that a project sets. Values are not told: they may be secrets.
pub(super) fn variable(name: &str, place: &str, notes: &mut Notes) {
    if LEADING.contains(&name.to_ascii_uppercase().as_str()) {
        notes.add(Sign::Redirect, place, format!("`{name}` is set"));
    }
}

/// `.env`: agents read it from where they are started.
pub(crate) fn variables(text: &str, place: &str, notes: &mut Notes) {
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("export ").trim_start();
        if let Some((name, _)) = line.split_once('=') {
            variable(name.trim(), place, notes);
        }
    }
}

/// `.codex/config.toml`.
pub(crate) fn codex(value: &Value, place: &str, notes: &mut Notes) {
    servers::look(&value["mcp_servers"], place, notes);
    let profiles = value["profiles"].as_object().into_iter().flat_map(|all| all.values());
    for table in profiles.chain([value]) {
        if table["approval_policy"] == "never" {
            notes.add(Sign::Bypass, place, "`approval_policy` is `never`");
        }
        if table["sandbox_mode"] == "danger-full-access" {
            notes.add(Sign::Bypass, place, "`sandbox_mode` is `danger-full-access`");
        }
    }
    for (name, provider) in value["model_providers"].as_object().into_iter().flatten() {
        if let Some(url) = provider["base_url"].as_str() {
            notes.add(Sign::Redirect, place, format!("the provider `{name}` is at {url}"));
        }
    }
    for key in ["chatgpt_base_url", "openai_base_url"] {
        if let Some(url) = value[key].as_str() {
            notes.add(Sign::Redirect, place, format!("`{key}` is {url}"));
        }
    }
    match &value["notify"] {
        Value::Null => {}
        command => {
            let mut words = Vec::new();
            words.extend(command.as_array().into_iter().flatten().filter_map(Value::as_str));
            notes.add(Sign::Hook, place, format!("`notify` runs `{}`", words.join(" ")));
        }
    }
    hooks(&value["hooks"], place, notes);
}

/// `.gemini/settings.json`.
pub(crate) fn gemini(value: &Value, place: &str, notes: &mut Notes) {
    servers::look(&value["mcpServers"], place, notes);
    for (name, server) in value["mcpServers"].as_object().into_iter().flatten() {
        if server["trust"] == Value::Bool(true) {
            notes.add(Sign::Bypass, place, format!("the tool server `{name}` is trusted without asking"));
        }
    }
    for mode in [&value["approvalMode"], &value["general"]["defaultApprovalMode"]] {
        if mode == "yolo" {
            notes.add(Sign::Bypass, place, "the mode is `yolo`");
        }
    }
    for key in ["discoveryCommand", "callCommand"] {
        if let Some(command) = value["tools"][key].as_str() {
            notes.add(Sign::Hook, place, format!("`tools.{key}` runs `{command}`"));
        }
    }
    hooks(&value["hooks"], place, notes);
}

/// `opencode.json`.
pub(crate) fn opencode(value: &Value, place: &str, notes: &mut Notes) {
    servers::look(&value["mcp"], place, notes);
    for plugin in value["plugin"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        notes.add(Sign::Skill, place, format!("the plugin `{plugin}` is loaded"));
    }
    for (name, provider) in value["provider"].as_object().into_iter().flatten() {
        if let Some(url) = provider["options"]["baseURL"].as_str() {
            notes.add(Sign::Redirect, place, format!("the provider `{name}` is at {url}"));
        }
    }
    let bash = &value["permission"]["bash"];
    if *bash == "allow" || bash["*"] == "allow" || value["permission"] == "allow" {
        notes.add(Sign::BroadRule, place, "every command is allowed without asking");
    }
}

/// JSON without comments and without commas before a closing bracket, as editors and some agents read it.
pub(crate) fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut in_text = false;
    while let Some(character) = characters.next() {
        match (in_text, character, characters.peek()) {
            (true, '\\', Some(_)) => {
                out.push(character);
                out.extend(characters.next());
                continue;
            }
            (_, '"', _) => in_text = !in_text,
            (false, '/', Some('/')) => {
                while characters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            (false, '/', Some('*')) => {
                characters.next();
                let mut last = ' ';
                for next in characters.by_ref() {
                    if (last, next) == ('*', '/') {
                        break;
                    }
                    last = next;
                }
                continue;
            }
            (false, ']' | '}', _) => {
                let end = out.trim_end().len();
                if out[..end].ends_with(',') {
                    out.truncate(end - 1);
                }
            }
            _ => {}
        }
        out.push(character);
    }
    out
}
