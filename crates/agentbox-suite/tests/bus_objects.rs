//! Objects of sessions: their owner and root see and use them, to everybody else they are not there, and nobody else
//! hears what becomes of them.

use agentbox_suite::Machine;
use agentbox_suite::bus::{MANAGER, PATH, SESSION, call, converse, heard, neighbour, object};
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;
use zbus::{Connection, MessageStream, OwnedVariant};

const LIMIT: Duration = Duration::from_secs(60);
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

/// A peer has objects once it is told of them; on the bus they are always there.
async fn subscribe(connection: &Connection) -> Result<()> {
    call(connection, PATH, MANAGER, "Subscribe", &()).await?;
    Ok(())
}

async fn property(connection: &Connection, path: &str, name: &str) -> Result<String> {
    let answer = call(connection, path, PROPERTIES, "Get", &(SESSION, name)).await?;
    let value: OwnedVariant = answer.body().deserialize()?;
    Ok(String::try_from(value)?)
}

#[test]
fn the_owner_of_a_session_sees_and_uses_its_object() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let path = object(&session.id);
    for uid in [machine.person.uid, 0] {
        converse(&machine, uid, async |connection| {
            subscribe(connection).await?;
            let answer = call(connection, &path, PROPERTIES, "GetAll", &SESSION).await?;
            let all: HashMap<String, OwnedVariant> = answer.body().deserialize()?;
            ensure!(all.len() == 13, "{all:?}");
            ensure!(property(connection, &path, "Id").await? == session.id);
            ensure!(property(connection, &path, "Posture").await? == "L2");
            ensure!(property(connection, &path, "State").await? == "running");
            let xml: String =
                call(connection, &path, INTROSPECTABLE, "Introspect", &()).await?.body().deserialize()?;
            ensure!(xml.contains(SESSION) && xml.contains("\"Freeze\""), "{xml}");
            call(connection, &path, SESSION, "Freeze", &()).await?;
            ensure!(property(connection, &path, "State").await? == "frozen");
            ensure!(property(connection, &path, "Frozen").await?.contains("had it frozen"));
            let thawed: bool = call(connection, &path, SESSION, "Thaw", &()).await?.body().deserialize()?;
            ensure!(thawed && property(connection, &path, "State").await? == "running");
            Ok(())
        })?;
    }
    converse(&machine, machine.person.uid, async |connection| {
        subscribe(connection).await?;
        call(connection, &path, SESSION, "Stop", &(2000_u64)).await?;
        Ok(())
    })?;
    ensure!(machine.session_ids()?.is_empty());
    machine.ends_without_leftovers()
}

#[test]
fn to_everybody_else_it_is_not_there() -> Result<()> {
    let machine = Machine::new()?;
    let other = neighbour(&machine)?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    converse(&machine, other.uid, async |connection| {
        // The control: they may use the supervisor.
        subscribe(connection).await?;
        let asked = async |id: &str| -> Result<Vec<String>> {
            let path = object(id);
            let results = [
                call(connection, &path, PROPERTIES, "Get", &(SESSION, "State")).await,
                call(connection, &path, PROPERTIES, "Get", &("org.freedesktop.DBus.Peer", "State")).await,
                call(connection, &path, PROPERTIES, "GetAll", &SESSION).await,
                call(connection, &path, INTROSPECTABLE, "Introspect", &()).await,
                call(connection, &path, SESSION, "Status", &()).await,
                call(connection, &path, SESSION, "Stop", &(0_u64)).await,
                call(connection, &path, SESSION, "Freeze", &()).await,
            ];
            let mut said = Vec::new();
            for result in results {
                match result {
                    Ok(answer) => bail!("{answer:?}"),
                    Err(error) => said.push(error.to_string().replace(id, "ID")),
                }
            }
            Ok(said)
        };
        let (theirs, never) = (asked(&session.id).await?, asked("bbbbbbbb").await?);
        ensure!(theirs == never, "{theirs:#?} {never:#?}");
        ensure!(theirs[2].contains("UnknownObject") || theirs[2].contains("Unknown object"), "{theirs:?}");
        for path in ["/", "/org", PATH, "/org/agentbox1/session"] {
            let seen = call(connection, path, INTROSPECTABLE, "Introspect", &()).await;
            let xml = seen.and_then(|answer| answer.body().deserialize::<String>()).unwrap_or_default();
            ensure!(!xml.contains(&session.id), "{path}: {xml}");
        }
        Ok(())
    })?;
    ensure!(machine.session_ids()? == [session.id.clone()], "it was stopped");
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn what_becomes_of_a_session_is_told_to_its_owner_and_to_nobody_else() -> Result<()> {
    let machine = Machine::new()?;
    let other = neighbour(&machine)?;
    // While it lives an embedded supervisor does.
    let first = machine.detached("L2", &["sleep", "600"])?;
    let (owner, stranger) = std::thread::scope(|scope| -> Result<_> {
        let (subscribed, is_subscribed) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let ready = subscribed.clone();
        let (machine, uid) = (&machine, other.uid);
        let stranger = scope.spawn(move || {
            converse(machine, uid, async move |connection| {
                let mut stream = MessageStream::from(connection);
                subscribe(connection).await?;
                ready.send(())?;
                may_go_on.recv_timeout(LIMIT)?;
                // Everything that was sent to them came before this answer.
                call(connection, PATH, MANAGER, "List", &()).await?;
                heard(&mut stream, None).await
            })
        });
        let owner = scope.spawn(move || {
            converse(machine, machine.person.uid, async move |connection| {
                let mut stream = MessageStream::from(connection);
                subscribe(connection).await?;
                subscribed.send(())?;
                heard(&mut stream, Some("SessionRemoved")).await
            })
        });
        for _ in 0..2 {
            is_subscribed.recv_timeout(LIMIT)?;
        }
        machine.detached("L2", &["sleep", "600"])?.stop()?;
        let owner = owner.join().map_err(|_panic| anyhow::anyhow!("the owner's thread"))??;
        go_on.send(())?;
        let stranger = stranger.join().map_err(|_panic| anyhow::anyhow!("the stranger's thread"))??;
        Ok((owner, stranger))
    })?;
    ensure!(owner.first().is_some_and(|name| name == "SessionNew"), "{owner:?}");
    ensure!(owner.iter().any(|name| name == "PropertiesChanged"), "{owner:?}");
    ensure!(stranger.is_empty(), "{stranger:?}");
    first.stop()?;
    machine.ends_without_leftovers()
}
