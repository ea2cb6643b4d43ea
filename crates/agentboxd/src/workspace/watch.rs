//! While a session changes its project in place: what comes to be there is judged as it is seen.
//!
//! The kernel says so after the fact, and by then the process may be gone. What is known to be another's is
//! let pass; everything else counts as the session's.

use super::looker::{Looker, look};
use super::{Look, START_LIMITS, WorkspaceError, look_plan, sweep};
use crate::supervisor::Supervisor;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_plan::SessionId;
use agentbox_plan::look::{Finding, FindingKind, Masks, Remembered, Report, Sighting, Spot, Task};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Listing and marking a large project takes as long as looking at it.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Trigger files of one session that are told one by one.
const MAX_TOLD: usize = 500;

/// What the driver of a session hears.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A file that nobody may make is there.
    Trigger {
        /// Where, escaped.
        path: String,
        /// Who acts on it.
        actor: String,
    },
    /// One that git tracks changed: `git switch` does that, and the report tells.
    Tracked {
        /// Where, escaped.
        path: String,
        /// Who acts on it.
        actor: String,
    },
    /// A configuration of git's was put back.
    Restored {
        /// Where, escaped, and what was refused.
        refused: Vec<(String, String)>,
    },
    /// More happened than could be followed.
    Lost,
}

/// How trigger files are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// They are watched, and told after the fact.
    Watch {
        /// Directories that are.
        directories: u32,
        /// Directories that are not.
        unseen: u32,
    },
    /// They are not even watched, and why.
    Nothing(String),
}

impl Guarded {
    /// For the banner. `freezes` says whether a session is frozen when one appears.
    pub(crate) fn words(&self, freezes: bool) -> String {
        match self {
            Self::Watch { unseen, .. } => {
                let then = if freezes { "freeze the session" } else { "are told" };
                let but = match unseen {
                    0 => String::new(),
                    1 => ", but for one directory".to_owned(),
                    count => format!(", but for {count} directories"),
                };
                format!("trigger files are watched{but}, not refused: new ones {then}")
            }
            Self::Nothing(why) => {
                format!("trigger files are neither refused nor watched ({why}): the report tells of them")
            }
        }
    }
}

/// The watch of a session. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    follow: JoinHandle<()>,
    judge: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.follow.abort();
        self.judge.abort();
    }
}

impl Watch {
    /// Ends it; when this returns nothing of it writes any more, and all that was put back was told.
    pub(crate) async fn end(mut self) {
        self.follow.abort();
        let _ = (&mut self.follow).await;
        // It ends by itself when nothing more can have been written; each look has its own limit.
        if tokio::time::timeout(READY_LIMIT, &mut self.judge).await.is_err() {
            self.judge.abort();
            let _ = (&mut self.judge).await;
        }
    }
}

/// Starts to watch the project of a session, from what is remembered of it. Answers when all is watched.
pub(crate) async fn begin(
    supervisor: Arc<Supervisor>,
    id: SessionId,
    remembered: Remembered,
    group: SessionGroup,
    tell: mpsc::UnboundedSender<Seen>,
) -> Result<(Watch, Guarded), WorkspaceError> {
    let (ids, places) = sweep::reopen(&supervisor, &remembered).await?;
    let wanted = Look {
        ids,
        paths: remembered.places.clone(),
        places: &places,
        masks: Masks::default(),
        limits: START_LIMITS,
    };
    let mut plan = look_plan(&wanted, Task::Watch { configs: remembered.before.configs.clone() })?;
    if remembered.before.leads_in() {
        plan.triggers.brought.clear();
    }
    let mut looker = Looker::start(&supervisor, remembered.owner_uid, &plan, &places, None)?;
    let first = tokio::time::timeout(READY_LIMIT, looker.next()).await;
    let first = first.map_err(|_elapsed| WorkspaceError::TooLong(READY_LIMIT))??;
    let Sighting::Watching { directories, unseen } = first else {
        return Err(WorkspaceError::Gone("the watch did not begin".to_owned()));
    };
    let guarded = match directories {
        0 => Guarded::Nothing("this file system cannot be watched".to_owned()),
        _ => Guarded::Watch { directories, unseen },
    };
    let (written, spots) = mpsc::unbounded_channel();
    let tracked = remembered.before.tracked.iter().cloned().collect();
    let judge = Judge { supervisor, id: id.clone(), remembered, written: spots, tell: tell.clone() };
    let follow = Follow { looker, group, written, tell, told: BTreeSet::new(), tracked, id };
    let watch = Watch { follow: tokio::spawn(follow.run()), judge: tokio::spawn(judge.run()) };
    Ok((watch, guarded))
}

