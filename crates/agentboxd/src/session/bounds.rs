//! What ends a session that runs, or has it stand still: its time, idleness, too little room on the disk.
//!
//! Looked at now and then while the session runs, from the kernel's own counters. How much room there is, a
//! thread of its own asks: the project can lie on a file system whose server is the person's, and answers
//! when it likes.

use super::Record;
use crate::waits::Waits;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_policy::Policy;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Between two looks at times. The least time that can be configured is a minute.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at a disk, which fills at a gigabyte a second.
const LOOK_AT_DISK: Duration = Duration::from_millis(250);
/// Less than one part of so many of a processor's time is no work.
const IDLE_SHARE: u64 = 100;
/// A session goes on when there is so much more room than it has to stand still for, in parts of that.
const ROOM_AGAIN: u64 = 20;

/// Bounds of a session, kept with its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// Seconds after which it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runtime_max_s: Option<u64>,
    /// Seconds without work after which it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle_stop_s: Option<u64>,
    /// Bytes that have to stay free where the project is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_free_min: Option<u64>,
}

impl Bounds {
    /// Those of a policy.
    pub(crate) fn of(policy: &Policy) -> Self {
        Self {
            runtime_max_s: policy.runtime_max(),
            idle_stop_s: policy.idle_stop(),
            disk_free_min: policy.disk_free_min(),
        }
    }
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its time is over, by this key.
    Over(&'static str),
    /// Too little is free; the sentence says how much.
    NoRoom(String),
    /// There is room again.
    Room,
}

/// Looks at the bounds of one session.
#[derive(Debug)]
pub(crate) struct Watch {
    bounds: Bounds,
    ends: Option<Instant>,
    /// Since when it has done no work, and what it had used by then.
    idle: (Instant, u64),
    stands: bool,
    disk: Option<Disk>,
    tick: Interval,
}

/// What is free on a disk, asked by a thread.
#[derive(Debug)]
struct Disk {
    path: String,
    answer: Arc<Mutex<Answer>>,
    /// A file system that does not answer keeps threads of its person's, and no others.
    waits: Arc<Waits>,
    owner_uid: u32,
}

#[derive(Debug, Default)]
struct Answer {
    pending: bool,
    free: Option<u64>,
}

impl Watch {
    /// None for a session without bounds.
    pub(crate) fn new(record: &Record, waits: &Arc<Waits>, group: Option<&SessionGroup>) -> Option<Self> {
        let bounds = record.bounds;
        if bounds == Bounds::default() {
            return None;
        }
        let now = Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let runs = unix.saturating_sub(record.started_unix_s);
        let left = bounds.runtime_max_s.map(|most| Duration::from_secs(most.saturating_sub(runs)));
        let mut tick =
            tokio::time::interval(if bounds.disk_free_min.is_some() { LOOK_AT_DISK } else { LOOK });
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            bounds,
            ends: left.and_then(|left| now.checked_add(left)),
            idle: (now, group.and_then(SessionGroup::cpu_usec).unwrap_or(0)),
            // An earlier supervisor may have had it stand still.
            stands: group.is_some_and(SessionGroup::is_frozen),
            disk: bounds.disk_free_min.map(|_| Disk {
                path: record.project.clone(),
                answer: Arc::default(),
                waits: Arc::clone(waits),
                owner_uid: record.owner_uid,
            }),
            tick,
        })
    }

    /// The next thing that is found. Cancel safe.
    pub(crate) async fn next(&mut self, group: Option<&SessionGroup>) -> Found {
        loop {
            self.tick.tick().await;
            if let Some(found) = self.look(group) {
                return found;
            }
        }
    }

    fn look(&mut self, group: Option<&SessionGroup>) -> Option<Found> {
        let now = Instant::now();
        if self.ends.is_some_and(|ends| now >= ends) {
            self.ends = None;
            return Some(Found::Over("runtime_max"));
        }
        if let Some(idle) = self.bounds.idle_stop_s
            && let Some(used) = group.and_then(SessionGroup::cpu_usec)
        {
            let work = used.saturating_sub(self.idle.1) > idle.saturating_mul(1_000_000) / IDLE_SHARE;
            // What stands still for want of room is not idle.
            if work || self.stands {
                self.idle = (now, used);
            } else if now.duration_since(self.idle.0) >= Duration::from_secs(idle) {
                self.idle = (now, used);
                return Some(Found::Over("idle_stop"));
            }
        }
        let floor = self.bounds.disk_free_min?;
        let free = self.disk.as_ref()?.ask()?;
        if !self.stands && free < floor {
            self.stands = true;
            return Some(Found::NoRoom(format!(
                "{free} bytes are free on the disk of the project, of {floor}"
            )));
        }
        if self.stands && free >= floor.saturating_add(floor / ROOM_AGAIN) {
            self.stands = false;
            return Some(Found::Room);
        }
        None
    }
}

