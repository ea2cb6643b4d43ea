//! The life of a session as a pure function: what happened goes in, what is to be done comes out.
//!
//! ```text
//!            Perform(Lease) … Perform(Release)
//!  ┌──────────┐  each step done  ┌──────────┐  confined   ┌─────────┐ agent ended ┌──────────┐
//!  │ Starting ├─────────────────▶│ Released ├────────────▶│ Running ├────────────▶│ Draining │
//!  └────┬─────┘                  └────┬─────┘             └──┬───┬──┘             └─┬─────┬──┘
//!       │ a step failed,              │ failed, launcher     │   │ stop        stop │     │
//!       │ stop, time is up            │ gone, stop, time     │   ▼                  │     │
//!       │                             │                      │ ┌──────────┐◀────────┘     │
//!       │                             │                      │ │ Stopping │ SIGTERM sent  │
//!       │                             │             launcher │ └────┬───┬─┘               │
//!       │                             │                 gone │ time ▼   │                 │
//!       │                             │                      │ ┌─────────┐│               │
//!       │                             │                      │ │ Killing ││               │
//!       │                             │                      │ └────┬────┘│ launcher gone │
//!       ▼                             ▼                      ▼      ▼     ▼               ▼
//!  ┌──────────────────────────────────────────────────────────────────────────────────────────┐
//!  │ Reverting: every step that was begun, last first, each once; failures do not stop it      │
//!  └────────────────────────────────────────────┬─────────────────────────────────────────────┘
//!                                               ▼
//!                                             Gone
//! ```
//!
//! A stop during `Starting` waits for the step in hand, since half a step cannot be reverted. Events that
//! have no arrow above change nothing. Doing things, waiting and clocks belong to the driver.

use std::time::Duration;

/// What is done for a session before its agent runs, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// Ids of its own are looked for; found, or not, when the network is made.
    Lease,
    /// Its directory, with the ledger and the console socket.
    Directory,
    /// What is in the project is looked at; reverted: what changed is, when nothing of the session runs any more.
    Project,
    /// Its control groups; what the project holds is known when they are made.
    Group,
    /// Its network namespace and its gates, of the network and of keys; nothing for one without.
    Network,
    /// Everything it will see is opened, and the plan made.
    Sources,
    /// The launcher runs and waits.
    Spawn,
    /// The supervisor's and the client's connections wait at the console.
    Connect,
    /// The launcher may begin.
    Release,
}

impl Step {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 9] = [
        Self::Lease,
        Self::Directory,
        Self::Project,
        Self::Group,
        Self::Network,
        Self::Sources,
        Self::Spawn,
        Self::Connect,
        Self::Release,
    ];

    /// Its name in errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Directory => "directory",
            Self::Project => "project",
            Self::Group => "group",
            Self::Network => "network",
            Self::Sources => "sources",
            Self::Spawn => "spawn",
            Self::Connect => "connect",
            Self::Release => "release",
        }
    }
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The steps up to `begun` were begun, all but the last of them are done.
    Starting {
        /// How many.
        begun: usize,
        /// Whether the step in hand is the last one.
        cancelled: bool,
    },
    /// All steps are done; the launcher puts the plan into force.
    Released,
    /// The agent runs.
    Running,
    /// The agent ended; the launcher hands the rest of its output to the client.
    Draining,
    /// The agent was told to end.
    Stopping,
    /// The agent was killed.
    Killing,
    /// `left` steps are still to be reverted; the last of them is in hand.
    Reverting {
        /// How many.
        left: usize,
    },
    /// Nothing is left.
    Gone,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A step was performed.
    Done(Step),
    /// A step could not be performed; what it left half done is for its revert.
    Failed(Step),
    /// The launcher says that all confinement is in force.
    Confined,
    /// The launcher says that it could not put the plan into force.
    Unconfined,
    /// The launcher says that the agent ended.
    AgentEnded,
    /// The launcher is no more.
    LauncherGone,
    /// Somebody wants it to end, by itself within this time.
    Stop(Duration),
    /// The time limit of the state has passed.
    TimeIsUp,
    /// A step was reverted, or reverting it failed for good.
    Reverted(Step),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Perform a step, then say [`Event::Done`] or [`Event::Failed`].
    Perform(Step),
    /// Revert a step, then say [`Event::Reverted`].
    Revert(Step),
    /// Say [`Event::TimeIsUp`] after this time from now; a limit set before is void. `None`: no limit.
    Limit(Option<Duration>),
    /// Tell who asked that the session runs.
    Announce,
    /// Send SIGTERM to the agent.
    Terminate,
    /// Kill everything but the launcher's outer half.
    KillPayload,
}