struct Follow {
    looker: Looker,
    group: SessionGroup,
    written: mpsc::UnboundedSender<Spot>,
    tell: mpsc::UnboundedSender<Seen>,
    told: BTreeSet<Spot>,
    /// Trigger files that are reported only.
    tracked: BTreeSet<Spot>,
    id: SessionId,
}

impl Follow {
    async fn run(mut self) {
        loop {
            let sighting = match self.looker.next().await {
                Ok(sighting) => sighting,
                Err(error) => {
                    tracing::error!("{}: the watch of its project: {error}", self.id);
                    let _ = self.tell.send(Seen::Lost);
                    return;
                }
            };
            let seen = match sighting {
                Sighting::Config { spot } => {
                    let _ = self.written.send(spot);
                    continue;
                }
                Sighting::Trigger { spot, actor, pid } => {
                    if self.is_anothers(pid) || self.told.len() >= MAX_TOLD || !self.told.insert(spot.clone())
                    {
                        continue;
                    }
                    let path = spot.path.to_string();
                    if self.tracked.contains(&spot) {
                        Seen::Tracked { path, actor }
                    } else {
                        Seen::Trigger { path, actor }
                    }
                }
                Sighting::Lost => Seen::Lost,
                Sighting::Watching { .. } => continue,
            };
            if self.tell.send(seen).is_err() {
                return;
            }
        }
    }

    /// Whether the process lives and is not one of the session's.
    fn is_anothers(&self, pid: u32) -> bool {
        // One that has ended and was not waited for is in no list of a control group (cgroups(7)).
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            (!rest.starts_with(['Z', 'X'])).then_some(())
        };
        // In this order: one that ends between the two looks counts as the session's.
        let is_elsewhere = pid != 0 && self.group.pids().is_ok_and(|pids| !pids.contains(&pid));
        is_elsewhere && lives().is_some()
    }
}

struct Judge {
    supervisor: Arc<Supervisor>,
    id: SessionId,
    remembered: Remembered,
    written: mpsc::UnboundedReceiver<Spot>,
    tell: mpsc::UnboundedSender<Seen>,
}

impl Judge {
    async fn run(mut self) {
        let mut spots = Vec::new();
        // All that was written meanwhile is judged at once.
        while self.written.recv_many(&mut spots, MAX_TOLD).await > 0 {
            match self.judge(std::mem::take(&mut spots)).await {
                Ok(refused) if refused.is_empty() => {}
                Ok(refused) => {
                    let _ = self.tell.send(Seen::Restored { refused });
                }
                Err(error) => tracing::error!("{}: git's configuration: {error}", self.id),
            }
        }
    }

    async fn judge(&self, spots: Vec<Spot>) -> Result<Vec<(String, String)>, WorkspaceError> {
        let (ids, places) = sweep::reopen(&self.supervisor, &self.remembered).await?;
        let wanted = Look {
            ids,
            paths: self.remembered.places.clone(),
            places: &places,
            masks: Masks::default(),
            limits: START_LIMITS,
        };
        let task = Task::Judge { before: self.remembered.before.clone(), spots };
        let report: Report = look(&self.supervisor, wanted, task).await?;
        let refused = report.findings.iter().filter(|finding| finding.kind == FindingKind::ConfigRefused);
        Ok(refused.map(|Finding { spot, detail, .. }| (spot.path.to_string(), detail.clone())).collect())
    }
}
