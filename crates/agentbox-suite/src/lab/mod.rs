//! A network of a test's own, without any way out: a host, a router, and places that record what arrives.
//!
//! ```text
//!              lan 192.168.77.0/24   lan6 2a0e:b107:6::/64   tailnet 100.64.0.0/10
//!                        \                  |                  /
//!   sessions ── host ─────────── on-link ───────────────────────
//!                 │ 10.77.0.2, 2a0e:b107:77::2   (and a second link: 10.78.0.2, 2a0e:b107:78::2)
//!               router ──── meta 169.254.169.254
//!                 │
//!                wan: every other address there is, of both families
//! ```
//!
//! Only this process and what it starts reach the places. The wan owns every address: a web with many names
//! on each of them, the public resolver, and hostile servers. Whatever leaves the host arrives somewhere and
//! is counted there, so a test asserts on the far side that nothing came.

pub mod addresses;
mod authority;
pub mod dns;
mod field;
mod guest;
mod links;
mod place;
mod serving;
mod space;
mod ssh;
mod web;

pub use field::{Field, Marks, Side};
pub use guest::Guest;
pub use place::{Arrival, PORTS, Place};
pub use space::Space;
pub use ssh::Ssh;

use crate::programs::Programs;
use crate::run::{Finished, run};
use addresses::{
    BLACKHOLE, CDN_V4, CDN_V6, CLOSED, LAN, LAN6, META, NAMES, OTHER_V4, OTHER_V6, RESOLVER_LAN,
    RESOLVER_STUB, RESOLVER_TAILNET, RESOLVER_V4, RESOLVER_V6,
};
use anyhow::Result;
use authority::Authority;
use dns::{Dns, Says};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use web::Web;

const LIMIT: Duration = Duration::from_secs(90);
const PACKAGES: &str = include_str!("packages.sh");
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Which families the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// Both.
    Both,
    /// Only IPv4; IPv6 is switched off.
    OnlyV4,
    /// Only IPv6, besides the loopback.
    OnlyV6,
}

/// The whole network. Dropping it removes it.
#[derive(Debug)]
pub struct Lab {
    // In this order they are dropped: what serves, then where it serves.
    ssh: Option<Ssh>,
    _web: Web,
    dns: Dns,
    host: Place,
    wan: Place,
    lan: Place,
    lan6: Place,
    tailnet: Place,
    meta: Place,
    router: Space,
    families: Families,
    trusted: PathBuf,
    directory: tempfile::TempDir,
}

/// Keeps other heavy tests waiting while it lives: times that are measured are a machine's that is not busy.
///
/// # Errors
/// When the lock cannot be taken.
pub fn alone() -> Result<fs::File> {
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open("/run/lock/agentbox-suite-heavy")?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}

impl Lab {
    /// A network whose host has both families.
    ///
    /// # Errors
    /// When it is not root that runs the tests, or a program is missing.
    pub fn new() -> Result<Self> {
        Self::with(Families::Both)
    }

    /// The same for a host with these families.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn with(families: Families) -> Result<Self> {
        space::sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix("agentbox-lab-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let make = |short: &str| Space::new(number, short);
        let (host, router, wan) = (make("host")?, make("router")?, make("wan")?);
        let (lan, lan6, tailnet, meta) = (make("lan")?, make("lan6")?, make("tailnet")?, make("meta")?);
        if families == Families::OnlyV4 {
            let off = ["all", "default", "lo"].map(|name| format!("ipv6/conf/{name}/disable_ipv6"));
            host.set(&off.each_ref().map(|name| (name.as_str(), "1")))?;
        }
        links::connect(families, [&host, &router, &wan, &lan, &lan6, &tailnet, &meta])?;

        let host = Place::new(host)?.listen("host")?;
        let lan = Place::new(lan)?.listen("lan")?;
        let lan6 = Place::new(lan6)?.listen("lan6")?;
        let tailnet = Place::new(tailnet)?.listen("tailnet")?;
        let meta = Place::new(meta)?.listen("meta")?;
        let wan = Place::new(wan)?;
        wan.space().nft(&format!(
            "table inet ab_lab_dead {{\n chain in {{\n type filter hook input priority 0\n\
             ip daddr {BLACKHOLE} drop\n ip daddr {CLOSED} reject with tcp reset\n }}\n}}"
        ))?;

        let mut dns = Dns::default();
        dns.listen(wan.space(), RESOLVER_V4)?;
        dns.listen(wan.space(), RESOLVER_V6)?;
        dns.listen(lan.space(), RESOLVER_LAN)?;
        dns.listen(tailnet.space(), RESOLVER_TAILNET)?;
        dns.listen(host.space(), RESOLVER_STUB)?;
        for name in NAMES {
            dns.set(name, Says::Addresses(vec![CDN_V4, CDN_V6]));
        }

        let names = [NAMES, &["*.example.com", "*.example.org"]].concat();
        let authority =
            Authority::new(directory.path(), &names, &[CDN_V4, CDN_V6, OTHER_V4, OTHER_V6, LAN, LAN6, META])?;
        fs::create_dir(directory.path().join("files"))?;
        let web = Web::start(&wan, directory.path(), &authority)?;
        let resolver = space::resolver_file(host.space().name());
        fs::create_dir_all(resolver.parent().unwrap_or(Path::new("/etc/netns")))?;
        let usual = if families == Families::OnlyV6 { RESOLVER_V6 } else { RESOLVER_V4 };
        fs::write(resolver, format!("nameserver {usual}\noptions timeout:2 attempts:1\n"))?;
        let trusted = authority.trusted;
        Ok(Self {
            ssh: None,
            _web: web,
            dns,
            host,
            wan,
            lan,
            lan6,
            tailnet,
            meta,
            router,
            families,
            trusted,
            directory,
        })
    }

