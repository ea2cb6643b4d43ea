//! The maps of the program, by their pins.

use super::host::{REMEDY_MODULE, Unavailable};
use super::rules::{NAME, SESSION_BYTES, WORDS};
use super::{Entry, GuardError, failed};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use std::fmt;
use std::path::Path;

/// Most depths of groups at once: `LEVELS`.
const LEVELS: usize = 6;
/// Words of `struct config`: sessions, count of levels, levels, trial, answer.
const CONFIG_WORDS: usize = 2 + LEVELS + 2;
/// Bytes of a session's id in a table.
const ID_BYTES: usize = 32;
/// The highest bit of a node: a path ends here.
const END: u64 = 1 << 63;
/// The node of names that are looked up for their positions.
const POSITIONS: u64 = u64::MAX;
/// The node of names of brought directories.
const BROUGHT_NAME: u64 = u64::MAX - 1;

type Config = [u32; CONFIG_WORDS];
/// `struct key`: control group, node, name.
type Key = [u8; 16 + NAME];

/// The maps.
pub(super) struct Tables {
    config: Array<MapData, Config>,
    sessions: HashMap<MapData, u64, [u8; SESSION_BYTES]>,
    names: HashMap<MapData, Key, [u8; WORDS * 8]>,
    exempt: HashMap<MapData, Key, u64>,
    held: HashMap<MapData, u64, [u8; ID_BYTES]>,
}

/// A pinned map.
pub(super) fn pinned(directory: &Path, name: &str) -> Result<MapData, GuardError> {
    MapData::from_pin(directory.join(name)).map_err(|error| failed(format!("open the map {name}"), error))
}

fn hash<K: aya::Pod, V: aya::Pod>(
    directory: &Path,
    name: &str,
) -> Result<HashMap<MapData, K, V>, GuardError> {
    Map::HashMap(pinned(directory, name)?)
        .try_into()
        .map_err(|error: MapError| failed(format!("open the map {name}"), error))
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("held", &self.held().unwrap_or_default()).finish_non_exhaustive()
    }
}

impl Tables {
    pub(super) fn open(directory: &Path) -> Result<Self, GuardError> {
        let config = Map::Array(pinned(directory, "config")?).try_into();
        Ok(Self {
            config: config.map_err(|error: MapError| failed("open the map config", error))?,
            sessions: hash(directory, "sessions")?,
            names: hash(directory, "names")?,
            exempt: hash(directory, "exempt")?,
            held: hash(directory, "held")?,
        })
    }

    /// Whether the kernel asks the program: one that is loaded where `bpf` is no security module is not.
    pub(super) fn is_asked(&mut self) -> Result<(), GuardError> {
        let (trial, answer) = (CONFIG_WORDS - 2, CONFIG_WORDS - 1);
        let mut config = self.config()?;
        config[trial] = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        config[answer] = 0;
        self.set_config(config)?;
        let opened = std::fs::File::open("/proc/self/stat");
        let asked = self.config()?[answer] == 1;
        config[trial] = 0;
        config[answer] = 0;
        self.set_config(config)?;
        opened.map_err(|error| failed("open /proc/self/stat", error))?;
        if asked {
            return Ok(());
        }
        Err(Unavailable::new("the guard is loaded and the kernel does not ask it", REMEDY_MODULE).into())
    }

