//! What the person knows of hosts that profiles let an ssh-agent log in to.
//!
//! `ssh-keygen -F` looks: it reads known_hosts as ssh does, hashed names, patterns and ports included. It runs
//! as whoever reads the files, in `/`, and only when a profile names hosts.

use crate::child;
use crate::layers;
use agentbox_policy::{AgentHost, KnownKey, KnownKeys, Layer, LayerKind};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where programs find an ssh-agent (ssh-agent(1)).
pub(crate) const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";
/// Longest that a person waits for one file.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 64 * 1024;
/// Hosts that are looked for, each in every file.
const MOST_HOSTS: usize = 32;
/// Below the home (ssh_config(5), UserKnownHostsFile).
const OF_PERSON: [&str; 2] = [".ssh/known_hosts", ".ssh/known_hosts2"];
/// ssh_config(5), GlobalKnownHostsFile.
const OF_MACHINE: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// The hosts that profiles of a file name.
pub(crate) fn hosts(layer: &Layer) -> impl Iterator<Item = AgentHost> + '_ {
    let tables = layer.config.profile.values().filter_map(|profile| profile.ssh_agent.as_ref());
    tables.flat_map(|table| table.hosts.iter().flatten().cloned())
}

/// The hosts that profiles of the system's files name. A file that cannot be read is the supervisor's to
/// complain about.
pub(crate) fn system_hosts() -> BTreeSet<AgentHost> {
    let files = layers::system_files().unwrap_or_default();
    let layers = files.iter().filter_map(|file| layers::layer(file, LayerKind::System).ok());
    layers.flat_map(|layer| hosts(&layer).collect::<Vec<_>>()).collect()
}

/// A search that is under way.
#[derive(Debug, Default)]
pub(crate) struct Lookup(Vec<(AgentHost, Child)>);

impl Lookup {
    /// Begins to look for these hosts in the files below a home and in the machine's.
    pub(crate) fn begin(hosts: &BTreeSet<AgentHost>, home: &Path, path: Option<&str>) -> Self {
        let files: Vec<_> = OF_PERSON
            .iter()
            .map(|file| home.join(file))
            .chain(OF_MACHINE.map(Into::into))
            .filter(|file| file.is_file())
            .collect();
        let mut children = Vec::new();
        for host in hosts.iter().take(MOST_HOSTS) {
            for file in &files {
                let mut keygen = Command::new("ssh-keygen");
                keygen.args(["-F", &host.0.known_as(), "-f"]).arg(file).current_dir("/").env_clear();
                keygen.envs(path.map(|path| ("PATH", path)));
                keygen.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
                // Without ssh-keygen nothing is known, which the supervisor tells.
                children.extend(keygen.spawn().ok().map(|child| (host.clone(), child)));
            }
        }
        Self(children)
    }

    /// What was found.
    pub(crate) fn finish(self) -> Vec<KnownKeys> {
        let mut found: Vec<(AgentHost, Lines)> = Vec::new();
        for (host, child) in self.0 {
            let Ok((_, bytes)) = child::output(child, MOST_BYTES, PATIENCE) else { continue };
            let lines = Lines::read(&String::from_utf8_lossy(&bytes));
            match found.iter_mut().find(|(other, _)| *other == host) {
                Some((_, more)) => more.add(lines),
                None => found.push((host, lines)),
            }
        }
        let known = found.into_iter().map(|(host, lines)| KnownKeys { host, keys: lines.good() });
        known.filter(|known| !known.keys.is_empty()).collect()
    }
}

/// Keys of a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lines {
    pub(crate) known: Vec<KnownKey>,
    pub(crate) revoked: Vec<KnownKey>,
}

impl Lines {
    pub(crate) fn read(text: &str) -> Self {
        let mut lines = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (to, names) = match words.next() {
                Some("@revoked") => (&mut lines.revoked, words.next()),
                // An authority is no host: its certificates are another kind of trust.
                Some(marker) if marker.starts_with(['@', '#']) => continue,
                names => (&mut lines.known, names),
            };
            let (Some(_), Some(kind), Some(key)) = (names, words.next(), words.next()) else { continue };
            to.extend(format!("{kind} {key}").parse::<KnownKey>());
        }
        lines
    }

    fn add(&mut self, more: Self) {
        self.known.extend(more.known);
        self.revoked.extend(more.revoked);
    }

    pub(crate) fn good(self) -> Vec<KnownKey> {
        let mut known = self.known;
        known.retain(|key| !self.revoked.contains(key));
        known.sort();
        known.dedup();
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH9lZ3uu0jhcWH8vRrNRdIHfjhTkCv2zyTOPYpBrEbqs";

    fn home(text: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(home.path().join(".ssh/known_hosts"), text).unwrap();
        home
    }

    fn look(home: &Path, host: &str) -> Vec<String> {
        let path = std::env::var("PATH").unwrap();
        let hosts = BTreeSet::from([host.parse().unwrap()]);
        let known = Lookup::begin(&hosts, home, Some(&path)).finish();
        known.into_iter().flat_map(|known| known.keys).map(|key| key.to_string()).collect()
    }

    #[test]
    fn keys_are_found_by_name_port_and_hash() {
        let text = format!(
            "a.org,b.org {ONE} comment\n[a.org]:2222 {OTHER}\n*.c.org {OTHER}\n@cert-authority a.org {OTHER}\n"
        );
        let home = home(&text);
        for (host, keys) in [
            ("a.org", &[ONE][..]),
            ("b.org", &[ONE]),
            ("a.org:2222", &[OTHER]),
            ("x.c.org", &[OTHER]),
            ("d.org", &[]),
        ] {
            assert_eq!(look(home.path(), host), keys, "{host}");
        }
        let file = home.path().join(".ssh/known_hosts");
        let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).status().unwrap();
        assert!(hashed.success() && !std::fs::read_to_string(&file).unwrap().contains("b.org"));
        assert_eq!(look(home.path(), "b.org"), [ONE]);
    }

    #[test]
    fn a_revoked_key_is_no_key() {
        let home = home(&format!("a.org {ONE}\na.org {OTHER}\n@revoked * {ONE}\n"));
        assert_eq!(look(home.path(), "a.org"), [OTHER]);
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for text in [
            "",
            "# Host a.org found: line 1",
            "a.org",
            "a.org ssh-rsa",
            "a.org ssh-rsa !!!",
            "a.org 1024 35 99",
        ] {
            assert_eq!(Lines::read(text), Lines::default(), "{text}");
        }
    }
}
