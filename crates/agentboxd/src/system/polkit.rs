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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use zbus::{OwnedVariant, connection, fdo};

    /// What was asked: whom about, for which action, with which flags.
    type Question = (String, OwnedVariant, String, u32);

    /// One that answers everything alike.
    #[derive(Clone)]
    struct Fake {
        answer: Option<(bool, bool)>,
        asked: Arc<Mutex<Vec<Question>>>,
    }

    #[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
    impl Fake {
        #[zbus(out_args("is_authorized", "is_challenge", "details"))]
        fn check_authorization(
            &self,
            subject: (String, HashMap<String, OwnedVariant>),
            action: String,
            details: HashMap<String, String>,
            flags: u32,
            _cancellation: String,
        ) -> fdo::Result<(bool, bool, HashMap<String, String>)> {
            let (kind, mut about) = subject;
            let name = about.remove("name").ok_or(fdo::Error::InvalidArgs("no name".to_owned()))?;
            assert_eq!(details.get("session").map(String::as_str), Some("abc"));
            self.asked.lock().unwrap().push((kind, name, action, flags));
            let (is_authorized, is_challenge) =
                self.answer.ok_or(fdo::Error::Failed("not now".to_owned()))?;
            Ok((is_authorized, is_challenge, HashMap::new()))
        }
    }

    async fn asked(answer: Option<(bool, bool)>, action: Action, interactive: bool) -> (bool, Vec<Question>) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let fake = Fake { answer, asked: Arc::default() };
        let served = connection::Builder::unix_stream(theirs)
            .server(zbus::Guid::generate())
            .p2p()
            .serve_at("/org/freedesktop/PolicyKit1/Authority", fake.clone())
            .build();
        let asks = connection::Builder::unix_stream(ours).p2p().build();
        let (_served, connection) = tokio::try_join!(served, asks).unwrap();
        let subject = Subject { connection, name: ":1.7".try_into().unwrap(), interactive };
        let may = subject.is_authorized(action, "abc").await;
        let asked = fake.asked.lock().unwrap().clone();
        (may, asked)
    }

    #[tokio::test]
    async fn nothing_but_a_yes_about_who_calls_is_a_yes() {
        for action in [Action::Inspect, Action::Control, Action::Widen, Action::Unconfined, Action::Repair] {
            let (may, asked) = asked(Some((true, false)), action, true).await;
            assert!(may);
            let about = ("system-bus-name".to_owned(), ":1.7", action.id().to_owned(), INTERACTION);
            let [(kind, name, id, flags)] = &asked[..] else { panic!("{asked:?}") };
            let name = <&str>::try_from(name).unwrap();
            assert_eq!((kind.clone(), name, id.clone(), *flags), about);
        }
        // A no, one that would have to be proved first, and no answer.
        for answer in [Some((false, false)), Some((false, true)), None] {
            assert!(!asked(answer, Action::Control, true).await.0, "{answer:?}");
        }
        let (_, asked) = asked(Some((true, false)), Action::Control, false).await;
        assert_eq!(asked[0].3, 0, "who cannot be asked is not");
    }
}
