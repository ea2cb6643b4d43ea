//! Requests at random from several connections at once, sensible ones and others, over the supervisor's own bus, and a small
//! model of what it may answer: a session that was started is there until somebody wanted its end, does not come back, goes
//! only forward, and stands still from a freeze to a thaw.

use crate::bus::{MANAGER, NAME, PATH, converse};
use crate::machine::Machine;
use crate::numbers::Numbers;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zbus::{Connection, Fd, Message, OwnedVariant, Variant};

/// Longest that an answer may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Above so many sessions most requests are for an end.
const MANY: usize = 8;
/// Prefix of the errors that the supervisor has words for.
const OURS: &str = "org.agentbox1.Error.";
/// What it says of arguments that are none of a method.
const OF_ARGUMENTS: &[&str] =
    &["org.freedesktop.DBus.Error.InvalidArgs", "org.freedesktop.DBus.Error.UnknownMethod"];

/// What is known of a session.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Its agent waits, so that it ends only when somebody wants it to.
    waits: bool,
    /// Somebody asked for its end, whether that was answered or not.
    end_wanted: bool,
    /// Somebody was told that it is not there any more.
    gone: bool,
    /// Its start was answered to nobody, or is being answered: it was found in a list.
    unheard: bool,
    /// The farthest that it was seen: order of states.
    stage: usize,
    /// How often somebody asked for it to go on, how often that was answered, and how often it was asked and answered
    /// when a freeze was.
    thaws: u64,
    thawed: u64,
    frozen: Option<u64>,
}

/// States in the order in which a session goes through them; those of one place can follow each other.
const STAGES: &[&[&str]] = &[&["starting"], &["running", "frozen"], &["stopping"], &["ending"]];

type Table = HashMap<&'static str, Variant<'static>>;

/// A run.
#[derive(Debug)]
pub struct Requests<'a> {
    machine: &'a Machine,
    /// Sessions that were there before, which are left alone.
    others: Vec<String>,
    known: Mutex<BTreeMap<String, Known>>,
    until: Instant,
}

/// How often each method was called, and how often it was answered with what was asked for.
pub type Answered = BTreeMap<&'static str, (u64, u64)>;

/// What came back.
enum Answer {
    Good(Message),
    Bad {
        name: String,
        text: String,
    },
    /// Nobody waited for it.
    Unheard,
}

impl<'a> Requests<'a> {
    /// Asks for so long, as these users, each on a connection of its own.
    ///
    /// # Errors
    /// When an answer is none that may be given.
    pub fn run(machine: &'a Machine, users: &[u32], seed: u64, time: Duration) -> Result<Answered> {
        let others = machine.session_ids()?;
        let requests = Self { machine, others, known: Mutex::default(), until: Instant::now() + time };
        let all = std::thread::scope(|scope| {
            let askers: Vec<_> = users
                .iter()
                .zip(0..)
                .map(|(user, at)| {
                    let requests = &requests;
                    scope.spawn(move || requests.ask(*user, Numbers::new(seed.wrapping_add(at))))
                })
                .collect();
            let mut all = Answered::new();
            for asker in askers {
                for (method, (asked, good)) in
                    asker.join().map_err(|_panic| anyhow::anyhow!("an asker panicked"))??
                {
                    let sum = all.entry(method).or_default();
                    *sum = (sum.0 + asked, sum.1 + good);
                }
            }
            anyhow::Ok(all)
        })?;
        Ok(all)
    }

