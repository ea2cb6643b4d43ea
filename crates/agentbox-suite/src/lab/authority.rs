//! A certification authority of the lab's own and one certificate for all its names, made by openssl(1).

use crate::run::run;
use anyhow::Result;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Where the files are.
#[derive(Debug)]
pub(super) struct Authority {
    /// What whoever trusts the lab reads.
    pub(super) trusted: PathBuf,
    pub(super) key: PathBuf,
    pub(super) certificate: PathBuf,
}

impl Authority {
    /// Makes an authority and its certificate for these names and addresses.
    pub(super) fn new(directory: &Path, names: &[&str], addresses: &[IpAddr]) -> Result<Self> {
        let [root_key, trusted, key, certificate] =
            ["root.key", "root.pem", "web.key", "web.pem"].map(|name| directory.join(name));
        let mut root = request(&root_key, &trusted, "/CN=agentbox lab");
        root.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        root.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        run(&mut root, b"", LIMIT)?.success()?;
        let mut all = String::from("subjectAltName=DNS:lab.example");
        for name in names {
            let _ = write!(all, ",DNS:{name}");
        }
        for address in addresses {
            let _ = write!(all, ",IP:{address}");
        }
        let mut web = request(&key, &certificate, "/CN=lab.example");
        web.arg("-CA").arg(&trusted).arg("-CAkey").arg(&root_key);
        web.args(["-addext", &all, "-addext", "basicConstraints=critical,CA:FALSE"]);
        web.args(["-addext", "extendedKeyUsage=serverAuth"]);
        run(&mut web, b"", LIMIT)?.success()?;
        Ok(Self { trusted, key, certificate })
    }
}

fn request(key: &Path, certificate: &Path, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2", "-subj", subject, "-keyout"]).arg(key).arg("-out").arg(certificate);
    command
}
