//! Patterns as tables for the kernel's automaton.
//!
//! Each name of each pattern gets a position, from the last name of the pattern to its first. The tables say
//! which positions a name can stand at and where a pattern begins and ends. `guard.bpf.c` walks a path from its
//! last name upwards and keeps the positions that match so far; the tests here hold a copy of that walk against
//! [`PathGlob::matches`].

use super::pins::fnv;
use agentbox_plan::glob::{GlobName, PathGlob};
use std::collections::BTreeMap;

/// Longest literal name that the kernel looks up, and one.
pub(super) const NAME: usize = 64;
/// Longest front and end of a name with a star.
const TAIL: usize = 24;
/// Words of 64 positions.
pub(super) const WORDS: usize = 6;
/// Most names with a star, each counted once.
const STARS: usize = 24;
/// Most names of all patterns together.
pub const MAX_POSITIONS: usize = WORDS * 64;
/// Most names of directories that packages fill.
const BROUGHT: usize = 16;

/// Bytes of a session in the kernel's map: `struct session`.
pub(super) const SESSION_BYTES: usize =
    16 + 11 * WORDS * 8 + 128 + 32 + 32 + BROUGHT * 8 + 8 + STARS * STAR_BYTES;
const STAR_BYTES: usize = 4 * TAIL + 8;

const HAS_MASKS: u32 = 1;
const ANY_LAST: u32 = 2;
const ANY_ABOVE: u32 = 4;

/// A set of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits(pub(super) [u64; WORDS]);

impl Bits {
    fn set(&mut self, position: usize) {
        self.0[position / 64] |= 1 << (position % 64);
    }
    fn meets(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(mine, other)| mine & other != 0)
    }
    #[cfg(test)]
    fn or(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(mine, other)| *mine |= other);
        self
    }
    pub(super) fn bytes(self) -> [u8; WORDS * 8] {
        let mut bytes = [0; WORDS * 8];
        for (into, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            into.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// A name with one star.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Star {
    front: Vec<u8>,
    end: Vec<u8>,
    position: usize,
}

/// Why the kernel cannot hold a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// One pattern.
    #[error("the pattern `{pattern}`: {why}")]
    Pattern {
        /// Which.
        pattern: String,
        /// What it has that is not held.
        why: &'static str,
    },
    /// All of them.
    #[error("{what}: at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
}

/// What a session is held to, as the kernel reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    flags: u32,
    last: Bits,
    above: Bits,
    moved: Bits,
    read_last: Bits,
    read_above: Bits,
    starts: Bits,
    deep: Bits,
    any: Bits,
    ends: Bits,
    root_ends: Bits,
    /// Ends of patterns that do not hold in brought directories.
    loose_ends: Bits,
    /// Names of those directories.
    brought: Vec<Vec<u8>>,
    literals: BTreeMap<[u8; NAME], Bits>,
    stars: Vec<Star>,
    positions: usize,
}