    /// One connection after the other, each until it is given up in the middle of a request.
    fn ask(&self, user: u32, mut numbers: Numbers) -> Result<Answered> {
        let mut answered = Answered::new();
        while Instant::now() < self.until {
            answered = converse(self.machine, user, async |connection| {
                let mut asker = Asker { requests: self, connection, numbers: &mut numbers, answered };
                while Instant::now() < self.until && asker.one().await? {}
                Ok(asker.answered)
            })?;
        }
        Ok(answered)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
struct Asker<'a> {
    requests: &'a Requests<'a>,
    connection: &'a Connection,
    numbers: &'a mut Numbers,
    answered: Answered,
}

impl Asker<'_> {
    /// Makes a request and judges the answer. False: the connection is given up.
    async fn one(&mut self) -> Result<bool> {
        let running = self.requests.known().values().filter(|known| !known.end_wanted).count();
        match self.numbers.below(if running > MANY { 4 } else { 24 }) {
            0 | 1 => self.stop().await,
            6..=9 => self.start().await,
            10 | 11 => self.list().await,
            12 | 13 => self.freeze().await,
            14..=17 => self.thaw().await,
            18 | 19 => self.exec().await,
            _ => self.look().await,
        }
    }

    /// Calls a method; once in a while nobody waits for the answer.
    async fn call<B>(&mut self, method: &'static str, body: &B) -> Result<Answer>
    where
        B: serde::Serialize + zbus::zvariant::Type + Sync,
    {
        let counted = self.answered.entry(method).or_default();
        counted.0 += 1;
        let limit = match self.numbers.below(25) {
            0 => Duration::from_millis(self.numbers.below(20) as u64),
            _ => LIMIT,
        };
        let call = self.connection.call_method(Some(NAME), PATH, Some(MANAGER), method, body);
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(message)) => {
                counted.1 += 1;
                Ok(Answer::Good(message))
            }
            Ok(Err(zbus::Error::MethodError(name, text, _))) => {
                let (name, text) = (name.to_string(), text.unwrap_or_default());
                let is_ours = name.starts_with(OURS) || OF_ARGUMENTS.contains(&name.as_str());
                ensure!(is_ours, "{method}: {name}: {text}");
                Ok(Answer::Bad { name, text })
            }
            Ok(Err(error)) => Err(error).context(method),
            Err(_elapsed) if limit < LIMIT => Ok(Answer::Unheard),
            Err(_elapsed) => bail!("{method} is not answered"),
        }
    }

    /// A session that there is or was, or one that never was, with what is known of it now.
    fn session(&mut self) -> (String, Known) {
        let known = self.requests.known();
        let kind = self.numbers.below(10);
        let all: Vec<_> = known.iter().filter(|(_, known)| kind < 3 || !known.gone).collect();
        if kind == 0 || all.is_empty() {
            let odd = *self.numbers.one(&["", "abcdefgh", "../../etc", "*", "\u{1b}[2J", "a\nb"]);
            return (odd.to_owned(), Known { gone: true, ..Known::default() });
        }
        let (id, known) = *self.numbers.one(&all);
        (id.clone(), known.clone())
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.requests.known().get_mut(id) {
            change(known);
        }
    }

    /// What is to be said of an answer about one session, which was known so when it was asked. Whether to go on.
    fn judge(&self, method: &str, id: &str, before: &Known, answer: &Answer) -> Result<bool> {
        let now = self.requests.known().get(id).cloned().unwrap_or_default();
        let lives = now.waits && !now.end_wanted;
        match answer {
            Answer::Unheard => return Ok(false),
            Answer::Good(_) => {
                ensure!(!before.gone, "{method} {id:?}: answered of one that is gone: {before:?}")
            }
            Answer::Bad { name, text } if name.ends_with(".NotFound") => {
                ensure!(!lives, "{method} {id:?}: {text}, but it has to be there: {now:?}");
                // The others say that it does not run any more.
                let gone = text.contains("there is no session");
                self.update(id, |known| known.gone |= gone);
            }
            Answer::Bad { name, text } if name.ends_with(".Failed") => {
                ensure!(
                    !lives || now.thaws != before.thaws || now.frozen.is_some(),
                    "{method} {id:?}: {text}"
                );
            }
            Answer::Bad { .. } => {}
        }
        Ok(true)
    }

    async fn stop(&mut self) -> Result<bool> {
        let (id, before) = self.session();
        self.update(&id, |known| known.end_wanted = true);
        let time = *self.numbers.one(&[0_u64, 50, 1_000, u64::MAX]);
        // What does not end by itself is not waited for longer than this test.
        let time = if time == u64::MAX && !before.gone { 50 } else { time };
        let answer = self.call("Stop", &(id.as_str(), time)).await?;
        if matches!(answer, Answer::Good(_)) {
            self.update(&id, |known| known.gone = true);
        }
        self.judge("Stop", &id, &before, &answer)
    }

    async fn start(&mut self) -> Result<bool> {
        let mut options = Table::new();
        let text = |text: &str| Variant::from(text.to_owned());
        let waits = self.numbers.below(4) != 0;
        let command =
            if waits { vec!["sleep".to_owned(), "infinity".to_owned()] } else { vec!["true".to_owned()] };
        options.insert("command", Variant::from(command));
        options.insert("network", text("none"));
        let mut valid = true;
        match self.numbers.below(8) {
            0 => {
                let odd = [
                    ("posture", "L9"),
                    ("network", "everything"),
                    ("nothing", "x"),
                    ("name", "a\nb"),
                    ("profile", "no"),
                ];
                let (key, value) = *self.numbers.one(&odd);
                options.insert(key, text(value));
                valid = false;
            }
            1 => {
                options.insert("posture", text("L1"));
            }
            2 => {
                options.insert("workspace", text("readonly"));
            }
            _ => {}
        }
        let detach = self.numbers.below(6) != 0;
        let mut request = HashMap::new();
        request.insert("options", Variant::from(options));
        request.insert("detach", Variant::from(detach));
        let project = self.requests.machine.project();
        let odd = ["/", "/proc/self", "/etc/passwd", "/dev/null"];
        let place = match self.numbers.below(12) {
            0 => Path::new(*self.numbers.one(&odd)),
            _ => project,
        };
        valid &= place == project;
        let file = OwnedFd::from(File::open(place)?);
        match self.call("Start", &(Fd::from(&file), request)).await? {
            Answer::Good(message) => {
                ensure!(valid, "it was started");
                let (answer, _console): (HashMap<String, OwnedVariant>, zbus::OwnedFd) =
                    message.body().deserialize()?;
                let id: String = answer.get("id").context("no id")?.try_clone()?.try_into()?;
                // A session whose client goes, ends: the console is closed right here.
                let mut known = self.requests.known();
                let listed = known.entry(id.clone()).or_insert(Known { unheard: true, ..Known::default() });
                ensure!(std::mem::take(&mut listed.unheard), "{id} came back");
                listed.waits = waits && detach;
                Ok(true)
            }
            Answer::Bad { name, text } => {
                ensure!(!valid, "{name}: {text}");
                Ok(true)
            }
            Answer::Unheard => Ok(false),
        }
    }

    async fn list(&mut self) -> Result<bool> {
        let before = self.requests.known().clone();
        let Answer::Good(message) = self.call("List", &()).await? else { return Ok(false) };
        let listed: Vec<HashMap<String, OwnedVariant>> = message.body().deserialize()?;
        let (mut ids, mut running) = (Vec::new(), Vec::new());
        for one in listed {
            let text = |key| anyhow::Ok(String::try_from(one.get(key).context(key)?.try_clone()?)?);
            let id = text("id")?;
            // A start that somebody stops is answered with that.
            if text("state")? == "running" && !self.requests.others.contains(&id) {
                running.push(id.clone());
            }
            ids.push(id);
        }
        let now = self.requests.known().clone();
        for (id, known) in &before {
            let lives = known.waits && now.get(id).is_some_and(|known| !known.end_wanted);
            ensure!(!lives || ids.contains(id), "{id} is not listed: {known:?}");
            ensure!(!known.gone || !ids.contains(id), "{id} is listed: {known:?}");
        }
        for id in running {
            self.requests.known().entry(id).or_insert(Known { unheard: true, ..Known::default() });
        }
        Ok(true)
    }

    async fn freeze(&mut self) -> Result<bool> {
        let (id, before) = self.session();
        let answer = self.call("Freeze", &(id.as_str())).await?;
        if matches!(answer, Answer::Good(_)) {
            self.update(&id, |known| {
                let still = before.thaws == known.thaws && before.thawed == before.thaws;
                known.frozen = still.then_some(known.thaws);
            });
        }
        self.judge("Freeze", &id, &before, &answer)
    }

    async fn thaw(&mut self) -> Result<bool> {
        let (id, before) = self.session();
        self.update(&id, |known| known.thaws += 1);
        let answer = self.call("Thaw", &(id.as_str())).await?;
        if !matches!(answer, Answer::Unheard) {
            self.update(&id, |known| known.thawed += 1);
        }
        self.judge("Thaw", &id, &before, &answer)
    }

    /// A program beside the agent whose streams nobody reads. In one that stands still it would wait.
    async fn exec(&mut self) -> Result<bool> {
        let (id, before) = self.session();
        if before.frozen.is_some() {
            return self.thaw().await;
        }
        let mut client = Table::new();
        client.insert("streams", Variant::from(vec![false, false, false]));
        client.insert("rows", Variant::from(0_u64));
        client.insert("columns", Variant::from(0_u64));
        let command: Vec<&str> = if self.numbers.below(4) == 0 { Vec::new() } else { vec!["true"] };
        let answer = self.call("Exec", &(id.as_str(), command, client)).await?;
        self.judge("Exec", &id, &before, &answer)
    }

    /// Asks what there is to be asked.
    async fn look(&mut self) -> Result<bool> {
        let (id, before) = self.session();
        match self.numbers.below(6) {
            0 => {
                let answer = self.call("Why", &(id.as_str(), "example.org:443")).await?;
                Ok(!matches!(answer, Answer::Unheard))
            }
            1 => {
                let target = *self.numbers.one(&["example.org", "@", ""]);
                let answer = self.call("Allow", &(id.as_str(), target, 0_u64)).await?;
                ensure!(!matches!(answer, Answer::Good(_)), "{id:?} has no network, and may reach a host");
                Ok(!matches!(answer, Answer::Unheard))
            }
            2 => Ok(!matches!(self.call("Discard", &(id.as_str())).await?, Answer::Unheard)),
            3 => {
                let after = self.numbers.next();
                Ok(!matches!(self.call("Log", &(id.as_str(), after)).await?, Answer::Unheard))
            }
            // An empty id asks about the supervisor.
            _ if id.is_empty() => Ok(!matches!(self.call("Status", &("")).await?, Answer::Unheard)),
            _ => {
                let answer = self.call("Status", &(id.as_str())).await?;
                if let Answer::Good(message) = &answer {
                    self.state(&id, &before, message)?;
                }
                self.judge("Status", &id, &before, &answer)
            }
        }
    }

    fn state(&self, id: &str, before: &Known, message: &Message) -> Result<()> {
        let status: HashMap<String, OwnedVariant> = message.body().deserialize()?;
        let text = format!("{:?}", status.get("summary"));
        let state = STAGES.iter().copied().flatten().find(|state| text.contains(&format!("\"{state}\"")));
        let state = state.with_context(|| format!("{id}: no state that is known: {text}"))?;
        let stage = STAGES.iter().position(|stage| stage.contains(state)).unwrap_or_default();
        ensure!(stage >= before.stage, "{id} is {state} again: {before:?}");
        let now = self.requests.known().get(id).cloned().unwrap_or_default();
        let stands_still = before.frozen == Some(now.thaws);
        ensure!(*state != "running" || !stands_still, "{id} runs, and is frozen: {before:?}");
        self.update(id, |known| known.stage = known.stage.max(stage));
        Ok(())
    }
}
