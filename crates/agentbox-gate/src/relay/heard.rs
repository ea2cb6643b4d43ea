//! The memory of what clients said and nobody judged so far, of all connections together.

use std::cell::Cell;
use std::rc::Rc;

/// Most bytes of it: a session that begins thousands of long ones and ends none is refused the next long one.
const MOST_BYTES: usize = 16 << 20;
/// What a connection may hold whatever the others do: a ClientHello or a head as programs make them.
const ALWAYS_BYTES: usize = 4 << 10;

#[derive(Debug)]
struct Shared {
    most: usize,
    always: usize,
    held: Cell<usize>,
}

/// What is held in all.
#[derive(Debug, Clone)]
pub(super) struct Heard(Rc<Shared>);

/// What one connection holds of it, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Heard,
    bytes: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self::of(MOST_BYTES, ALWAYS_BYTES)
    }
}

impl Heard {
    /// So many bytes at most, and so many for each in any case.
    pub(super) fn of(most: usize, always: usize) -> Self {
        Self(Rc::new(Shared { most, always, held: Cell::new(0) }))
    }

    /// One that holds nothing.
    pub(super) fn share(&self) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// It holds so many bytes now; says whether it may.
    pub(super) fn holds(&mut self, bytes: usize) -> bool {
        let Shared { most, always, held } = &*self.of.0;
        held.set(held.get() - self.bytes + bytes);
        self.bytes = bytes;
        bytes <= *always || held.get() <= *most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.holds(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_no_more_than_there_may_be() {
        let heard = Heard::of(10, 2);
        let [mut one, mut other] = [heard.share(), heard.share()];
        assert!(one.holds(6) && other.holds(4) && !other.holds(5));
        assert!(other.holds(4) && one.holds(1));
        assert!(other.holds(9) && one.holds(2) && !one.holds(3));
        drop(other);
        assert!(one.holds(10));
    }
}
