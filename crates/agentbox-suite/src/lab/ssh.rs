//! git over ssh at every public address: sshd(8) that does one thing for one key.

use super::place::Place;
use crate::run::run;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const PROGRAM: &str = "/usr/sbin/sshd";

/// The server; ended when dropped.
#[derive(Debug)]
pub struct Ssh {
    /// The private key that it lets in.
    pub key: PathBuf,
    /// Its own key, as a line of known_hosts without the name.
    pub host_key: String,
    child: Child,
}

impl Ssh {
    pub(super) fn start(place: &Place, directory: &Path, repository: &Path, at: IpAddr) -> Result<Self> {
        let [host_key, key] = ["host_key", "key"].map(|name| directory.join(name));
        for path in [&host_key, &key] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(path);
            run(&mut command, b"", LIMIT)?.success()?;
        }
        let public = |path: &Path| fs::read_to_string(path.with_extension("pub"));
        let allowed = directory.join("authorized_keys");
        fs::write(&allowed, public(&key)?)?;
        fs::set_permissions(&allowed, fs::Permissions::from_mode(0o600))?;
        // sshd wants it for a child without rights, and only packages that a system manager runs make it.
        fs::create_dir_all("/run/sshd")?;
        let config = directory.join("sshd_config");
        let text = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\n\
             ForceCommand git -c safe.directory=* upload-pack {}\nListenAddress 0.0.0.0\nListenAddress ::\n",
            host_key.display(),
            allowed.display(),
            repository.display()
        );
        fs::write(&config, text)?;
        let log = File::create(directory.join("sshd.log"))?;
        let mut command = place.space().command(PROGRAM);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context(PROGRAM)?;
        let mut ssh = Self { key, host_key: public(&host_key)?.trim().to_owned(), child };
        crate::run::eventually("sshd listens", LIMIT, || {
            ensure!(
                ssh.child.try_wait()?.is_none(),
                "sshd ended: {}",
                fs::read_to_string(directory.join("sshd.log"))?
            );
            let reached = place.space().enter(|| {
                TcpStream::connect_timeout(&SocketAddr::new(at, 22), Duration::from_secs(1)).is_ok()
            })?;
            Ok(reached.then_some(()))
        })?;
        Ok(ssh)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