    /// What the resolvers say.
    #[must_use]
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// Where sessions run.
    #[must_use]
    pub fn host(&self) -> &Place {
        &self.host
    }

    /// The public internet.
    #[must_use]
    pub fn wan(&self) -> &Place {
        &self.wan
    }

    /// Private neighbours of the host.
    #[must_use]
    pub fn lan(&self) -> &Place {
        &self.lan
    }

    /// Neighbours of the host with global addresses.
    #[must_use]
    pub fn lan6(&self) -> &Place {
        &self.lan6
    }

    /// Machines behind the host's tunnel.
    #[must_use]
    pub fn tailnet(&self) -> &Place {
        &self.tailnet
    }

    /// A cloud's metadata.
    #[must_use]
    pub fn meta(&self) -> &Place {
        &self.meta
    }

    /// What lies between the host and the rest.
    #[must_use]
    pub fn router(&self) -> &Space {
        &self.router
    }

    /// The place where an address is, seen from the host.
    #[must_use]
    pub fn place_of(&self, address: IpAddr) -> &Place {
        match address {
            IpAddr::V4(v4) => match v4.octets() {
                [127, ..] | [0, 0, 0, 0] | [10, 77 | 78, 0, 2] | [192, 168, 77, 2] => &self.host,
                [192, 168, 77, _] => &self.lan,
                [100, 64..=127, ..] => &self.tailnet,
                [169, 254, 169, 254] => &self.meta,
                _ => &self.wan,
            },
            IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => &self.host,
            IpAddr::V6(v6) if v6.segments()[..3] == [0x2a0e, 0xb107, 0x6] => &self.lan6,
            IpAddr::V6(v6) if v6.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0] => &self.tailnet,
            IpAddr::V6(_) => &self.wan,
        }
    }

    /// Packets that reached internal addresses anywhere but on the host itself, by address.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn packets_everywhere(&self) -> Result<Vec<(&'static str, IpAddr, u64)>> {
        let places = [
            ("wan", &self.wan),
            ("lan", &self.lan),
            ("lan6", &self.lan6),
            ("tailnet", &self.tailnet),
            ("meta", &self.meta),
        ];
        let mut all = Vec::new();
        for (name, place) in places {
            all.extend(place.packets()?.into_iter().map(|(address, count)| (name, address, count)));
        }
        Ok(all)
    }

    /// Certificate of the lab's authority.
    #[must_use]
    pub fn trusted(&self) -> &Path {
        &self.trusted
    }

    /// A directory of the lab's own that lives as long as it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Which families the host has.
    #[must_use]
    pub fn families(&self) -> Families {
        self.families
    }

    /// A program on the host, as root and without a session, with the lab's resolver and authority.
    #[must_use]
    pub fn outside(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.host.space().name(), program]);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8");
        command.env("HOME", self.directory.path()).current_dir(self.directory.path());
        command.envs(guest::TRUST_VARIABLES.iter().map(|name| (name, &self.trusted)));
        command
    }

    /// Runs a shell script on the host without a session: what works inside has to work here.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn shell_outside(&self, script: &str) -> Result<Finished> {
        run(self.outside("/bin/sh").args(["-ec", script]), b"", LIMIT)
    }

    /// What `client.py` says with these arguments on the host, without a session.
    ///
    /// # Errors
    /// When it fails, takes too long or says something else than JSON.
    pub fn client_outside(&self, arguments: &[&str]) -> Result<Vec<serde_json::Value>> {
        let client = self.directory.path().join("client.py");
        fs::write(&client, guest::CLIENT)?;
        let mut command = self.outside("/usr/bin/python3");
        guest::answers(&run(command.arg(client).args(arguments), b"", LIMIT)?)
    }

    /// Fills the registries of npm, PyPI and crates.io, and the forge, each with `lab-tiny`.
    ///
    /// # Errors
    /// When a program for that is missing.
    pub fn publish_packages(&self) -> Result<()> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", PACKAGES, "sh"]).arg(self.directory.path().join("files"));
        run(&mut command, b"", LIMIT)?.success().map(drop)
    }

    /// Starts ssh at every public address, for the forge's repository.
    ///
    /// # Errors
    /// When sshd(8) does not start.
    pub fn start_ssh(&mut self) -> Result<&Ssh> {
        let repository = self.directory.path().join("files/github.com/lab/tiny.git");
        let ssh = Ssh::start(&self.wan, self.directory.path().join("ssh"), &repository, CDN_V4, 22)?;
        Ok(self.ssh.insert(ssh))
    }

    /// Starts another one at every public address on port 2222: with keys of its own, another host.
    ///
    /// # Errors
    /// When sshd(8) does not start.
    pub fn other_ssh(&self) -> Result<Ssh> {
        let repository = self.directory.path().join("files/github.com/lab/tiny.git");
        Ssh::start(&self.wan, self.directory.path().join("other-ssh"), &repository, CDN_V4, 2222)
    }

    /// The one that was started.
    #[must_use]
    pub fn ssh(&self) -> Option<&Ssh> {
        self.ssh.as_ref()
    }

    /// A machine whose host is the lab's.
    ///
    /// # Errors
    /// As [`crate::Machine::new`].
    pub fn machine(&self) -> Result<Guest<'_>> {
        Guest::new(self, Programs::real()?, &[])
    }

    /// The same with other programs and variables.
    ///
    /// # Errors
    /// As [`crate::Machine::new`].
    pub fn machine_with(&self, programs: Programs, environment: &[(&str, &str)]) -> Result<Guest<'_>> {
        Guest::new(self, programs, environment)
    }
}
