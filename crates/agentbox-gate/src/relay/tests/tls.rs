//! TLS, with real handshakes.

use super::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::sync::Arc;

/// Believes every server: whom it believes is not what is tested.
#[derive(Debug)]
struct Believes;

impl rustls::client::danger::ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Shows a certificate that nobody looks at.
#[derive(Debug)]
struct Shows(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Shows {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// An Ed25519 key of a fixed seed as PKCS #8 (RFC 8410, section 7).
fn key() -> PrivateKeyDer<'static> {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([7; 32]);
    PrivatePkcs8KeyDer::from(der).into()
}

fn serve(listener: TcpListener) -> JoinHandle<Vec<u8>> {
    thread(move || {
        let (stream, _) = listener.accept().unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key()).unwrap();
        let shown = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(vec![1, 2, 3])], key);
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
        let mut tls = StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut said = [0; 5];
        tls.read_exact(&mut said).unwrap();
        tls.write_all(b"answer").unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        said.to_vec()
    })
}

/// A handshake for a name, then a question. What is answered, or what the client's library reports.
fn ask(
    address: SocketAddr,
    name: &'static str,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
) -> JoinHandle<Result<Vec<u8>, Option<rustls::Error>>> {
    thread(move || {
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believes))
            .with_no_client_auth();
        let connection =
            rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut tls = StreamOwned::new(connection, client(address));
        let mut answer = Vec::new();
        let spoken = tls.write_all(b"hello").and_then(|()| tls.read_to_end(&mut answer));
        match spoken {
            Ok(_) => Ok(answer),
            Err(error) => Err(error.into_inner().and_then(|error| error.downcast().ok()).map(|error| *error)),
        }
    })
}

fn alert(description: AlertDescription) -> Result<Vec<u8>, Option<rustls::Error>> {
    Err(Some(rustls::Error::AlertReceived(description)))
}

#[test]
fn a_handshake_with_the_name_goes_through_on_every_port() {
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    for versions in [OLD, rustls::ALL_VERSIONS] {
        for port in ["443", "8443", "80"] {
            run(async move {
                let (listener, places) = server();
                let mut rig = Rig::new(allow(&["a.org", "a.org:8443"]), places).await;
                rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
                let [address] = rig.serve([&format!("198.18.0.9:{port}")]);
                let (server, client) = (serve(listener), ask(address, "a.org", versions));
                assert_eq!(done(client).await, Ok(b"answer".to_vec()));
                assert_eq!(done(server).await, b"hello");
                assert_eq!(rig.decided().await, [("a.org".into(), None)]);
            });
        }
    }
}

#[test]
fn another_name_is_told_that_access_is_denied() {
    for port in ["443", "8443"] {
        run(async move {
            let (_listener, places) = server();
            let mut rig = Rig::new(allow(&["a.org", "a.org:8443"]), places).await;
            rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
            let [address] = rig.serve([&format!("198.18.0.9:{port}")]);
            let answer = done(ask(address, "b.org", rustls::ALL_VERSIONS)).await;
            assert_eq!(answer, alert(AlertDescription::AccessDenied));
            let last = rig.decided().await.pop();
            assert_eq!(last, Some(("a.org".into(), Some(Reason::NameMismatch))));
            assert_eq!(rig.seen.borrow().decided.last().unwrap().other.as_deref(), Some("b.org"));
        });
    }
}

