//! The names and addresses of the demonstration's lab, and what is served there.

use super::Place;
use super::standin::{Standin, Task};
use crate::lab::{Authority, Lab, Zone};
use anyhow::{Context as _, Result};
use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A name that the profile allows.
pub(super) const API: &str = "api.example.org";
/// One that it does not.
pub(super) const PASTE: &str = "paste.example.com";
/// One that it allows, and whose address is internal.
pub(super) const INTRANET: &str = "intranet.example.org";
/// One that it allows, whose first address is public and whose second one is internal.
pub(super) const REBINDING: &str = "rebinding.example.org";
/// What the profile of the demonstration allows.
pub(super) const ALLOWED: &[&str] = &[API, INTRANET, REBINDING];

/// The services of agents.
pub(super) const ANTHROPIC: &str = "api.anthropic.com";
pub(super) const OPENAI: &str = "api.openai.com";

const API_AT: &str = "93.184.216.10";
const PASTE_AT: &str = "93.184.216.20";
const AGENTS_AT: &str = "93.184.216.30";
const INTERNAL_AT: &str = "10.20.30.40";

/// Where [`PASTE`] is.
pub(super) const PASTE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 20));
/// Where [`INTRANET`] is, and [`REBINDING`] the second time.
pub(super) const INTERNAL_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 30, 40));

/// The lab with its services.
#[derive(Debug)]
pub(super) struct Internet {
    pub(super) lab: Lab,
    pub(super) standin: Standin,
    pub(super) zone: Zone,
    /// The certificate of its authority, where sessions can read it.
    pub(super) certificate: PathBuf,
}

impl Internet {
    /// Makes it; agents are told to repair the project.
    pub(super) fn make(place: &Place, project: &Path) -> Result<Self> {
        let zone = Zone::default()
            .name(API, &[&[API_AT]])
            .name(PASTE, &[&[PASTE_AT]])
            .name(INTRANET, &[&[INTERNAL_AT]])
            .name(REBINDING, &[&[API_AT], &[INTERNAL_AT]])
            .name(ANTHROPIC, &[&[AGENTS_AT]])
            .name(OPENAI, &[&[AGENTS_AT]]);
        let addresses = [API_AT, PASTE_AT, AGENTS_AT, INTERNAL_AT];
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let lab = Lab::make(&addresses, zone.clone())?;

        let private = place.directory().join("authority");
        std::fs::create_dir(&private).context("cannot make a directory for the authority of the lab")?;
        std::fs::set_permissions(&private, Permissions::from_mode(0o700))?;
        let authority = Authority::make(&private)?;
        let certificate = place.shared().join("authority.pem");
        std::fs::copy(authority.certificate(), &certificate)?;
        std::fs::set_permissions(&certificate, Permissions::from_mode(0o644))?;
        let tls = authority.serve(&[API, PASTE, INTRANET, REBINDING, ANTHROPIC, OPENAI])?;

        let standin = Standin::new(Task {
            file: project.join("sum.c"),
            test: "make test".to_owned(),
            good: "sum(2, 2) is 4".to_owned(),
        });
        for address in addresses {
            standin.serve(lab.listen(SocketAddr::new(address, 80))?, None);
            standin.serve(lab.listen(SocketAddr::new(address, 443))?, Some(tls.clone()));
        }
        Ok(Self { lab, standin, zone, certificate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_say_the_same_twice() {
        assert_eq!(PASTE_AT.parse(), Ok(PASTE_ADDRESS));
        assert_eq!(INTERNAL_AT.parse(), Ok(INTERNAL_ADDRESS));
    }
}