impl Rules {
    /// Tables for what a session may neither make nor change, and for what it may not read either.
    ///
    /// # Errors
    /// [`RulesError`] when the kernel's tables have no room, or no form, for a pattern.
    pub fn compile<'a>(
        refused: impl IntoIterator<Item = &'a PathGlob>,
        masks: impl IntoIterator<Item = &'a PathGlob>,
    ) -> Result<Self, RulesError> {
        let mut rules = Self::default();
        for pattern in refused {
            rules.add(pattern, false)?;
        }
        for pattern in masks {
            rules.add(pattern, true)?;
        }
        rules.flag();
        Ok(rules)
    }

    /// Adds a pattern of what may not be read either. Where it has no form or no room nothing is added.
    ///
    /// # Errors
    /// [`RulesError`], as [`Rules::compile`].
    pub fn mask(&mut self, pattern: &PathGlob) -> Result<(), RulesError> {
        let mut more = self.clone();
        more.add(pattern, true)?;
        more.flag();
        *self = more;
        Ok(())
    }

    /// Adds patterns of what may not be made, but in directories of these names may: package managers and
    /// builds fill those. Nothing may lead into them from elsewhere then, nor leave them whole.
    ///
    /// # Errors
    /// [`RulesError`], as [`Rules::compile`].
    pub fn but_in<'a, N: AsRef<[u8]>>(
        &mut self,
        brought: &[N],
        patterns: impl IntoIterator<Item = &'a PathGlob>,
    ) -> Result<(), RulesError> {
        let last = self.ends;
        for pattern in patterns {
            self.add(pattern, false)?;
        }
        for (loose, (now, before)) in self.loose_ends.0.iter_mut().zip(self.ends.0.iter_mut().zip(last.0)) {
            *loose |= *now & !before;
            *now = before;
        }
        if self.brought.len() + brought.len() > BROUGHT {
            return Err(RulesError::TooMany { what: "names of brought directories", most: BROUGHT });
        }
        for name in brought.iter().map(AsRef::as_ref) {
            if name.is_empty() || name.len() >= NAME {
                let pattern = String::from_utf8_lossy(name).into_owned();
                return Err(RulesError::Pattern {
                    pattern,
                    why: "such a directory has a name of 1 to 63 bytes",
                });
            }
            self.brought.push(name.to_vec());
        }
        self.flag();
        Ok(())
    }

    fn flag(&mut self) {
        for (starts, flag) in [(self.last, ANY_LAST), (self.above, ANY_ABOVE)] {
            if starts.meets(self.any) {
                self.flags |= flag;
            }
        }
    }

    /// Names of all patterns together.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    pub(super) fn literals(&self) -> impl Iterator<Item = (&[u8; NAME], Bits)> {
        self.literals.iter().map(|(name, bits)| (name, *bits))
    }

    pub(super) fn brought(&self) -> impl Iterator<Item = &[u8]> {
        self.brought.iter().map(Vec::as_slice)
    }

    fn add(&mut self, pattern: &PathGlob, mask: bool) -> Result<(), RulesError> {
        let names: Vec<&GlobName> = pattern.names().iter().rev().collect();
        // What ends in `**` begins at any name above the last one.
        let (names, below) = match names.as_slice() {
            [GlobName::Deep, rest @ ..] => (rest, true),
            names => (names, false),
        };
        if names.is_empty() {
            return Err(unheld(pattern, "it is everything"));
        }
        let first = self.positions;
        self.positions += names.len();
        if self.positions > MAX_POSITIONS {
            return Err(RulesError::TooMany { what: "names in all patterns", most: MAX_POSITIONS });
        }
        for (at, name) in names.iter().enumerate() {
            let position = first + at;
            if at > 0 || below {
                self.moved.set(position);
            }
            self.name(pattern, name, position)?;
        }
        self.starts.set(first);
        let starts = if below { &mut self.above } else { &mut self.last };
        starts.set(first);
        if mask {
            self.flags |= HAS_MASKS;
            let starts = if below { &mut self.read_above } else { &mut self.read_last };
            starts.set(first);
        }
        let ends = if pattern.is_anchored() { &mut self.root_ends } else { &mut self.ends };
        ends.set(first + names.len() - 1);
        Ok(())
    }

    fn name(&mut self, pattern: &PathGlob, name: &GlobName, position: usize) -> Result<(), RulesError> {
        match name {
            GlobName::Deep => {
                self.deep.set(position);
                self.any.set(position);
            }
            GlobName::Literal(literal) => {
                let mut key = [0; NAME];
                let room = key[..NAME - 1].get_mut(..literal.len());
                room.ok_or_else(|| unheld(pattern, "a name is longer than 63 bytes"))?
                    .copy_from_slice(literal);
                self.literals.entry(key).or_default().set(position);
            }
            GlobName::Stars(parts) => {
                let ([front, .., end], true) = (parts.as_slice(), one_star(parts)) else {
                    return Err(unheld(pattern, "a name has several stars with something between them"));
                };
                if front.is_empty() && end.is_empty() {
                    self.any.set(position);
                    return Ok(());
                }
                if front.len() > TAIL || end.len() > TAIL {
                    return Err(unheld(pattern, "more than 24 bytes on one side of a star"));
                }
                self.stars.push(Star { front: front.clone(), end: end.clone(), position });
                if self.stars.len() > STARS {
                    return Err(RulesError::TooMany { what: "names with a star", most: STARS });
                }
            }
        }
        Ok(())
    }

    /// Bits of names that may be literals: most names have none of these, and no table is asked about them.
    fn sieve(&self) -> [u64; 16] {
        let mut sieve = [0; 16];
        for literal in self.literals.keys() {
            let length = literal.iter().position(|byte| *byte == 0).unwrap_or(NAME);
            let (first, last) = (literal.first().copied(), literal[..length].last().copied());
            let (Some(first), Some(last)) = (first, last) else { continue };
            let at = (length * 8 + usize::from(first) * 31 + usize::from(last) * 7) % 1024;
            sieve[at / 64] |= 1 << (at % 64);
        }
        sieve
    }

    /// The first byte of names that begin with something before the star, and the last of the others.
    fn star_bytes(&self) -> ([u64; 4], [u64; 4]) {
        let (mut fronts, mut ends) = ([0; 4], [0; 4]);
        for star in &self.stars {
            let (into, byte) = match (star.front.first(), star.end.last()) {
                (Some(byte), _) => (&mut fronts, usize::from(*byte)),
                (None, Some(byte)) => (&mut ends, usize::from(*byte)),
                (None, None) => continue,
            };
            into[byte / 64] |= 1 << (byte % 64);
        }
        (fronts, ends)
    }

    /// `struct session` of the project whose directory this is.
    pub(super) fn session(&self, root_device: u32, root_inode: u64) -> [u8; SESSION_BYTES] {
        let mut out = Vec::with_capacity(SESSION_BYTES);
        out.extend(root_inode.to_ne_bytes());
        out.extend(root_device.to_ne_bytes());
        out.extend(self.flags.to_ne_bytes());
        for bits in [
            self.last,
            self.above,
            self.moved,
            self.read_last,
            self.read_above,
            self.starts,
            self.deep,
            self.any,
            self.ends,
            self.root_ends,
            self.loose_ends,
        ] {
            out.extend(bits.bytes());
        }
        let (fronts, ends) = self.star_bytes();
        for word in self.sieve().into_iter().chain(fronts).chain(ends) {
            out.extend(word.to_ne_bytes());
        }
        for at in 0..BROUGHT {
            // Another name with the same number would be refused as well.
            out.extend(self.brought.get(at).map_or(0, |name| fnv(name)).to_ne_bytes());
        }
        for count in [self.stars.len(), self.brought.len()] {
            out.extend(u32::try_from(count).unwrap_or(0).to_ne_bytes());
        }
        for star in &self.stars {
            let end_at = TAIL - star.end.len();
            for (text, at) in [(&star.front, 0), (&star.end, end_at)] {
                let (mut field, mut mask) = ([0; TAIL], [0; TAIL]);
                field[at..at + text.len()].copy_from_slice(text);
                mask[at..at + text.len()].fill(0xff);
                out.extend(field);
                out.extend(mask);
            }
            out.extend(u32::try_from(star.front.len() + star.end.len()).unwrap_or(u32::MAX).to_ne_bytes());
            out.extend(u32::try_from(star.position).unwrap_or(u32::MAX).to_ne_bytes());
        }
        let mut session = [0; SESSION_BYTES];
        session[..out.len()].copy_from_slice(&out);
        session
    }
}

fn one_star(parts: &[Vec<u8>]) -> bool {
    parts.len() >= 2 && parts[1..parts.len() - 1].iter().all(Vec::is_empty)
}

fn unheld(pattern: &PathGlob, why: &'static str) -> RulesError {
    RulesError::Pattern { pattern: pattern.to_string(), why }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