#[test]
fn refusals_come_as_alerts_and_nothing_is_dialled() {
    run(async {
        let mut rig = Rig::new(allow(&["missing.org", "internal.org", "down.org"]), Places::new()).await;
        rig.name("198.18.0.10", "unlisted.org", Ok(vec![public_address()]));
        rig.name("198.18.0.11", "missing.org", Err(Reason::NotFound));
        rig.name("198.18.0.12", "internal.org", Ok(vec![[10, 0, 0, 1].into(), [127, 0, 0, 1].into()]));
        rig.name("198.18.0.13", "down.org", Err(Reason::Unresolved));
        let [unlisted, missing, internal, down, stale] = rig.serve([
            "198.18.0.10:443",
            "198.18.0.11:443",
            "198.18.0.12:443",
            "198.18.0.13:443",
            "198.18.0.14:443",
        ]);
        let denied = alert(AlertDescription::AccessDenied);
        let unrecognized = alert(AlertDescription::UnrecognisedName);
        for (address, name, expected) in [
            (unlisted, "unlisted.org", denied.clone()),
            (missing, "missing.org", unrecognized.clone()),
            (internal, "internal.org", denied),
            // The network failed, and that is what the client sees.
            (down, "down.org", Err(None)),
            (stale, "stale.org", unrecognized),
        ] {
            assert_eq!(done(ask(address, name, rustls::ALL_VERSIONS)).await, expected, "{name}");
        }
        let reasons: Vec<_> = rig.decided().await.into_iter().map(|(_, reason)| reason.unwrap()).collect();
        let expected =
            [Reason::NotListed, Reason::NotFound, Reason::Internal, Reason::Unresolved, Reason::NotFound];
        assert_eq!(reasons, expected);
        assert!(rig.seen.borrow().dialled.is_empty());
    });
}

#[test]
fn what_is_no_tls_on_its_port_is_reset() {
    run(async {
        let mut rig = Rig::new(allow(&["a.org"]), Places::new()).await;
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:443"]);
        let answer = done(thread(move || say(address, b"SSH-2.0-x\r\n"))).await;
        assert!(is_reset(&answer), "{answer:?}");
        assert_eq!(rig.decided().await, [("a.org".into(), Some(Reason::Malformed))]);
    });
}

#[test]
fn a_slow_hello_is_not_waited_for() {
    run(async {
        let mut rig = Rig::new(allow(&["a.org"]), Places::new()).await;
        rig.patience.words = Duration::from_millis(200);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:443"]);
        let begun = Instant::now();
        let drips = thread(move || {
            let mut stream = client(address);
            for byte in [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 0, 0, 0, 0] {
                stream.write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(50));
            }
            stream.read_to_end(&mut Vec::new())
        });
        assert!(is_over(&done(drips).await));
        assert!(since(begun, 200, 10_000));
        assert_eq!(rig.decided().await, [("a.org".into(), Some(Reason::Malformed))]);
    });
}

#[test]
fn who_waits_for_the_server_to_speak_is_refused_and_who_leaves_is_not() {
    run(async {
        let mut rig = Rig::new(allow(&["a.org"]), Places::new()).await;
        rig.patience.silence = Duration::from_millis(300);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let addresses = rig.serve(["198.18.0.9:443", "198.18.0.9:80"]);
        for address in addresses {
            // As a browser that opened it in advance.
            drop(done(thread(move || client(address))).await);
            let begun = Instant::now();
            let silent = done(thread(move || say(address, b""))).await;
            assert!(is_reset(&silent) && since(begun, 300, 10_000), "{silent:?}");
        }
        assert_eq!(rig.decided().await, vec![("a.org".to_owned(), Some(Reason::Silent)); 2]);
    });
}

#[test]
fn who_is_refused_already_does_not_wait_for_as_long() {
    run(async {
        let mut rig = Rig::new(allow(&["a.org"]), Places::new()).await;
        rig.patience.refused = Duration::from_millis(300);
        rig.name("198.18.0.9", "b.org", Ok(vec![public_address()]));
        let addresses = rig.serve(["198.18.0.9:443", "198.18.0.9:80"]);
        for address in addresses {
            let begun = Instant::now();
            let silent = done(thread(move || say(address, b""))).await;
            assert!(is_reset(&silent) && since(begun, 300, 10_000), "{silent:?}");
        }
        assert_eq!(rig.decided().await, vec![("b.org".to_owned(), Some(Reason::NotListed)); 2]);
    });
}