    /// Adds a session, everything it needs before itself.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), GuardError> {
        let group = entry.group;
        // What is left of one that was added before is not mixed in.
        self.remove(group)?;
        let full = |error: MapError| failed(format!("add session {} to the guard", entry.session), error);
        for (name, bits) in entry.rules.literals() {
            self.names.insert(key(group, POSITIONS, name), bits.bytes(), 0).map_err(full)?;
        }
        for name in entry.rules.brought() {
            self.names.insert(key(group, BROUGHT_NAME, name), [0; WORDS * 8], 0).map_err(full)?;
        }
        let mut nodes = 0;
        for path in entry.exempt {
            self.exempt(group, path, &mut nodes)?;
        }
        let mut id = [0; ID_BYTES];
        let text = entry.session.as_str().as_bytes();
        let room = id.get_mut(..text.len()).ok_or_else(|| failed("name a session", "its id is too long"))?;
        room.copy_from_slice(text);
        self.held.insert(group, id, 0).map_err(full)?;
        let session = entry.rules.session(entry.place.device, entry.place.inode);
        self.sessions.insert(group, session, 0).map_err(full)?;
        let mut config = self.config()?;
        if let Some(level) = entry.level {
            add_level(&mut config, level)?;
        }
        config[0] = self.count()?;
        self.set_config(config)
    }

    /// Adds a path from its last name up: each name leads from one node to the next.
    fn exempt(&mut self, group: u64, path: &[Vec<u8>], nodes: &mut u64) -> Result<(), GuardError> {
        // The kernel takes no longer names for exempt, so such a path stays held.
        if path.iter().any(|name| name.len() >= NAME) {
            return Ok(());
        }
        let full = |error: MapError| failed("add a file to the guard's exemptions", error);
        let mut node = 0_u64;
        for (at, name) in path.iter().rev().enumerate() {
            let key = key(group, node, name);
            let known = match self.exempt.get(&key, 0) {
                Ok(next) => next,
                Err(MapError::KeyNotFound) => {
                    *nodes += 1;
                    *nodes
                }
                Err(error) => return Err(full(error)),
            };
            let next = if at + 1 == path.len() { known | END } else { known };
            self.exempt.insert(key, next, 0).map_err(full)?;
            node = next & !END;
        }
        Ok(())
    }

    /// Removes a session, itself first.
    pub(super) fn remove(&mut self, group: u64) -> Result<(), GuardError> {
        absent_is_fine(self.sessions.remove(&group))?;
        let mine = |key: &[u8]| key[..8] == group.to_ne_bytes();
        let names: Vec<Key> = self.names.keys().flatten().filter(|key| mine(key)).collect();
        for key in names {
            absent_is_fine(self.names.remove(&key))?;
        }
        let exempt: Vec<Key> = self.exempt.keys().flatten().filter(|key| mine(key)).collect();
        for key in exempt {
            absent_is_fine(self.exempt.remove(&key))?;
        }
        absent_is_fine(self.held.remove(&group))?;
        let mut config = self.config()?;
        config[0] = self.count()?;
        self.set_config(config)
    }

    /// Control groups and ids of the sessions that are held.
    pub(super) fn held(&self) -> Result<Vec<(u64, String)>, GuardError> {
        let held = self.held.iter().map(|entry| {
            let (group, id) = entry.map_err(|error| failed("read the guard's sessions", error))?;
            Ok((group, String::from_utf8_lossy(&id).trim_end_matches('\0').to_owned()))
        });
        held.collect()
    }

    fn count(&self) -> Result<u32, GuardError> {
        Ok(u32::try_from(self.held()?.len()).unwrap_or(u32::MAX))
    }

    fn config(&self) -> Result<Config, GuardError> {
        self.config.get(&0, 0).map_err(|error| failed("read the guard's settings", error))
    }

    fn set_config(&mut self, config: Config) -> Result<(), GuardError> {
        self.config.set(0, config, 0).map_err(|error| failed("write the guard's settings", error))
    }
}

/// The name is shorter than its field.
fn key(group: u64, node: u64, name: &[u8]) -> Key {
    let mut key = [0; 16 + NAME];
    key[..8].copy_from_slice(&group.to_ne_bytes());
    key[8..16].copy_from_slice(&node.to_ne_bytes());
    key[16..16 + name.len()].copy_from_slice(name);
    key
}

fn add_level(config: &mut Config, level: u32) -> Result<(), GuardError> {
    let count = config[1] as usize;
    let levels = &mut config[2..2 + LEVELS];
    if levels[..count.min(LEVELS)].contains(&level) {
        return Ok(());
    }
    let free = levels.get_mut(count).ok_or_else(|| {
        failed("hold a control group at another depth", format!("there are {LEVELS} already"))
    })?;
    *free = level;
    config[1] += 1;
    Ok(())
}

fn absent_is_fine(removed: Result<(), MapError>) -> Result<(), GuardError> {
    match removed {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove a session from the guard", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_kept_once_and_have_an_end() {
        let mut config = [0; CONFIG_WORDS];
        for level in [3, 5, 3, 6, 7, 8, 9] {
            add_level(&mut config, level).unwrap();
        }
        assert_eq!(config[1..8], [6, 3, 5, 6, 7, 8, 9]);
        assert!(add_level(&mut config, 10).is_err());
        assert!(add_level(&mut config, 9).is_ok());
        assert_eq!(config[8..], [0, 0]);
    }
}
