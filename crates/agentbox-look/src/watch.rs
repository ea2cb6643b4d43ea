//! What comes to be while a session runs: said as it is seen, which may be after it was used.
//!
//! Every directory is watched, the shallow ones first, as far as the limits go. A directory that comes to be is
//! watched before it is listed, so that nothing falls between the two.

use crate::git::hooks;
use crate::git::repository::{self, Repository};
use crate::place::Places;
use crate::survey;
use crate::walk::{self, Listing};
use agentbox_launch::look;
use agentbox_plan::look::{ConfigBefore, LookPlan, PlacePath, Sighting, Spot, framed};
use agentbox_plan::trigger::Hold;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, readlinkat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Most directories that are watched. Each costs the kernel about a kilobyte.
const MAX_WATCHED: usize = 32_768;
/// Directories of git's in which nothing lies that makes it act.
const QUIET: [&[u8]; 4] = [b"objects", b"refs", b"logs", b"lfs"];
/// Directories in which something of a repository's lies that makes it act, below its own.
const LOUD: [&[u8]; 5] = [b"hooks", b"info", b"modules", b"objects/info", b"worktrees"];
/// What is waited after events before the next are asked for. Somebody who waits is woken for each file that comes to
/// be, and who makes it pays for that; meanwhile they gather. The first one after a silence is seen at once.
const GATHERING: Duration = Duration::from_millis(5);
/// Head of an event (fanotify(7), struct fanotify_event_metadata).
const HEAD: usize = 24;
/// Names of the kernel's that it sends: an overflow; a directory and a name in it.
const OVERFLOW: u64 = 0x4000;
const ON_DIRECTORY: u64 = 0x4000_0000;
const DIRECTORY_AND_NAME: u8 = 2;

struct Watch<'a> {
    places: &'a Places,
    plan: &'a LookPlan,
    group: &'a OwnedFd,
    out: File,
    /// Directories by their handles.
    known: HashMap<Vec<u8>, Spot>,
    /// The directory of the last event, open: events come in runs.
    last: Option<(Vec<u8>, OwnedFd)>,
    unseen: u32,
    /// Directories that git takes for its own.
    repositories: BTreeMap<Spot, Repository>,
    /// Configurations of the start, with what they include.
    configs: BTreeSet<Spot>,
    /// Directories of the project in which git finds hooks.
    hooks: BTreeSet<Spot>,
}

