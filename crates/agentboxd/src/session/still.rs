//! Why everything of an agent stands still. There can be two reasons at once, and each ends by itself.

/// The reasons.
#[derive(Debug, Default)]
pub(crate) struct Still {
    /// A trigger file came to be, or somebody wanted it; a person's word ends it.
    person: Option<String>,
    /// There is too little room on a disk; room ends it.
    room: Option<String>,
}

impl Still {
    /// Why, for the person; `None` when it may go on.
    pub(crate) fn why(&self) -> Option<&str> {
        self.person.as_deref().or(self.room.as_deref())
    }

    /// Until a person lets it go on.
    pub(crate) fn for_person(&mut self, why: String) {
        self.person = Some(why);
    }

    /// The person lets it go on; whether that was what it waited for.
    pub(crate) fn allowed(&mut self) -> bool {
        self.person.take().is_some()
    }

    /// Whether it waits for the person.
    pub(crate) fn waits_for_person(&self) -> bool {
        self.person.is_some()
    }

    /// Too little room, or room again.
    pub(crate) fn for_room(&mut self, why: Option<String>) {
        self.room = why;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_when_every_reason_has_ended() {
        let mut still = Still::default();
        assert_eq!(still.why(), None);
        still.for_room(Some("no room".to_owned()));
        assert!(!still.allowed(), "a person's word makes no room");
        assert_eq!(still.why(), Some("no room"));
        still.for_person("a hook".to_owned());
        assert_eq!(still.why(), Some("a hook"));
        assert!(still.waits_for_person());
        still.for_room(None);
        assert_eq!(still.why(), Some("a hook"), "room is no word of a person");
        assert!(still.allowed());
        assert_eq!(still.why(), None);
    }
}