/// The steps together take 5 ms, and the look at a large project two seconds; this is for a host that is swapping
/// or whose name service hangs.
pub(crate) const STARTING_LIMIT: Duration = Duration::from_secs(30);
/// The launcher takes 3 ms; the same host.
pub(crate) const RELEASED_LIMIT: Duration = Duration::from_secs(30);
/// After SIGKILL the kernel tears down the pid namespace within milliseconds; what takes longer is in
/// uninterruptible sleep, and then the revert of the group reports it.
pub(crate) const KILLING_LIMIT: Duration = Duration::from_secs(2);

/// The first state and what it begins with.
pub(crate) fn begin() -> (State, Vec<Effect>) {
    let state = State::Starting { begun: 1, cancelled: false };
    (state, vec![Effect::Limit(Some(STARTING_LIMIT)), Effect::Perform(Step::ALL[0])])
}

/// State of a session that an earlier supervisor started and whose launcher lives.
pub(crate) fn adopted() -> State {
    State::Running
}

/// What an event makes of a state.
pub(crate) fn next(state: State, event: Event) -> (State, Vec<Effect>) {
    match (state, event) {
        (State::Starting { begun, cancelled }, Event::Done(step)) if step == Step::ALL[begun - 1] => {
            if cancelled {
                revert(begun)
            } else if let Some(step) = Step::ALL.get(begun) {
                (State::Starting { begun: begun + 1, cancelled }, vec![Effect::Perform(*step)])
            } else {
                (State::Released, vec![Effect::Limit(Some(RELEASED_LIMIT))])
            }
        }
        (State::Starting { begun, .. }, Event::Failed(step)) if step == Step::ALL[begun - 1] => revert(begun),
        (
            State::Starting { begun, .. },
            Event::Stop(_) | Event::TimeIsUp | Event::LauncherGone | Event::Unconfined,
        ) => (State::Starting { begun, cancelled: true }, vec![]),

        (State::Released, Event::Confined) => (State::Running, vec![Effect::Limit(None), Effect::Announce]),
        (
            State::Released,
            Event::Unconfined | Event::AgentEnded | Event::LauncherGone | Event::Stop(_) | Event::TimeIsUp,
        ) => revert(Step::ALL.len()),

        // Running and Draining have no time limit: an agent works as long as it works, and its output
        // waits for its reader as in a pipe. A stop ends both.
        (State::Running, Event::AgentEnded) => (State::Draining, vec![]),
        (State::Running, Event::Stop(timeout)) => {
            (State::Stopping, vec![Effect::Terminate, Effect::Limit(Some(timeout))])
        }
        (State::Draining | State::Stopping, Event::Stop(timeout)) => {
            (State::Stopping, vec![Effect::Limit(Some(timeout))])
        }
        (State::Stopping, Event::TimeIsUp) => {
            (State::Killing, vec![Effect::KillPayload, Effect::Limit(Some(KILLING_LIMIT))])
        }
        (State::Killing, Event::TimeIsUp) => revert(Step::ALL.len()),
        (State::Running | State::Draining | State::Stopping | State::Killing, Event::LauncherGone) => {
            revert(Step::ALL.len())
        }

        (State::Reverting { left }, Event::Reverted(step)) if step == Step::ALL[left - 1] => match left {
            1 => (State::Gone, vec![]),
            _ => (State::Reverting { left: left - 1 }, vec![Effect::Revert(Step::ALL[left - 2])]),
        },
        (state, _) => (state, vec![]),
    }
}

