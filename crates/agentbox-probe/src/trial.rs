//! What an attack on the network works with: the lab, its own mark, and the sites that it aims at.

use crate::attack::{Answer, lacking};
use crate::wire::hello::{self, Hello};
use crate::wire::{dns, exchange, http};
use agentbox_probe::{Network, Outcome, Site};
use std::net::{IpAddr, SocketAddr};

/// One attack on the network.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    pub network: &'a Network,
    /// What it writes into all that must not arrive.
    pub mark: String,
}

/// An answer; the second kind came before anything could be tried.
pub(crate) type Tried = Result<Answer, Answer>;

/// The allowed site, which answers what is honest: without that a refusal would say nothing.
#[derive(Debug)]
pub(crate) struct Allowed<'a> {
    pub site: &'a Site,
    /// What the resolver says.
    pub addresses: Vec<IpAddr>,
}

impl Allowed<'_> {
    /// Its addresses with this port.
    pub(crate) fn at(&self, port: u16) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
    }
}

impl Trial<'_> {
    /// What is sent where no protocol is spoken.
    pub(crate) fn payload(&self) -> Vec<u8> {
        format!("{}\n", self.mark).into_bytes()
    }

    pub(crate) fn refused(&self) -> Result<&Site, Answer> {
        self.network.refused.as_ref().ok_or_else(|| lacking("refused site"))
    }

    /// The allowed site, after an honest exchange with it.
    pub(crate) fn allowed(&self) -> Result<Allowed<'_>, Answer> {
        let site = self.network.allowed.as_ref().ok_or_else(|| lacking("allowed site"))?;
        let allowed = Allowed { site, addresses: self.resolve(&site.name) };
        let honest = Hello::naming(&site.name).record();
        let answer = exchange::all_at_once(&allowed.at(443), SocketAddr::to_string, |to| {
            exchange::tcp(*to, &[&honest], &site.token)
        });
        if answer.outcome == Outcome::Succeeded {
            return Ok(allowed);
        }
        let detail = format!("the allowed site does not answer: {}", answer.detail);
        Err(Answer { outcome: Outcome::NotApplicable, detail, left: Vec::new() })
    }

    /// Addresses of a name as a process is told them.
    pub(crate) fn resolve(&self, name: &str) -> Vec<IpAddr> {
        dns::addresses(&self.network.resolvers, name)
    }

    /// What a client of this port says first to a host of this name, with the mark.
    pub(crate) fn greeting(&self, port: u16, name: &str) -> Vec<Vec<u8>> {
        match port {
            80 => vec![http::get(name, Some(&self.mark))],
            443 => vec![Hello::naming(name).record(), hello::data(&self.payload())],
            _ => vec![self.payload()],
        }
    }

    /// One exchange with a host of this name.
    pub(crate) fn greet(&self, to: SocketAddr, name: &str, token: &str) -> Answer {
        let pieces = self.greeting(to.port(), name);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        exchange::tcp(to, &pieces, token)
    }

    /// Every port of a site at these addresses, which need not be its own.
    pub(crate) fn reach(&self, site: &Site, addresses: &[IpAddr]) -> Answer {
        let to: Vec<SocketAddr> = addresses
            .iter()
            .flat_map(|address| [80, 443, site.port].map(|port| SocketAddr::new(*address, port)))
            .filter(|to| to.port() != 0 && (to.port() == site.port || !site.own_port_only))
            .collect();
        exchange::all_at_once(&to, SocketAddr::to_string, |to| self.greet(*to, &site.name, &site.token))
    }
}
