//! Which name has which place, and which name loses it when there is no room.

use super::Place;
use agentbox_plan::net::HostName;
use std::collections::{BTreeMap, HashMap};

/// Whether a name may be reached. Each class has room of its own, so that asking for names that are refused
/// takes no place from one that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// By at least one port.
    Allowed,
    /// By none.
    Refused,
}

#[derive(Debug)]
struct Entry {
    name: HostName,
    class: Class,
    /// Connections that live.
    holds: u32,
    /// When it was asked for or let go last.
    used: u64,
}

#[derive(Debug)]
struct Room {
    limit: usize,
    count: usize,
    /// Those without a connection, by when they were used.
    idle: BTreeMap<u64, Place>,
}

/// All names of a session that have a place.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<Place, Entry>,
    places: HashMap<HostName, Place>,
    allowed: Room,
    refused: Room,
    /// Where a free place is looked for: behind the last one that was given. A place that a name has lost is
    /// given again as late as possible, since somebody may remember it.
    next: Place,
    time: u64,
}

impl Table {
    /// Names get their places from `start` on.
    pub(super) fn new(allowed: usize, refused: usize, start: Place) -> Self {
        let room = |limit: usize| Room { limit, count: 0, idle: BTreeMap::new() };
        // Half of the places stay free, so that one is found soon.
        let most = Place::COUNT / 4;
        Self {
            entries: HashMap::new(),
            places: HashMap::new(),
            allowed: room(allowed.clamp(1, most)),
            refused: room(refused.clamp(1, most)),
            next: start,
            time: 0,
        }
    }

    fn room(&mut self, class: Class) -> &mut Room {
        match class {
            Class::Allowed => &mut self.allowed,
            Class::Refused => &mut self.refused,
        }
    }

    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    /// Makes room for one more; false when every name of that class has a connection.
    fn make_room(&mut self, class: Class) -> bool {
        let room = self.room(class);
        if room.count < room.limit {
            return true;
        }
        let Some((_, place)) = room.idle.pop_first() else { return false };
        room.count -= 1;
        if let Some(entry) = self.entries.remove(&place) {
            self.places.remove(&entry.name);
        }
        true
    }

    /// The place of a name, a new one if need be; none when there is no room.
    pub(super) fn place_of(&mut self, name: &HostName, class: Class) -> Option<Place> {
        if let Some(place) = self.places.get(name).copied() {
            self.use_again(place, class);
            return Some(place);
        }
        if !self.make_room(class) {
            return None;
        }
        let mut place = self.next;
        while self.entries.contains_key(&place) {
            place = place.next();
        }
        self.next = place.next();
        let used = self.tick();
        let room = self.room(class);
        room.count += 1;
        room.idle.insert(used, place);
        self.places.insert(name.clone(), place);
        self.entries.insert(place, Entry { name: name.clone(), class, holds: 0, used });
        Some(place)
    }

    /// Marks a place as used now, and moves its name to another class when it is of another one now. Without
    /// room there it stays where it is: the class says who has to go first, not what may be reached.
    fn use_again(&mut self, place: Place, class: Class) {
        let used = self.tick();
        let Some(entry) = self.entries.get(&place) else { return };
        let (before, was_used) = (entry.class, entry.used);
        let class = if before == class || self.make_room(class) { class } else { before };
        let Some(entry) = self.entries.get_mut(&place) else { return };
        (entry.class, entry.used) = (class, used);
        let is_idle = entry.holds == 0;
        let old = self.room(before);
        old.count -= 1;
        old.idle.remove(&was_used);
        let new = self.room(class);
        new.count += 1;
        if is_idle {
            new.idle.insert(used, place);
        }
    }

    pub(super) fn name_at(&self, place: Place) -> Option<&HostName> {
        self.entries.get(&place).map(|entry| &entry.name)
    }

    /// Keeps a place for its name until it is let go as often as it was held.
    pub(super) fn hold(&mut self, place: Place) -> bool {
        let Some(entry) = self.entries.get_mut(&place) else { return false };
        entry.holds += 1;
        let (class, used) = (entry.class, entry.used);
        self.room(class).idle.remove(&used);
        true
    }

