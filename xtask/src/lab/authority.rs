//! Certificates of the lab, made by openssl(1): an authority, and one certificate for all its names.

use crate::program;
use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// An authority that nobody but the lab believes.
#[derive(Debug)]
pub(crate) struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// Makes it in a directory, which has to exist.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let this = Self { directory: directory.to_owned() };
        let mut openssl = this.openssl();
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args([
            "-days",
            "2",
            "-subj",
            "/CN=Authority of the lab",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        program::capture(&mut openssl)?;
        Ok(this)
    }

    fn openssl(&self) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(&self.directory);
        command
    }

    /// Its certificate, which clients have to be told to believe.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// What a server needs to be these names.
    pub(crate) fn serve(&self, names: &[&str]) -> Result<Arc<ServerConfig>> {
        let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let mut openssl = self.openssl();
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-subj", "/CN=A server of the lab"]);
        openssl.args(["-addext", &format!("subjectAltName={}", alternatives.join(","))]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        program::capture(openssl.args(["-keyout", "server.key", "-out", "server.pem"]))?;
        let certificate = CertificateDer::from_pem_file(self.directory.join("server.pem"));
        let certificate = certificate.context("cannot read the certificate of the lab")?;
        let key = PrivateKeyDer::from_pem_file(self.directory.join("server.key"));
        let key = key.context("cannot read the key of the lab")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key)?))
    }
}