/// Watches until nobody reads any more. `configs` are those that were there at the start.
pub(crate) fn watch(
    places: &Places,
    plan: &LookPlan,
    configs: &[ConfigBefore],
    group: &OwnedFd,
    out: File,
) -> io::Result<()> {
    let mut watch = Watch {
        places,
        plan,
        group,
        out,
        known: HashMap::new(),
        last: None,
        unseen: 0,
        repositories: BTreeMap::new(),
        configs: configs.iter().map(|config| config.spot.clone()).collect(),
        hooks: hooks::directories(places, configs),
    };
    for place in 0..places.count() {
        watch.begin(Spot { place, path: PlacePath::default() }, None)?;
    }
    let directories = u32::try_from(watch.known.len()).unwrap_or(u32::MAX);
    watch.say(&Sighting::Watching { directories, unseen: watch.unseen })?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        {
            // The other end of the pipe is looked at as well: without a reader there is nothing to do.
            let mut fds = [PollFd::new(group, PollFlags::IN), PollFd::new(&watch.out, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if fds[1].revents().contains(PollFlags::ERR) {
                return Ok(());
            }
        }
        match rustix::io::read(group, &mut buffer) {
            Ok(count) => {
                watch.events(&buffer[..count])?;
                std::thread::sleep(GATHERING);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Watch<'_> {
    fn say(&mut self, sighting: &Sighting) -> io::Result<()> {
        self.out.write_all(&framed(sighting))
    }

    /// Watches a directory and all below it. `maker` is the process that made it, when it is new: then what is
    /// in it is as well.
    fn begin(&mut self, top: Spot, maker: Option<u32>) -> io::Result<()> {
        let end = Instant::now() + Duration::from_millis(self.plan.limits.time_ms.into());
        let mut budget = self.plan.limits.entries;
        let mut waiting = VecDeque::from([top]);
        while let Some(spot) = waiting.pop_front() {
            if self.known.len() >= MAX_WATCHED || Instant::now() >= end {
                self.unseen = self.unseen.saturating_add(1);
                continue;
            }
            let Ok(directory) = self.places.directory(&spot) else { continue };
            if look::mark(self.group, &directory, false).is_err() {
                self.unseen = self.unseen.saturating_add(1);
                continue;
            }
            if let Ok(handle) = look::handle(&directory) {
                self.known.insert(handle, spot.clone());
            }
            let Ok((listing, stop)) = walk::list_open(&directory, &spot, &mut budget, end) else { continue };
            self.unseen = self.unseen.saturating_add(u32::from(stop.is_some()));
            // A configuration that comes to be is written in place as well.
            let mut holds_one = self.note(&listing);
            let around = self.repository(&listing.spot).cloned();
            for entry in listing.entries.iter().filter(|entry| entry.kind != FileType::Directory) {
                let Some(spot) = listing.at(entry) else { continue };
                let pid = maker.unwrap_or(0);
                let link = || {
                    let is_link = entry.kind == FileType::Symlink;
                    is_link.then(|| self.link(&directory, &spot, &entry.name, pid)).flatten()
                };
                let Some(sighting) = self.sighting(around.as_ref(), &spot, pid).or_else(link) else {
                    continue;
                };
                holds_one = true;
                if maker.is_some() {
                    self.say(&sighting)?;
                }
            }
            // What is there already can be written in place; elsewhere a written file tells nothing.
            if holds_one && look::mark(self.group, &directory, true).is_err() {
                self.unseen = self.unseen.saturating_add(1);
            }
            waiting.extend(self.below(&listing));
        }
        Ok(())
    }

    fn below(&self, listing: &Listing) -> Vec<Spot> {
        let in_git = listing.spot.place > 0 || listing.spot.path.names().any(|name| name == b".git");
        let names = walk::directories(listing);
        let loud = names.iter().filter(|name| !in_git || !QUIET.contains(&name.as_slice()));
        let at =
            |name: &Vec<u8>| Some(Spot { place: listing.spot.place, path: listing.spot.path.join(name)? });
        loud.filter_map(at).collect()
    }

    /// Notes whether a directory is git's.
    fn note(&mut self, listing: &Listing) -> bool {
        let Some(repository) = repository::of(self.places, listing) else {
            self.repositories.remove(&listing.spot);
            return false;
        };
        if self.repositories.len() >= MAX_WATCHED {
            self.unseen = self.unseen.saturating_add(1);
            return false;
        }
        self.repositories.insert(listing.spot.clone(), repository);
        true
    }

    /// What a directory has of what would make it git's; none when it is gone.
    fn parts(&self, directory: &Spot) -> Option<(OwnedFd, Listing)> {
        let open = self.places.directory(directory).ok()?;
        let listing = walk::named(&open, directory, &repository::NAMES);
        Some((open, listing))
    }

    /// A directory has a name that can make it git's. When it is that from now on, what lay there already counts too.
    fn named(&mut self, directory: &Spot, name: &[u8], pid: u32) -> io::Result<()> {
        // Of one that is known only this makes another.
        if !repository::NAMES.contains(&name)
            || self.repositories.contains_key(directory) && name != b"commondir"
        {
            return Ok(());
        }
        let Some((open, listing)) = self.parts(directory) else { return Ok(()) };
        if !self.note(&listing) {
            return Ok(());
        }
        if look::mark(self.group, &open, true).is_err() {
            self.unseen = self.unseen.saturating_add(1);
        }
        let around = self.repository(directory).cloned();
        for entry in listing.entries.iter().filter(|entry| entry.kind != FileType::Directory) {
            let spot = listing.at(entry);
            let sighting = spot.and_then(|spot| self.sighting(around.as_ref(), &spot, pid));
            sighting.iter().try_for_each(|sighting| self.say(sighting))?;
        }
        for name in LOUD {
            let Some(path) = directory.path.join(name) else { continue };
            self.begin(Spot { place: directory.place, path }, Some(pid))?;
        }
        Ok(())
    }

    /// The innermost repository that what is in a directory has a name in.
    fn repository(&self, directory: &Spot) -> Option<&Repository> {
        let mut around = directory.clone();
        loop {
            let found = self.repositories.get(&around);
            if let Some(found) = found.filter(|repository| repository.names(&around).is_some()) {
                return Some(found);
            }
            around.path = around.path.split()?.0;
        }
    }

    /// What it means that something is there, in this repository.
    fn sighting(&self, repository: Option<&Repository>, spot: &Spot, pid: u32) -> Option<Sighting> {
        let trigger = |actor: &str| Sighting::Trigger { spot: spot.clone(), actor: actor.to_owned(), pid };
        if hooks::is_one(&self.hooks, spot, false)
            && let Some(hook) = self.plan.triggers.of_hook()
        {
            return Some(trigger(&hook.actor));
        }
        match survey::trigger(self.plan, repository, spot, None) {
            Some((found, Hold::Refuse)) => Some(trigger(&found.actor)),
            Some((_, Hold::Judge)) => Some(Sighting::Config { spot: spot.clone() }),
            _ => self.configs.contains(spot).then(|| Sighting::Config { spot: spot.clone() }),
        }
    }

    /// Whether it is still so that a configuration is one: what was a repository once can be anything by now, and what
    /// is judged may be put back.
    fn is_config(&mut self, spot: &Spot) -> bool {
        let Some((parent, _)) = spot.path.split() else { return false };
        let directory = Spot { place: spot.place, path: parent };
        if self.configs.contains(spot) || !self.repositories.contains_key(&directory) {
            return true;
        }
        self.parts(&directory).is_some_and(|(_, listing)| self.note(&listing))
    }

    /// What it means that a link is there: what it leads to is in force where it stands.
    fn link(&self, directory: &OwnedFd, spot: &Spot, name: &[u8], pid: u32) -> Option<Sighting> {
        if spot.place > 0 {
            return None;
        }
        let to = readlinkat(directory, name, Vec::new()).ok()?;
        let names: Vec<&[u8]> = spot.path.names().collect();
        if self.plan.triggers.leads_in(&names, to.as_bytes()) {
            let actor = "every program".to_owned();
            return Some(Sighting::Trigger { spot: spot.clone(), actor, pid });
        }
        let hook = self.plan.triggers.of_hook().filter(|_| hooks::is_one(&self.hooks, spot, true));
        let found =
            self.plan.triggers.find_link(&names, to.as_bytes()).filter(|(_, hold)| *hold == Hold::Refuse);
        let actor = found.map(|(trigger, _)| trigger).or(hook)?.actor.clone();
        Some(Sighting::Trigger { spot: spot.clone(), actor, pid })
    }

    /// The same of a name that came to be. An event does not tell a link from a file.
    fn new_link(&mut self, handle: &[u8], directory: &Spot, spot: &Spot, pid: u32) -> Option<Sighting> {
        self.open(handle, directory)?;
        let (_, open) = self.last.as_ref()?;
        self.link(open, spot, spot.path.split()?.1, pid)
    }

    /// Opens the directory of an event, as the last one.
    fn open(&mut self, handle: &[u8], directory: &Spot) -> Option<()> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != handle) {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            self.last = Some((handle.to_vec(), self.places.open(directory, flags).ok()?));
        }
        Some(())
    }

    fn events(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(event) = take_event(&mut bytes) {
            if event.mask & OVERFLOW != 0 {
                self.say(&Sighting::Lost)?;
                // What came to be meanwhile is found by looking at everything again.
                for place in 0..self.places.count() {
                    self.begin(Spot { place, path: PlacePath::default() }, Some(0))?;
                }
                continue;
            }
            let (Some(handle), Some(name)) = (event.handle, event.name) else { continue };
            let Some(directory) = self.known.get(&handle).cloned() else { continue };
            let Some(path) = directory.path.join(name) else { continue };
            let spot = Spot { place: directory.place, path };
            if event.mask & ON_DIRECTORY != 0 {
                let in_git = spot.place > 0 || spot.path.names().any(|name| name == b".git");
                if !in_git || !QUIET.contains(&name) {
                    self.begin(spot, Some(event.pid))?;
                }
                self.named(&directory, name, event.pid)?;
                continue;
            }
            self.named(&directory, name, event.pid)?;
            let sighting = self.sighting(self.repository(&directory), &spot, event.pid);
            if matches!(sighting, Some(Sighting::Config { .. })) {
                if !self.is_config(&spot) {
                    continue;
                }
                // It may be there and not yet be written.
                if self.open(&handle, &directory).is_some()
                    && let Some((_, open)) = &self.last
                    && look::mark(self.group, open, true).is_err()
                {
                    self.unseen = self.unseen.saturating_add(1);
                }
            }
            let sighting = sighting.or_else(|| self.new_link(&handle, &directory, &spot, event.pid));
            if let Some(sighting) = sighting {
                self.say(&sighting)?;
            }
        }
        Ok(())
    }
}

struct Event<'a> {
    mask: u64,
    pid: u32,
    handle: Option<Vec<u8>>,
    name: Option<&'a [u8]>,
}

/// Takes one event from what the kernel wrote.
fn take_event<'a>(bytes: &mut &'a [u8]) -> Option<Event<'a>> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    if length < HEAD || length > bytes.len() {
        return None;
    }
    let (event, rest) = bytes.split_at(length);
    *bytes = rest;
    let mask = u64::from_ne_bytes(event.get(8..16)?.try_into().ok()?);
    let pid = i32::from_ne_bytes(event.get(20..24)?.try_into().ok()?);
    let mut found = Event { mask, pid: u32::try_from(pid).unwrap_or(0), handle: None, name: None };
    let mut infos = &event[HEAD..];
    while let [kind, _, low, high, ..] = infos {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        if length < 4 || length > infos.len() {
            break;
        }
        let (info, rest) = infos.split_at(length);
        infos = rest;
        // Head, file system, size and type of the handle, the handle, the name with its end.
        let size = info.get(12..16).and_then(|size| size.try_into().ok()).map(u32::from_ne_bytes);
        if let (DIRECTORY_AND_NAME, Some(size)) = (*kind, size)
            && let Some(handle) = info.get(16..20 + size as usize)
        {
            found.handle = Some(handle.to_vec());
            let name = &info[20 + size as usize..];
            found.name = name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_has_a_directory_and_a_name() {
        let mut info = vec![DIRECTORY_AND_NAME, 0, 0, 0];
        info.extend([0; 8]);
        info.extend(8u32.to_ne_bytes());
        info.extend(1i32.to_ne_bytes());
        info.extend([7; 8]);
        info.extend(b"name\0\0\0\0");
        let length = (info.len() as u16).to_ne_bytes();
        info[2..4].copy_from_slice(&length);
        let mut event = ((HEAD + info.len()) as u32).to_ne_bytes().to_vec();
        event.extend([3, 0, 24, 0]);
        event.extend(0x100u64.to_ne_bytes());
        event.extend((-1i32).to_ne_bytes());
        event.extend(42i32.to_ne_bytes());
        event.extend(&info);
        let twice = [event.clone(), event].concat();
        let mut bytes = twice.as_slice();
        for _ in 0..2 {
            let event = take_event(&mut bytes).unwrap();
            assert_eq!((event.mask, event.pid, event.name), (0x100, 42, Some(b"name".as_slice())));
            assert_eq!(event.handle.unwrap(), [&1i32.to_ne_bytes()[..], &[7; 8]].concat());
        }
        assert!(take_event(&mut bytes).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_events_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while take_event(&mut rest).is_some() {}
        }
    }
}
