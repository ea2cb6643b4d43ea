//! Man pages, completions and the reference of the bus, made of the command lines' own definitions and of the tables of keys and events.
//!
//! | file | is |
//! |---|---|
//! | `bus` | docs/dbus.md, which is no page of the manual |
//! | `configuration` | agentbox.toml(5) |
//! | `overview`, `audit` | agentbox(7), agentbox-audit(7) |
//! | `page` | how a page is written |

mod audit;
pub(crate) mod bus;
mod configuration;
mod overview;
mod page;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};

/// Each page with its path below the root.
pub(crate) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    let mut command = agentboxctl::arguments::Arguments::command();
    command.build();
    add(&command, None, &mut pages)?;
    for (shell, path) in [
        (clap_complete::Shell::Bash, "usr/share/bash-completion/completions/agentboxctl"),
        (clap_complete::Shell::Zsh, "usr/share/zsh/site-functions/_agentboxctl"),
        (clap_complete::Shell::Fish, "usr/share/fish/vendor_completions.d/agentboxctl.fish"),
    ] {
        let script = agentboxctl::complete::script(shell).context("a shell without a script")?;
        pages.push((path.to_owned(), script));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(agentboxd::command_line()).section("8").render(&mut page)?;
    pages.push(("usr/share/man/man8/agentboxd.8".to_owned(), page));
    for (name, page) in [
        ("man5/agentbox.toml.5", configuration::page()),
        ("man7/agentbox.7", overview::page()),
        ("man7/agentbox-audit.7", audit::page()),
    ] {
        pages.push((format!("usr/share/man/{name}"), page));
    }
    Ok(pages)
}

/// A page for the command and one for each of its verbs, as git has them.
fn add(command: &Command, parent: Option<&str>, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = match parent {
        Some(parent) => format!("{parent}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let mut page = Vec::new();
    // `build` has named the verbs as git does: `agentboxctl-start`.
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    pages.push((format!("usr/share/man/man1/{name}.1"), page));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        add(verb, Some(&name), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        for verb in
            agentboxctl::arguments::Arguments::command().get_subcommands().filter(|verb| !verb.is_hide_set())
        {
            let path = format!("usr/share/man/man1/agentboxctl-{}.1", verb.get_name());
            let page = pages.iter().find(|(name, _)| *name == path);
            assert!(page.is_some_and(|(_, text)| !text.is_empty()), "{path}");
        }
        assert!(pages.iter().any(|(name, _)| name == "usr/share/man/man8/agentboxd.8"));
    }
}
