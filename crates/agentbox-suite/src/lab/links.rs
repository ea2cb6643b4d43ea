//! Links, addresses and routes of the lab.

use super::Families;
use super::space::Space;
use anyhow::Result;

/// Makes the links. Every link is two ends of a pair; no end is in the machine's own namespace.
pub(super) fn connect(families: Families, spaces: [&Space; 7]) -> Result<()> {
    let [host, router, wan, lan, lan6, tailnet, meta] = spaces;
    let (v4, v6) = (families != Families::OnlyV6, families != Families::OnlyV4);
    let pair = |near: &Space, end: &str, far: &Space, other: &str| {
        near.ip(&format!("link add {end} type veth peer name {other} netns {}", far.name()))?;
        near.ip(&format!("link set {end} up"))?;
        far.ip(&format!("link set {other} up"))
    };
    pair(host, "up0", router, "host0")?;
    pair(host, "up1", router, "host1")?;
    pair(host, "lan0", lan, "host")?;
    pair(host, "six0", lan6, "host")?;
    pair(host, "ts0", tailnet, "host")?;
    pair(router, "wan", wan, "router")?;
    pair(router, "meta", meta, "router")?;
    router.set(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
    if v4 {
        host.ip("address add 10.77.0.2/24 dev up0\naddress add 10.78.0.2/24 dev up1\n\
             address add 192.168.77.2/24 dev lan0\naddress add 100.101.102.103/32 dev ts0\n\
             route add 100.64.0.0/10 dev ts0\nroute add default via 10.77.0.1")?;
    }
    if v6 {
        host.ip(
            "address add 2a0e:b107:77::2/64 dev up0 nodad\naddress add 2a0e:b107:78::2/64 dev up1 nodad\n\
             address add 2a0e:b107:6::2/64 dev six0 nodad\naddress add fd7a:115c:a1e0::2/48 dev ts0 nodad\n\
             -6 route add default via 2a0e:b107:77::1",
        )?;
    }
    router.ip("address add 10.77.0.1/24 dev host0\naddress add 2a0e:b107:77::1/64 dev host0 nodad\n\
         address add 10.78.0.1/24 dev host1\naddress add 2a0e:b107:78::1/64 dev host1 nodad\n\
         address add 10.79.0.1/24 dev wan\naddress add 2a0e:b107:79::1/64 dev wan nodad\n\
         address add 169.254.169.1/24 dev meta\n\
         route add default via 10.79.0.2\n-6 route add default via 2a0e:b107:79::2")?;
    lan.ip("address add 192.168.77.10/24 dev host\naddress add 192.168.77.53/24 dev host\n\
         route add default via 192.168.77.2")?;
    lan6.ip("address add 2a0e:b107:6::10/64 dev host nodad\n-6 route add default via 2a0e:b107:6::2")?;
    // It takes every address of the tailnet for its own but the host's.
    tailnet.ip(
        "address add 100.101.102.104/32 dev host\naddress add 100.100.100.100/32 dev host\n\
         route add 100.101.102.103/32 dev host\nroute add local 100.64.0.0/10 dev lo table local\n\
         rule add pref 10 to 100.101.102.103/32 lookup main\nrule add pref 100 lookup local\nrule del pref 0\n\
         address add fd7a:115c:a1e0::10/48 dev host nodad",
    )?;
    meta.ip("address add 169.254.169.254/24 dev router\nroute add default via 169.254.169.1")?;
    // The rest of the world: every address is its own, but those of who has to get its answers. IPv4 sends
    // from an address only when the table `local` has it; IPv6 needs that table first, to find neighbours.
    wan.ip("address add 10.79.0.2/24 dev router\naddress add 2a0e:b107:79::2/64 dev router nodad\n\
         route add default via 10.79.0.1\n-6 route add default via 2a0e:b107:79::1\n\
         rule add pref 10 to 10.79.0.1/32 lookup main\nrule add pref 11 to 10.77.0.2/32 lookup main\n\
         rule add pref 12 to 10.78.0.2/32 lookup main\nrule add pref 100 lookup local\nrule del pref 0\n\
         -6 rule add pref 10 to 2a0e:b107:79::/64 lookup main\n\
         -6 rule add pref 11 to 2a0e:b107:77::/64 lookup main\n\
         -6 rule add pref 12 to 2a0e:b107:78::/64 lookup main\n\
         -6 rule add pref 13 to fe80::/10 lookup main\n\
         -6 rule add pref 100 lookup 100\n\
         route add local default dev lo table local\n-6 route add local default dev lo table 100")?;
    wan.set(&[("ipv4/ip_nonlocal_bind", "1"), ("ipv6/ip_nonlocal_bind", "1")])?;
    Ok(())
}
