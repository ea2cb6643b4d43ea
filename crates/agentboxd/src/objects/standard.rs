//! The standard interfaces of shared objects: what zbus brings answers everybody alike.

use super::session::SessionObject;
use crate::manager::Manager;
use agentbox_ipc::{PATH, SESSION_INTERFACE};
use std::collections::HashMap;
use zbus::message::Header;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo};

/// Names of the standard interfaces.
pub(super) mod names {
    pub(in super::super) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
    pub(in super::super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
}

const HEADER: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                      \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

/// What an object looks like.
#[derive(Debug)]
pub(super) struct Introspectable {
    text: String,
    /// Of which session it is.
    object: Option<SessionObject>,
}

impl Introspectable {
    /// Of the manager, and of what is above it. Sessions are listed by `List`, to each their own.
    pub(super) fn of_manager(path: &str, manager: &Manager) -> Self {
        let mut text = HEADER.to_owned();
        if path == PATH {
            manager.introspect_to_writer(&mut text, 2);
        } else if let Some(rest) = PATH.strip_prefix(path) {
            text.push_str(&format!("  <node name=\"{}\"/>\n", rest.trim_start_matches('/')));
        }
        text.push_str("</node>\n");
        Self { text, object: None }
    }

    /// Of a session.
    pub(super) fn of_session(object: SessionObject) -> Self {
        let mut text = HEADER.to_owned();
        object.introspect_to_writer(&mut text, 2);
        text.push_str("</node>\n");
        Self { text, object: Some(object) }
    }
}

#[zbus::interface(name = "org.freedesktop.DBus.Introspectable")]
impl Introspectable {
    #[zbus(out_args("xml_data"))]
    async fn introspect(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<String> {
        if let Some(object) = &self.object {
            object.visible(&header, connection).await?;
        }
        Ok(self.text.clone())
    }
}

/// Properties of a session.
#[derive(Debug)]
pub(super) struct Properties(SessionObject);

impl Properties {
    pub(super) fn new(object: SessionObject) -> Self {
        Self(object)
    }
}

#[zbus::interface(name = "org.freedesktop.DBus.Properties")]
impl Properties {
    async fn get(
        &self,
        interface_name: &str,
        property_name: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedVariant> {
        self.0.visible(&header, connection).await?;
        let unknown = || fdo::Error::UnknownProperty(format!("Unknown property '{property_name}'"));
        if interface_name != SESSION_INTERFACE {
            return Err(unknown());
        }
        let value = self.0.get(property_name, server, connection, Some(&header), &emitter).await;
        value.ok_or_else(unknown)?.map_err(|error: BoxDBusError| fdo::Error::Failed(error.to_string()))
    }

    async fn get_all(
        &self,
        interface_name: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        self.0.visible(&header, connection).await?;
        if !["", SESSION_INTERFACE].contains(&interface_name) {
            return Ok(HashMap::new());
        }
        self.0.get_all(server, connection, Some(&header), &emitter).await
    }

    async fn set(
        &self,
        interface_name: &str,
        property_name: &str,
        _value: Variant<'_>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.0.visible(&header, connection).await?;
        Err(fdo::Error::PropertyReadOnly(format!("{interface_name}.{property_name} is read-only")))
    }
}
