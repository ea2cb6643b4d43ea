//! docs/dbus.md: the interfaces on the bus, made of what is published of them, of the table of who may call what, and
//! of what the contract's own sources say about each method and member.

use agentbox_ipc::{BUS_NAME, ERROR_PREFIX, INTERFACE, METHODS, Method, PATH, Rule, SESSION_INTERFACE};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;

const MANAGER: &str = include_str!("../../../crates/agentbox-ipc/interface.xml");
const SESSION: &str = include_str!("../../../crates/agentbox-ipc/session.xml");
const PROXY: &str = include_str!("../../../crates/agentbox-ipc/src/proxy.rs");
const ERRORS: &str = include_str!("../../../crates/agentbox-ipc/src/error.rs");
const TYPES: &[&str] = &[
    include_str!("../../../crates/agentbox-ipc/src/start.rs"),
    include_str!("../../../crates/agentbox-ipc/src/session.rs"),
    include_str!("../../../crates/agentbox-ipc/src/network.rs"),
    include_str!("../../../crates/agentbox-ipc/src/review.rs"),
    include_str!("../../../crates/agentbox-ipc/src/report.rs"),
    include_str!("../../../crates/agentbox-ipc/src/keys.rs"),
    include_str!("../../../crates/agentbox-ipc/src/supervisor.rs"),
];

/// Something that has a comment: a function, a member, a variant, a type.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    name: String,
    /// Type of a member.
    takes: String,
    says: String,
    /// Members or variants of a type.
    inner: Vec<Said>,
    is_enum: bool,
}

/// The page.
pub(crate) fn page() -> Result<String> {
    let types: Vec<Said> = TYPES.iter().flat_map(|source| types(source)).collect();
    let proxy = functions(PROXY);
    let mut page = format!(
        "# On the bus\n\nWritten by `cargo xtask dist`, from the interfaces that are published and from what `agentbox-ipc` says of them.\n\n\
         The supervisor is `{BUS_NAME}` on the system bus, with the interface `{INTERFACE}` at `{PATH}`. Each session has an object, \
         `{PATH}/session/ID`, with `{SESSION_INTERFACE}`, for its owner and root; to everybody else it is not there. Embedded, the same \
         manager is served peer to peer on a socket, to whoever the kernel says it is, and the objects to who has called `Subscribe`. Who may use it at all, and what polkit is asked: \
         [SERVICE.md](SERVICE.md#who-may-do-what).\n\nWhat is structured is `a{{sv}}`: integers are `t`, lists `av`, what is absent has no \
         key. Keys that a table does not have are refused by name.\n\n## `{INTERFACE}`\n"
    );
    for (name, xml) in elements(MANAGER, "method") {
        let said = proxy.iter().find(|said| camel(&said.name) == name);
        let said = said.with_context(|| format!("nothing is said about {name}"))?;
        let method = METHODS.iter().find(|(_, known, _, _)| *known == name);
        let (method, ..) = method.with_context(|| format!("{name} is in no table"))?;
        write!(
            page,
            "\n### `{}`\n\n{}\n\n*Who:* {}\n",
            signature(name, xml),
            linked(&said.says),
            who(*method)
        )?;
    }
    page.push_str("\n### Signals\n\nTo those who called `Subscribe`, and to them alone.\n\n");
    for (name, xml) in elements(MANAGER, "signal") {
        let said = proxy.iter().find(|said| camel(&said.name) == name);
        let says =
            said.map(|said| linked(&said.says)).with_context(|| format!("nothing is said about {name}"))?;
        writeln!(page, "* `{}`: {says}", signature(name, xml))?;
    }
    write!(page, "\n## `{SESSION_INTERFACE}`\n\nThe same methods without the id:\n\n")?;
    for (name, xml) in elements(SESSION, "method") {
        writeln!(page, "* `{}`", signature(name, xml))?;
    }
    page.push_str("\nProperties; `State` and `Frozen` change:\n\n");
    let mut comment = String::new();
    for line in SESSION.lines().map(str::trim) {
        if let (Some(name), Some(takes)) = (attribute(line, "property name"), attribute(line, "type")) {
            let says = if comment.is_empty() { String::new() } else { format!(": {comment}") };
            writeln!(page, "* `{takes} {name}`{says}")?;
            comment.clear();
        } else if !line.starts_with('<') && !line.starts_with("-->") {
            line.clone_into(&mut comment);
        }
    }
    page.push_str("\n## Tables\n");
    for said in types.iter().filter(|said| !said.is_enum) {
        write!(page, "\n### {}\n\n{}\n\n| key | holds | |\n|---|---|---|\n", said.name, linked(&said.says))?;
        for member in &said.inner {
            writeln!(
                page,
                "| `{}` | {} | {} |",
                member.name,
                holds(&member.takes, &types),
                linked(&member.says)
            )?;
        }
    }
    write!(page, "\n## Errors\n\nThe text is one to three lines for a person.\n\n")?;
    let errors = types_in_order(ERRORS, "Error").context("no errors")?;
    for error in errors.inner.iter().filter(|error| error.name != "Transport") {
        writeln!(page, "* `{ERROR_PREFIX}.{}`: {}", error.name, linked(&error.says))?;
    }
    Ok(page)
}

fn who(method: Method) -> String {
    let rule = match method.rule() {
        Rule::User => "everybody who may use the supervisor",
        Rule::OwnSession => "the owner of the session, and root",
        Rule::Root => "root",
    };
    match method.action() {
        Some(action) => format!("{rule}; what that refuses, polkit may grant: `{}`", action.id()),
        None => rule.to_owned(),
    }
}

