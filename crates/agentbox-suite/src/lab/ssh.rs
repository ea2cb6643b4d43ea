//! git over ssh at every public address: sshd(8) that serves one repository to the keys that it is told.

use super::place::Place;
use crate::run::run;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const PROGRAM: &str = "/usr/sbin/sshd";
/// Serves the repository that is its argument, whatever was asked for.
const SERVE: &str = "#!/bin/sh\ncase \"$SSH_ORIGINAL_COMMAND\" in\n\
    git-receive-pack*) what=receive-pack ;;\n*) what=upload-pack ;;\nesac\n\
    exec git -c safe.directory='*' $what \"$1\"\n";
/// Kinds of keys of the host itself, and how they are made.
const HOST_KEYS: [(&str, &[&str]); 4] = [
    ("ed25519", &["-t", "ed25519"]),
    ("rsa", &["-t", "rsa", "-b", "2048"]),
    ("ecdsa-256", &["-t", "ecdsa", "-b", "256"]),
    ("ecdsa-384", &["-t", "ecdsa", "-b", "384"]),
];

/// The server; ended when dropped.
#[derive(Debug)]
pub struct Ssh {
    /// The private key that it lets in.
    pub key: PathBuf,
    /// Its own key of Ed25519, as a line of known_hosts without the name.
    pub host_key: String,
    /// All of its own keys, in the same way.
    pub host_keys: Vec<String>,
    directory: PathBuf,
    child: Child,
}

impl Ssh {
    pub(super) fn start(
        place: &Place,
        directory: PathBuf,
        repository: &Path,
        at: IpAddr,
        port: u16,
    ) -> Result<Self> {
        fs::create_dir(&directory)?;
        let make = |name: &str, kind: &[&str]| -> Result<PathBuf> {
            let path = directory.join(name);
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-N", "", "-C", "lab"]).args(kind).arg("-f").arg(&path);
            run(&mut command, b"", LIMIT)?.success().map(|_| path)
        };
        let host_keys = HOST_KEYS.map(|(name, kind)| make(&format!("host_key_{name}"), kind));
        let host_keys = host_keys.into_iter().collect::<Result<Vec<_>>>()?;
        let key = make("key", &["-t", "ed25519"])?;
        let public = |path: &Path| fs::read_to_string(path.with_extension("pub"));
        let serve = directory.join("serve");
        fs::write(&serve, SERVE)?;
        fs::set_permissions(&serve, fs::Permissions::from_mode(0o755))?;
        let allowed = directory.join("authorized_keys");
        fs::write(&allowed, public(&key)?)?;
        fs::set_permissions(&allowed, fs::Permissions::from_mode(0o600))?;
        // sshd wants it for a child without rights, and only packages that a system manager runs make it.
        fs::create_dir_all("/run/sshd")?;
        let config = directory.join("sshd_config");
        let keys: String = host_keys.iter().map(|path| format!("HostKey {}\n", path.display())).collect();
        let text = format!(
            "{keys}Port {port}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\n\
             ForceCommand {} {}\nListenAddress 0.0.0.0\nListenAddress ::\n",
            allowed.display(),
            serve.display(),
            repository.display()
        );
        fs::write(&config, text)?;
        let log = File::create(directory.join("sshd.log"))?;
        let mut command = place.space().command(PROGRAM);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context(PROGRAM)?;
        let lines = host_keys.iter().map(|path| Ok(public(path)?.trim().to_owned()));
        let host_keys = lines.collect::<Result<Vec<_>>>()?;
        let host_key = host_keys.first().context("no key of the host")?.clone();
        let log = directory.join("sshd.log");
        let mut ssh = Self { key, host_key, host_keys, directory, child };
        crate::run::eventually("sshd listens", LIMIT, || {
            ensure!(ssh.child.try_wait()?.is_none(), "sshd ended: {}", fs::read_to_string(&log)?);
            let reached = place.space().enter(|| {
                TcpStream::connect_timeout(&SocketAddr::new(at, port), Duration::from_secs(1)).is_ok()
            })?;
            Ok(reached.then_some(()))
        })?;
        Ok(ssh)
    }

    /// Lets another key in.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn authorize(&self, public: &str) -> Result<()> {
        let mut allowed = File::options().append(true).open(self.directory.join("authorized_keys"))?;
        Ok(writeln!(allowed, "{public}")?)
    }

    /// Lets its visitors run what they ask for, instead of the repository.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn serve_anything(&self) -> Result<()> {
        Ok(fs::write(self.directory.join("serve"), "#!/bin/sh\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n")?)
    }

    /// What the server itself says about who came.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("sshd.log"))?)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
