//! Asking polkit (org.freedesktop.PolicyKit1.Authority) whether a caller may do what no rule allows.

use agentbox_ipc::Action;
use std::collections::HashMap;
use zbus::names::OwnedUniqueName;

use zbus::{Connection, Variant, proxy};

#[proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action: &str,
        details: &HashMap<&str, &str>,
        flags: u32,
        cancellation: &str,
    ) -> zbus::Result<(bool, bool, HashMap<String, String>)>;
}

/// AllowUserInteraction
const INTERACTION: u32 = 1;

/// Somebody on the bus about whom polkit can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The bus.
    pub(crate) connection: Connection,
    /// Their connection, which the bus never gives to anybody else.
    pub(crate) name: OwnedUniqueName,
    /// Whether they can be asked for a password now.
    pub(crate) interactive: bool,
}

impl Subject {
    /// Whether they may. What cannot be found out is a no.
    pub(crate) async fn is_authorized(&self, action: Action, session: &str) -> bool {
        let ask = async {
            let authority = AuthorityProxy::builder(&self.connection)
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await?;
            let subject = ("system-bus-name", HashMap::from([("name", Variant::from(self.name.as_str()))]));
            let details = HashMap::from([("session", session)]);
            let flags = if self.interactive { INTERACTION } else { 0 };
            authority.check_authorization(&subject, action.id(), &details, flags, "").await
        };
        match ask.await {
            Ok((is_authorized, _, _)) => is_authorized,
            Err(error) => {
                tracing::warn!("polkit: {}: {error}", action.id());
                false
            }
        }
    }
}
