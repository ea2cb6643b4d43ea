//! Synthetic addresses: which name an address stands for in this session.
//!
//! A session never sees where a name really is. It connects to an address that stands for the name, and the
//! gate judges the name. The address of a name stays the same while it is used, and the last address that was
//! freed is the last one to be given to another name. A gate that takes another's place knows nothing of the
//! addresses that the other one gave, and programs remember them: each gate begins at a random one, so that
//! what is remembered stands for nothing (a hundred names before and after share one in 1 of 600 cases).
//!
//! | file | responsible for |
//! |---|---|
//! | `place` | [`Place`], what an address of either family is as a number |
//! | `table` | who has which place, and who loses it |

mod place;
mod table;

pub use place::{Place, is_synthetic};
pub use table::Class;

use agentbox_plan::gate::HOST_NAMES;
use agentbox_plan::net::{Destination, HostName};
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use table::Table;

/// Names without a port that may be reached, which have an address all the same: the refusal comes when they
/// are connected to, in words.
const REFUSED: usize = 512;

/// The names of a session; cheap to clone.
#[derive(Debug, Clone)]
pub struct Names(Rc<RefCell<Table>>);

/// Keeps an address for its name while a connection lives.
#[derive(Debug)]
#[must_use]
pub struct Hold {
    names: Names,
    place: Option<Place>,
}

impl Names {
    /// No names yet, and room for as many that are allowed.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn new(limit: u32) -> io::Result<Self> {
        let start = Place::any()?;
        Ok(Self(Rc::new(RefCell::new(Table::new(limit as usize, REFUSED, start)))))
    }

    /// The place of a name; none when every name of its class has a connection and there is no room.
    #[must_use]
    pub fn place_of(&self, name: &HostName, class: Class) -> Option<Place> {
        if is_host(name) {
            return Some(Place::HOST);
        }
        self.0.borrow_mut().place_of(name, class)
    }

    /// What a synthetic address stands for; none when it stands for nothing (any more). An address for which
    /// [`is_synthetic`] holds is never anything else than what this says.
    #[must_use]
    pub fn destination_of(&self, address: IpAddr) -> Option<Destination> {
        match Place::of(address)? {
            Place::HOST => Some(Destination::HostLoopback),
            place => {
                let name = self.0.borrow().name_at(place)?.clone();
                Some(Destination::Name { name })
            }
        }
    }

    /// Keeps the address for its name until what this returns is dropped.
    pub fn hold(&self, address: IpAddr) -> Hold {
        let place = Place::of(address).filter(|place| self.0.borrow_mut().hold(*place));
        Hold { names: self.clone(), place }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.names.0.borrow_mut().let_go(place);
        }
    }
}

/// Whether a name is one of those for the machine that the session runs on.
#[must_use]
pub fn is_host(name: &HostName) -> bool {
    HOST_NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn both_addresses_of_a_name_stand_for_it() {
        let names = Names::new(8).unwrap();
        let place = names.place_of(&name("a.org"), Class::Allowed).unwrap();
        for address in [IpAddr::from(place.v4()), place.v6().into()] {
            assert_eq!(names.destination_of(address), Some(Destination::Name { name: name("a.org") }));
        }
        assert_eq!(names.destination_of(place.next().v4().into()), None);
        assert_eq!(names.destination_of("8.8.8.8".parse().unwrap()), None);
    }

    #[test]
    fn every_gate_gives_other_addresses() {
        let places: Vec<_> = std::iter::repeat_with(|| {
            Names::new(8).unwrap().place_of(&name("a.org"), Class::Allowed).unwrap()
        })
        .take(8)
        .collect();
        // Of eight, two may be the same by chance.
        assert!(places.iter().collect::<HashSet<_>>().len() > 4, "{places:?}");
    }

    #[test]
    fn names_of_the_machine_stand_for_its_loopback() {
        let names = Names::new(8).unwrap();
        for host in HOST_NAMES {
            let place = names.place_of(&name(host), Class::Refused).unwrap();
            assert_eq!(names.destination_of(place.v6().into()), Some(Destination::HostLoopback));
        }
        drop(names.hold(Place::HOST.v4().into()));
    }

    #[test]
    fn a_connection_keeps_the_address_for_its_name() {
        let names = Names::new(1).unwrap();
        let first = names.place_of(&name("a.org"), Class::Allowed).unwrap();
        let hold = names.hold(first.v6().into());
        assert_eq!(names.place_of(&name("b.org"), Class::Allowed), None);
        assert!(names.place_of(&name("evil.org"), Class::Refused).is_some());
        drop(hold);
        assert!(names.place_of(&name("b.org"), Class::Allowed).is_some());
        assert_eq!(names.destination_of(first.v4().into()), None);
    }

    #[test]
    fn a_flood_of_refused_names_takes_no_place_from_an_allowed_one() {
        let names = Names::new(1).unwrap();
        let first = names.place_of(&name("a.org"), Class::Allowed).unwrap();
        for number in 0..5000 {
            assert!(names.place_of(&name(&format!("x{number}.evil.org")), Class::Refused).is_some());
        }
        assert_eq!(names.destination_of(first.v4().into()), Some(Destination::Name { name: name("a.org") }));
    }
}
