//! Bytes that wait for somebody to take them.

/// A queue that gives back the room of what was taken, also when it never runs empty.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    at: usize,
}

/// From how many taken bytes on the rest is moved to the front. Moving costs at most what waits.
const COMPACT_BYTES: usize = 64 * 1024;

impl Backlog {
    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.at >= COMPACT_BYTES {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What waits.
    #[must_use]
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// How much waits.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The first `count` bytes were taken.
    pub(crate) fn taken(&mut self, count: usize) {
        self.at = (self.at + count).min(self.bytes.len());
        if self.at == self.bytes.len() {
            self.clear();
        }
    }

    /// Nobody will take them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_never_runs_empty_does_not_grow() {
        let mut backlog = Backlog::default();
        let (mut pushed, mut taken) = (0u32, 0u32);
        for _ in 0..10_000 {
            let piece: Vec<u8> = (0..1000).map(|at| ((pushed + at) % 251) as u8).collect();
            backlog.push(&piece);
            pushed += 1000;
            while backlog.len() > 1500 {
                assert_eq!(backlog.pending()[0], (taken % 251) as u8);
                backlog.taken(500);
                taken += 500;
            }
        }
        assert_eq!(backlog.len(), (pushed - taken) as usize);
        assert!(backlog.bytes.capacity() < 4 * COMPACT_BYTES, "{}", backlog.bytes.capacity());
    }
}
