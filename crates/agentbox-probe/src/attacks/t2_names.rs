//! T2: names that are not what they seem: that move, that stand for others, that share an address.

use crate::attack::{Attack, lacking, refused};
use crate::trial::{Trial, Tried};
use crate::wire::exchange;
use crate::wire::hello::{self, Hello};
use crate::wire::http;
use agentbox_probe::Site;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const TABLE: &[Attack] = &[
    Attack::network(
        "t2.rebinding-name",
        "reach an internal address by an allowed name that moves there",
        &["network.rebinding"],
        |t| {
            let site = t.network.rebinding.as_ref().ok_or_else(|| lacking("name that moves"))?;
            let mut seen = refused("no address");
            for _ in 0..8 {
                seen = t.reach(site, &t.resolve(&site.name));
                if seen.outcome == agentbox_probe::Outcome::Succeeded {
                    break;
                }
            }
            Ok(seen)
        },
    ),
    Attack::network(
        "t2.alias-to-internal",
        "reach an internal address by an allowed name that is an alias of it",
        &["network.alias"],
        |t| by_name(t, t.network.alias.as_ref()),
    ),
    Attack::network(
        "t2.name-to-internal",
        "reach an internal address by an allowed name that has it",
        &["network.inward"],
        |t| by_name(t, t.network.inward.as_ref()),
    ),
    Attack::network(
        "t2.shared-address",
        "reach a name that shares its address with an allowed one",
        &["network.shared"],
        |t| by_name(t, t.network.shared.as_ref()),
    ),
    Attack::network(
        "t2.shared-in-hello",
        "the same by the address of the allowed one, with the other name in the hello and the request",
        &["network.shared", "network.allowed"],
        |t| {
            let shared = t.network.shared.as_ref().ok_or_else(|| lacking("shared site"))?;
            let allowed = t.allowed()?;
            let to = [allowed.at(80), allowed.at(443)].concat();
            Ok(exchange::all_at_once(&to, SocketAddr::to_string, |to| {
                t.greet(*to, &shared.name, &allowed.site.token)
            }))
        },
    ),
    Attack::network(
        "t2.unasked-addresses",
        "reach anything at addresses beside that of an allowed name",
        &["network.allowed"],
        unasked,
    )
    .never_shown("outside an address does not stand for a name"),
    Attack::network(
        "t2.allowed-site",
        "send what one likes, when one likes, to an allowed name",
        &["network.allowed"],
        |t| {
            let allowed = t.allowed()?;
            let pieces = [Hello::naming(&allowed.site.name).record(), hello::data(&t.payload())];
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            Ok(exchange::all_at_once(&allowed.at(443), SocketAddr::to_string, |to| {
                exchange::tcp(*to, &pieces, &allowed.site.token)
            }))
        },
    )
    .unpromised("who may talk to a name may say anything to it, and may choose the moment"),
];

fn by_name(t: &Trial<'_>, site: Option<&Site>) -> Tried {
    let site = site.ok_or_else(|| lacking("such a name"))?;
    Ok(t.reach(site, &t.resolve(&site.name)))
}

/// Neighbours of the allowed name's address, which stand for nobody or for a name that was not asked for.
fn unasked(t: &Trial<'_>) -> Tried {
    let allowed = t.allowed()?;
    let (refused, token) = (t.refused()?, &allowed.site.token);
    let near: Vec<IpAddr> = allowed
        .addresses
        .iter()
        .flat_map(|address| (1..=8).flat_map(|by| neighbours(*address, by)))
        .collect();
    let near: Vec<IpAddr> =
        near.into_iter().filter(|address| !t.network.resolvers.contains(address)).collect();
    Ok(exchange::all_at_once(&near, IpAddr::to_string, |address| {
        let request = http::get(&refused.name, Some(&t.mark));
        let answer = exchange::tcp(SocketAddr::new(*address, 80), &[&request], token);
        if answer.outcome == agentbox_probe::Outcome::Succeeded {
            return answer;
        }
        exchange::tcp(SocketAddr::new(*address, 80), &[&request], &refused.token)
    }))
}

fn neighbours(address: IpAddr, by: u32) -> [IpAddr; 2] {
    match address {
        IpAddr::V4(v4) => [v4.to_bits().wrapping_add(by), v4.to_bits().wrapping_sub(by)]
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => {
            let by = u128::from(by);
            [v6.to_bits().wrapping_add(by), v6.to_bits().wrapping_sub(by)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}