/// Elements of this kind with their names, in order.
fn elements<'a>(xml: &'a str, kind: &str) -> Vec<(&'a str, &'a str)> {
    let (begin, end) = (format!("<{kind} name=\""), format!("</{kind}>"));
    let parts = xml.split(begin.as_str()).skip(1);
    parts.filter_map(|part| part.split(end.as_str()).next()?.split_once('"')).collect()
}

fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// `Start(h project, a{sv} request) → (a{sv} answer, h console)`
fn signature(name: &str, xml: &str) -> String {
    let arguments = |out: bool| {
        let lines = xml.lines().filter(|line| line.contains("<arg "));
        let of_side = lines.filter(|line| line.contains("direction=\"out\"") == out);
        let words = of_side
            .filter_map(|line| Some(format!("{} {}", attribute(line, "type")?, attribute(line, "name")?)));
        words.collect::<Vec<_>>().join(", ")
    };
    match arguments(true) {
        answer if answer.is_empty() => format!("{name}({})", arguments(false)),
        answer => format!("{name}({}) → ({answer})", arguments(false)),
    }
}

/// What a member holds, in words.
fn holds(takes: &str, types: &[Said]) -> String {
    if let Some(inner) = takes.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("{}, or nothing", holds(inner, types));
    }
    if let Some(inner) = takes.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("list of: {}", holds(inner, types));
    }
    match takes {
        "String" => "text".to_owned(),
        "bool" => "`true` or `false`".to_owned(),
        "u16" | "u32" | "u64" => "number".to_owned(),
        "[bool; 3]" => "three of `true` or `false`".to_owned(),
        "ValueRow" => "key, value, origin".to_owned(),
        "BTreeMap<String, String>" => "table of texts".to_owned(),
        other => match types.iter().find(|said| said.name == other) {
            Some(said) if said.is_enum => {
                let words = said.inner.iter().map(|variant| format!("`{}`", kebab(&variant.name)));
                words.collect::<Vec<_>>().join(", ")
            }
            Some(_) => format!("[{other}](#{})", other.to_lowercase()),
            None => format!("table, `{other}` of `agentbox-policy`"),
        },
    }
}

/// A comment with its links led to this page.
fn linked(says: &str) -> String {
    let mut text = String::new();
    let mut rest = says;
    while let Some((before, behind)) = rest.split_once("](crate::") {
        let (name, after) = behind.split_once(')').unwrap_or((behind, ""));
        let _ = write!(text, "{before}](#{})", name.to_lowercase());
        rest = after;
    }
    // A name without an address is a constant of the crate.
    (text + rest).replace("[`MAX_DESTINATIONS`]", &agentbox_ipc::MAX_DESTINATIONS.to_string())
}

/// Functions with their comments.
fn functions(source: &str) -> Vec<Said> {
    let mut functions = Vec::new();
    commented(source.lines(), |line, says| {
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        functions.extend(name.map(|name| Said { name: name.to_owned(), says, ..Said::default() }));
    });
    functions
}

fn types_in_order(source: &str, name: &str) -> Option<Said> {
    types(source).into_iter().find(|said| said.name == name)
}

/// Structures and enumerations with what is in them, in order.
fn types(source: &str) -> Vec<Said> {
    let source = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut types: Vec<Said> = Vec::new();
    let mut is_open = false;
    commented(source.lines(), |line, says| {
        let head = ["pub struct ", "pub enum "].iter().find_map(|head| line.strip_prefix(head));
        if let Some(name) = head.and_then(|rest| rest.strip_suffix(" {")) {
            let is_enum = line.starts_with("pub enum");
            types.push(Said { name: name.to_owned(), says, is_enum, ..Said::default() });
            is_open = true;
        } else if line == "}" {
            is_open = false;
        } else if let Some(said) = types.last_mut().filter(|_| is_open) {
            let line = line.trim_end_matches(',');
            let member = match line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
                Some((name, takes)) => {
                    Said { name: name.to_owned(), takes: takes.to_owned(), says, ..Said::default() }
                }
                None => {
                    let name = line.split('(').next().unwrap_or(line).to_owned();
                    Said { name, says, ..Said::default() }
                }
            };
            said.inner.push(member);
        }
    });
    types
}

/// Gives each line of code with the comment above it; attributes are passed over.
fn commented<'a>(lines: impl Iterator<Item = &'a str>, mut each: impl FnMut(&str, String)) {
    let mut says = String::new();
    for line in lines.map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            let separator = if says.is_empty() { "" } else { " " };
            says = format!("{says}{separator}{}", comment.trim()).trim_end().to_owned();
        } else if !line.starts_with("#[") {
            each(line, std::mem::take(&mut says));
        }
    }
}

/// `kept_profiles` is `KeptProfiles` on the bus.
fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

/// `NotThere` is `not-there` in a table.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(character.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_one_that_is_published() {
        let written = include_str!("../../../docs/dbus.md");
        assert!(written == page().unwrap(), "docs/dbus.md is stale: `cargo xtask dist` writes it anew");
    }

    #[test]
    fn every_method_and_every_member_is_told() {
        let page = page().unwrap();
        for (_, name, _, _) in METHODS {
            assert!(page.contains(&format!("### `{name}(")), "{name}");
        }
        for said in TYPES.iter().flat_map(|source| types(source)) {
            assert!(!said.says.is_empty() && !said.inner.is_empty(), "{}", said.name);
            for member in said.inner {
                assert!(!member.says.is_empty(), "{}.{}", said.name, member.name);
            }
        }
        assert!(!page.contains("crate::"), "a link that leads to no page");
    }
}
