//! Which ports of a session are seen from the host's loopback.

use super::super::{COMMAND_LINE, refused};
use super::Context;
use crate::config::Publish;
use crate::text::printable;
use crate::{PolicyError, ceiling};
use std::collections::BTreeMap;

/// Each is a listening socket of the gate for either family.
const MOST_PUBLISHED: usize = 32;

/// The ports that are published, by the port of the host.
pub(super) fn collect(context: &Context<'_, '_>) -> Result<Vec<(Publish, String)>, PolicyError> {
    let (choice, sources) = (context.choice, context.sources);
    let mut lists: Vec<(&[Publish], bool, String)> = Vec::new();
    if let Some((source, table)) = choice.table {
        let list = table.publish.as_deref().unwrap_or_default();
        lists.push((list, sources.is_person(source), choice.profile_rule("publish")));
    }
    if let Some(own) = choice.own() {
        let list = own.table.publish.as_deref().unwrap_or_default();
        lists.push((list, sources.is_person(own.source), own.rule("publish")));
    }
    lists.push((&context.inputs.request.publish, true, COMMAND_LINE.to_owned()));
    let mut published: BTreeMap<u16, (Publish, String)> = BTreeMap::new();
    for (list, own, origin) in lists {
        for publish in list {
            if publish.is_privileged() && context.inputs.person.uid != 0 {
                return Err(refused(
                    format!("port {} of the host, published ({origin})", publish.host_port),
                    "built-in: ports of the host below 1024 are root's",
                    format!("publish another one: {}:{}", publish.port, publish.port),
                ));
            }
            if own {
                ceiling::check_publish(sources.system, *publish, &origin)?;
            }
            match published.get(&publish.host_port) {
                Some((other, rule)) if other != publish => {
                    return Err(refused(
                        format!(
                            "`{publish}` ({origin}) and `{other}`: both are port {} of the host",
                            publish.host_port
                        ),
                        rule.clone(),
                        "publish one of them on another port: PORT:PORT-INSIDE",
                    ));
                }
                Some(_) => {}
                None => drop(published.insert(publish.host_port, (*publish, printable(&origin)))),
            }
        }
    }
    if published.len() > MOST_PUBLISHED {
        return Err(refused(
            format!("{} published ports; there can be {MOST_PUBLISHED}", published.len()),
            choice.profile_rule("publish"),
            "publish fewer",
        ));
    }
    Ok(published.into_values().collect())
}