fn revert(begun: usize) -> (State, Vec<Effect>) {
    // Each revert has its own bound in the driver, so the state needs none.
    (State::Reverting { left: begun }, vec![Effect::Limit(None), Effect::Revert(Step::ALL[begun - 1])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step() -> impl Strategy<Value = Step> {
        (0..Step::ALL.len()).prop_map(|at| Step::ALL[at])
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => step().prop_map(Event::Done),
            1 => step().prop_map(Event::Failed),
            1 => Just(Event::Confined),
            1 => Just(Event::Unconfined),
            1 => Just(Event::AgentEnded),
            1 => Just(Event::LauncherGone),
            1 => (0u64..9).prop_map(|seconds| Event::Stop(Duration::from_secs(seconds))),
            1 => Just(Event::TimeIsUp),
            6 => step().prop_map(Event::Reverted),
        ]
    }

    /// What a session was seen to do.
    #[derive(Default)]
    struct Seen {
        performed: Vec<Step>,
        done: Vec<Step>,
        reverted: Vec<Step>,
        announced: usize,
    }

    impl Seen {
        fn note(&mut self, effects: &[Effect]) -> Option<Effect> {
            let mut work = None;
            for effect in effects {
                match effect {
                    Effect::Perform(step) => {
                        assert!(self.reverted.is_empty(), "{step:?} begun while reverting");
                        assert_eq!(self.done, self.performed, "{step:?} begun before the last was done");
                        self.performed.push(*step);
                        work = Some(*effect);
                    }
                    Effect::Revert(step) => {
                        self.reverted.push(*step);
                        work = Some(*effect);
                    }
                    Effect::Announce => self.announced += 1,
                    Effect::Limit(_) | Effect::Terminate | Effect::KillPayload => {}
                }
            }
            work
        }

        fn promises(&self) {
            let order: Vec<_> = Step::ALL.into_iter().take(self.performed.len()).collect();
            assert_eq!(self.performed, order, "steps are begun in order, each once");
            let back: Vec<_> = self.performed.iter().rev().copied().take(self.reverted.len()).collect();
            assert_eq!(self.reverted, back, "reverts go backwards, each once");
            assert!(self.announced <= 1);
            if self.performed.contains(&Step::Release) {
                assert!(self.done.len() >= Step::ALL.len() - 1, "released before all was done");
            }
        }
    }

    proptest! {
        /// Events come from a world that answers what it is asked, with anything else in between.
        #[test]
        fn every_begun_step_is_reverted_exactly_once(
            noise in proptest::collection::vec(proptest::collection::vec(event(), 0..3), 40),
            fails in proptest::option::of(step()),
        ) {
            let mut seen = Seen::default();
            let (mut state, effects) = begin();
            let mut work = seen.note(&effects);
            for burst in noise {
                // What the world says about a step is said only when it was asked.
                let spurious = burst.into_iter().filter(|event| {
                    !matches!(event, Event::Done(_) | Event::Failed(_) | Event::Reverted(_))
                });
                let answer = match work.take() {
                    Some(Effect::Perform(step)) if fails == Some(step) => Some(Event::Failed(step)),
                    Some(Effect::Perform(step)) => {
                        seen.done.push(step);
                        Some(Event::Done(step))
                    }
                    Some(Effect::Revert(step)) => Some(Event::Reverted(step)),
                    _ => None,
                };
                for event in spurious.chain(answer) {
                    let (after, effects) = next(state, event);
                    state = after;
                    if let Some(next) = seen.note(&effects) {
                        work = Some(next);
                    }
                    seen.promises();
                }
            }
            // Whatever it was in the middle of, it ends when it is stopped.
            for _ in 0..4 * Step::ALL.len() {
                let event = match work.take() {
                    Some(Effect::Perform(step)) => { seen.done.push(step); Event::Done(step) }
                    Some(Effect::Revert(step)) => Event::Reverted(step),
                    _ if state == State::Running || state == State::Draining => Event::Stop(Duration::ZERO),
                    _ => Event::TimeIsUp,
                };
                let (after, effects) = next(state, event);
                state = after;
                if let Some(next) = seen.note(&effects) {
                    work = Some(next);
                }
                seen.promises();
            }
            prop_assert_eq!(state, State::Gone);
            prop_assert_eq!(seen.reverted.len(), seen.performed.len());
        }

        /// Even answers that nobody asked for cannot make it skip, repeat or panic.
        #[test]
        fn no_sequence_of_events_releases_twice(events in proptest::collection::vec(event(), 0..200)) {
            let (mut state, mut all) = begin();
            for event in events {
                let (after, effects) = next(state, event);
                state = after;
                all.extend(effects);
            }
            for step in Step::ALL {
                prop_assert!(all.iter().filter(|effect| **effect == Effect::Perform(step)).count() <= 1);
                prop_assert!(all.iter().filter(|effect| **effect == Effect::Revert(step)).count() <= 1);
            }
        }
    }

    #[test]
    fn a_stop_says_please_before_it_kills() {
        let (state, effects) = next(State::Running, Event::Stop(Duration::from_secs(1)));
        assert_eq!(effects, [Effect::Terminate, Effect::Limit(Some(Duration::from_secs(1)))]);
        let (state, effects) = next(state, Event::TimeIsUp);
        assert_eq!(effects, [Effect::KillPayload, Effect::Limit(Some(KILLING_LIMIT))]);
        let (state, _) = next(state, Event::TimeIsUp);
        assert_eq!(state, State::Reverting { left: Step::ALL.len() });
    }

    #[test]
    fn output_of_an_ended_agent_is_not_cut_off() {
        let (state, effects) = next(State::Running, Event::AgentEnded);
        assert_eq!((state, effects), (State::Draining, vec![]));
        assert_eq!(next(state, Event::LauncherGone).0, State::Reverting { left: Step::ALL.len() });
    }

    #[test]
    fn a_launcher_that_cannot_confine_runs_nothing() {
        for event in [Event::Unconfined, Event::LauncherGone, Event::TimeIsUp] {
            let (state, effects) = next(State::Released, event);
            assert_eq!(state, State::Reverting { left: Step::ALL.len() });
            assert!(!effects.contains(&Effect::Announce));
        }
    }
}
