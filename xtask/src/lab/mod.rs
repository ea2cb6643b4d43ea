//! A small internet: two network namespaces with a wire between them, and no way out of either.
//!
//! The supervisor and its sessions live in [`Lab::host`]; everything that they reach is served in the
//! other one, at addresses that look public. What the lab is asked and who connects is noted there, on
//! the far side.
//!
//! | file | does |
//! |---|---|
//! | `space` | a network namespace that is gone when its holder is |
//! | `dns` | answers for names as the lab's zone says |
//! | `authority` | certificates |

mod authority;
mod dns;
mod space;

pub(crate) use authority::Authority;
pub(crate) use dns::Zone;
pub(crate) use space::{Space, within};

use anyhow::{Context as _, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The resolver of the lab.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);

/// How the host's end and the far end of the wire are called, and their addresses. These are on-link for
/// the host, so nothing is served there.
const HOST_SIDE: &str = "\
    link set lo up\n\
    link add up0 type veth peer name down0 netns FAR\n\
    address add 192.168.77.2/30 dev up0\n\
    address add fd77::2/64 dev up0 nodad\n\
    link set up0 up\n";
const FAR_SIDE: &str = "\
    link set lo up\n\
    address add 192.168.77.1/30 dev down0\n\
    address add fd77::1/64 dev down0 nodad\n\
    link set down0 up\n";
const ROUTES: &str = "\
    route add default via 192.168.77.1\n\
    -6 route add default via fd77::1\n";

/// The two namespaces. They are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Where the supervisor, its sessions and the person live.
    pub(crate) host: Space,
    far: Space,
}

impl Lab {
    /// Makes both, with these addresses on the far side besides that of the resolver.
    pub(crate) fn make(addresses: &[IpAddr], zone: Zone) -> Result<Self> {
        let (host, far) = (Space::make()?, Space::make()?);
        host.ip(&HOST_SIDE.replace("FAR", &far.pid().to_string()))?;
        let mut setup = FAR_SIDE.to_owned();
        for address in addresses.iter().chain([&IpAddr::V4(RESOLVER)]) {
            let (length, nodad) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
            setup.push_str(&format!("address add {address}/{length} dev lo{nodad}\n"));
        }
        far.ip(&setup)?;
        host.ip(ROUTES)?;
        let socket = far.enter(|| std::net::UdpSocket::bind((RESOLVER, 53)))?;
        zone.serve(socket.context("cannot answer questions for names in the lab")?);
        Ok(Self { host, far })
    }

    /// A listening socket on the far side.
    pub(crate) fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        self.far.enter(|| TcpListener::bind(address))?.with_context(|| format!("cannot listen on {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;
    use std::io::{Read as _, Write as _};

    /// Needs root, as everything that makes namespaces.
    #[test]
    fn the_far_side_is_reached_by_name_and_nothing_else_is() {
        let public: IpAddr = "93.184.216.10".parse().unwrap();
        let zone = Zone::default().name("api.example.org", &[&["93.184.216.10"]]);
        let lab = Lab::make(&[public], zone.clone()).unwrap();
        let listener = lab.listen(SocketAddr::new(public, 80)).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        });
        let echoed = lab.host.enter(|| {
            let mut stream = std::net::TcpStream::connect((public, 80)).unwrap();
            stream.write_all(b"x").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte
        });
        assert_eq!(echoed.unwrap(), *b"x");
        served.join().unwrap();

        let answer = lab.host.enter(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03API\x07example\x03org\x00\x00\x01\x00\x01";
            socket.send_to(question, (RESOLVER, 53)).unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).unwrap();
            answer[..length].to_vec()
        });
        assert!(answer.unwrap().ends_with(&[93, 184, 216, 10]));
        assert_eq!(zone.asked(), ["api.example.org A"]);

        let own = program::capture(lab.host.command("ip").args(["-oneline", "link"])).unwrap();
        assert_eq!(own.lines().count(), 2, "{own}");
        assert!(lab.host.enter(|| TcpListener::bind((public, 80))).unwrap().is_err());
    }

    #[test]
    fn a_namespace_is_gone_with_the_one_who_made_it() {
        let space = Space::make().unwrap();
        let path = space.path();
        assert!(path.exists());
        drop(space);
        assert!(!path.exists());
    }
}