impl Disk {
    /// The last answer, when it is a new one; asks again unless the one before still waits, or its person's paths have
    /// as many threads as they may.
    fn ask(&self) -> Option<u64> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.pending {
            return None;
        }
        let Some(thread) = self.waits.free_place_of(self.owner_uid) else { return answer.free.take() };
        answer.pending = true;
        let (path, place) = (self.path.clone(), Arc::clone(&self.answer));
        tokio::task::spawn_blocking(move || {
            let free = free(&path);
            drop(thread);
            let mut answer = place.lock().unwrap_or_else(PoisonError::into_inner);
            *answer = Answer { pending: false, free };
        });
        answer.free.take()
    }
}

/// Bytes that are free for everybody. The path may lead elsewhere by now: a number is all that is learnt.
fn free(path: &str) -> Option<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory: OwnedFd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let disk = rustix::fs::fstatvfs(&directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(bounds: Bounds, ago_s: u64, project: &str) -> Watch {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let record = Record { bounds, started_unix_s: unix - ago_s, project: project.to_owned(), ..record() };
        Watch::new(&record, &Arc::default(), None).unwrap()
    }

    fn record() -> Record {
        Record::unknown("abc12345".parse().unwrap())
    }

    #[tokio::test]
    async fn a_session_without_bounds_is_not_looked_at() {
        assert!(Watch::new(&record(), &Arc::default(), None).is_none());
    }

    #[tokio::test]
    async fn a_disk_is_asked_by_the_threads_of_its_person_alone() {
        let mut watch = watch(Bounds { disk_free_min: Some(u64::MAX), ..Bounds::default() }, 0, "/");
        let disk = watch.disk.as_ref().unwrap();
        let mut taken: Vec<_> = std::iter::from_fn(|| disk.waits.free_place_of(disk.owner_uid)).collect();
        assert_eq!(disk.ask(), None);
        assert!(!disk.answer.lock().unwrap().pending);
        taken.pop();
        assert!(matches!(watch.next(None).await, Found::NoRoom(_)));
        // It is asked again with each answer, and its thread ends when the disk has answered.
        let waits = &watch.disk.as_ref().unwrap().waits;
        assert!(waits.place_of(record().owner_uid, Duration::from_secs(10)).await.is_ok());
    }

    #[tokio::test]
    async fn time_counts_from_the_start_of_the_session_and_not_of_its_supervisor() {
        let bounds = Bounds { runtime_max_s: Some(100), ..Bounds::default() };
        assert_eq!(watch(bounds, 99, "/").look(None), None);
        let mut over = watch(bounds, 101, "/");
        assert_eq!(over.look(None), Some(Found::Over("runtime_max")));
        // Once: who stops it has been told.
        assert_eq!(over.look(None), None);
    }

    #[tokio::test]
    async fn too_little_room_is_found_once_and_so_is_room() {
        let mut watch = watch(Bounds { disk_free_min: Some(u64::MAX), ..Bounds::default() }, 0, "/");
        assert!(matches!(watch.next(None).await, Found::NoRoom(_)));
        watch.bounds.disk_free_min = Some(1);
        assert_eq!(watch.next(None).await, Found::Room);
        assert!(tokio::time::timeout(4 * LOOK_AT_DISK, watch.next(None)).await.is_err());
    }
}