    pub(super) fn let_go(&mut self, place: Place) {
        let used = self.tick();
        let Some(entry) = self.entries.get_mut(&place) else { return };
        entry.holds = entry.holds.saturating_sub(1);
        entry.used = used;
        if entry.holds == 0 {
            let class = entry.class;
            self.room(class).idle.insert(used, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(number: usize) -> HostName {
        format!("n{number}.example.org").parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_place() {
        let mut table = Table::new(3, 3, Place::FIRST);
        let place = table.place_of(&name(1), Class::Allowed).unwrap();
        table.place_of(&name(2), Class::Refused);
        assert_eq!(table.place_of(&name(1), Class::Allowed), Some(place));
        assert_eq!(table.place_of(&name(1), Class::Refused), Some(place));
        assert_eq!(table.name_at(place), Some(&name(1)));
    }

    #[test]
    fn the_name_that_was_not_used_for_the_longest_time_goes_first() {
        let mut table = Table::new(2, 1, Place::FIRST);
        let first = table.place_of(&name(1), Class::Allowed).unwrap();
        let second = table.place_of(&name(2), Class::Allowed).unwrap();
        table.place_of(&name(1), Class::Allowed);
        let third = table.place_of(&name(3), Class::Allowed).unwrap();
        assert_eq!(table.name_at(first), Some(&name(1)));
        assert_eq!(table.name_at(second), None, "nor is its place given to the next one");
        assert_eq!(table.name_at(third), Some(&name(3)));
    }

    #[test]
    fn without_room_there_is_no_place() {
        let mut table = Table::new(1, 1, Place::FIRST);
        let first = table.place_of(&name(1), Class::Allowed).unwrap();
        assert!(table.hold(first) && table.hold(first));
        assert_eq!(table.place_of(&name(2), Class::Allowed), None);
        table.let_go(first);
        assert_eq!(table.place_of(&name(2), Class::Allowed), None);
        table.let_go(first);
        assert!(table.place_of(&name(2), Class::Allowed).is_some());
        assert!(!table.hold(first), "it stands for nothing any more");
    }

    #[test]
    fn a_lost_place_is_given_again_only_after_all_others() {
        for start in [Place::FIRST, Place::FIRST.next(), Place::LAST] {
            let mut table = Table::new(1, 1, start);
            let first = table.place_of(&name(0), Class::Allowed).unwrap();
            assert_eq!(first, start);
            let before_first_again =
                (1..).find(|number| table.place_of(&name(*number), Class::Allowed) == Some(first));
            assert_eq!(before_first_again, Some(Place::COUNT), "from {start:?}");
        }
    }

    #[test]
    fn names_that_begin_elsewhere_get_none_of_the_addresses_of_before() {
        let begin = |start: &str| {
            let mut table = Table::new(99, 1, Place::of(start.parse().unwrap()).unwrap());
            (0..99).map(|number| table.place_of(&name(number), Class::Allowed).unwrap()).collect::<Vec<_>>()
        };
        let (before, after) = (begin("198.18.3.9"), begin("198.19.255.200"));
        for place in after {
            let addresses = |place: &Place| (place.v4(), place.v6());
            assert!(before.iter().map(addresses).all(|(v4, v6)| v4 != place.v4() && v6 != place.v6()));
        }
    }

    #[test]
    fn a_place_that_is_held_is_passed_over_when_all_others_were_given() {
        let mut table = Table::new(2, 1, Place::FIRST);
        let held = table.place_of(&name(0), Class::Allowed).unwrap();
        assert!(table.hold(held));
        for number in 1..=Place::COUNT {
            assert_ne!(table.place_of(&name(number), Class::Allowed), Some(held), "{number}");
        }
        assert_eq!(table.name_at(held), Some(&name(0)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask(usize, Class),
        Hold(usize),
        LetGo(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let class = prop_oneof![Just(Class::Allowed), Just(Class::Refused)];
        prop_oneof![
            4 => (0..12usize, class).prop_map(|(number, class)| Step::Ask(number, class)),
            1 => (0..12usize).prop_map(Step::Hold),
            1 => (0..12usize).prop_map(Step::LetGo),
        ]
    }

    proptest! {
        #[test]
        fn no_place_stands_for_two_names_and_none_that_is_held_is_given_away(
            steps in proptest::collection::vec(any_step(), 0..200),
            allowed in 1..6usize,
            refused in 1..4usize,
        ) {
            let mut table = Table::new(allowed, refused, Place::LAST);
            let mut held: HashMap<usize, (Place, u32)> = HashMap::new();
            for step in steps {
                let allowed_before: Vec<Place> = table.entries.iter()
                    .filter(|(_, entry)| entry.class == Class::Allowed).map(|(place, _)| *place).collect();
                match step {
                    Step::Ask(number, class) => {
                        let place = table.place_of(&name(number), class);
                        if let Some(place) = place {
                            prop_assert_eq!(table.name_at(place), Some(&name(number)));
                        }
                        if class == Class::Refused {
                            prop_assert!(allowed_before.iter().all(|place| table.entries.contains_key(place)));
                        }
                    }
                    Step::Hold(number) => if let Some(place) = table.places.get(&name(number)).copied() {
                        prop_assert!(table.hold(place));
                        held.entry(number).or_insert((place, 0)).1 += 1;
                    },
                    Step::LetGo(number) => if let Some((place, holds)) = held.get_mut(&number) {
                        table.let_go(*place);
                        *holds -= 1;
                        if *holds == 0 {
                            held.remove(&number);
                        }
                    },
                }
                for (number, (place, _)) in &held {
                    prop_assert_eq!(table.name_at(*place), Some(&name(*number)));
                }
                prop_assert_eq!(table.entries.len(), table.places.len());
                for (class, room) in [(Class::Allowed, &table.allowed), (Class::Refused, &table.refused)] {
                    let of_class = || table.entries.values().filter(|entry| entry.class == class);
                    prop_assert_eq!(of_class().count(), room.count);
                    prop_assert_eq!(of_class().filter(|entry| entry.holds == 0).count(), room.idle.len());
                    prop_assert!(room.count <= room.limit);
                }
            }
        }
    }
}
