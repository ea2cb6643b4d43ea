//! What the fuzz targets call: what this program reads of projects, of other programs, of a person's keys and of what
//! it kept itself.

use crate::client::detach_key::{DetachKey, Verdict};
use crate::client::frames::Incoming;
use crate::client::screen::Screen;
use crate::commands::{log, verify};
use crate::git::Author;
use crate::inspect::{Notes, repository, settings};
use crate::output::{escape, units};
use crate::review::apply::journal::Journal;
use crate::review::lines::{hunks, lines};
use crate::review::merge::three_way;
use crate::review::{owner, remember};
use crate::{own_files, ssh, targets};
use agentbox_plan::console::FromConsole;
use serde_json::{Map, Value};

/// Reads what was kept or answered, and writes what it understood; `None` when it is an error.
pub type Rewritten = fn(&[u8]) -> Option<Vec<u8>>;

/// What is kept of reviews, and answers of a child that is the owner.
pub const KEPT: [Rewritten; 5] = [
    |bytes| serde_json::to_vec(&Journal::parse(bytes).ok()?).ok(),
    |bytes| serde_json::to_vec(&remember::Written::parse(bytes).ok()?).ok(),
    |bytes| serde_json::to_vec(&serde_json::from_slice::<own_files::Answer>(bytes).ok()?).ok(),
    |bytes| serde_json::to_vec(&serde_json::from_slice::<owner::Said>(bytes).ok()?).ok(),
    |bytes| serde_json::to_vec(&serde_json::from_slice::<verify::Said>(bytes).ok()?).ok(),
];

fn is_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// Files of a repository, and what git and ssh-keygen say.
pub fn repository(bytes: &[u8]) {
    let author = Author::parse(bytes);
    assert!(author.name.iter().chain(&author.email).all(|text| is_line(text) && !text.is_empty()));
    let mut notes = Notes::default();
    let remotes = repository::configuration(bytes, &mut notes);
    assert!(remotes.len() <= bytes.len() && is_bounded(&notes));
    let log = repository::Log::parse(bytes);
    assert!(log.commits <= bytes.len());
    let text = String::from_utf8_lossy(bytes);
    let urls = remotes.into_iter().map(|(_, url)| url).chain(log.cloned).chain([text.to_string()]);
    for remote in urls.filter_map(|url| repository::Remote::parse(&url)) {
        assert!(!remote.host.contains('@') && !remote.path.contains(['?', '#']), "{remote:?}");
    }
    let known = ssh::Lines::read(&text);
    let revoked = known.revoked.clone();
    assert!(known.good().iter().all(|key| !revoked.contains(key)));
}

fn is_bounded(notes: &Notes) -> bool {
    let is_short = |text: &str| text.chars().count() <= 201;
    notes.findings.len() <= agentbox_policy::MAX_FINDINGS
        && notes.findings.iter().all(|finding| is_short(&finding.place) && is_short(&finding.what))
}

/// Settings of agents, of which each reads comments; and lines of the trail.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut notes = Notes::default();
    settings::variables(text, ".env", &mut notes);
    let stripped = settings::without_comments(text);
    let read = serde_json::from_str::<Value>(&stripped);
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        // What needs nothing taken out says the same without it.
        assert_eq!(read.as_ref().ok(), Some(&value), "{text:?}, {stripped:?}");
    }
    for value in [read.ok(), toml::from_str(text).ok()].iter().flatten() {
        for look in [settings::claude, settings::codex, settings::gemini, settings::opencode] {
            look(value, "settings", &mut notes);
        }
    }
    assert!(is_bounded(&notes));
    if let Ok(event) = serde_json::from_str::<Map<String, Value>>(text) {
        assert!(is_line(&log::shown(&event, true)), "{text:?}");
    }
    assert!(is_line(&escape::name(text)));
}

/// What a person types behind a verb. What is taken is taken again as it is shown.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(time) = units::parse_duration(text) {
        let Ok(ms) = u64::try_from(time.as_millis()) else { panic!("{text:?}") };
        assert_eq!(units::parse_duration(&units::span(ms)), Ok(time), "{text:?}");
    }
    for read in [targets::target, targets::destination] {
        if let Ok(taken) = read(text) {
            assert_eq!(read(&taken).as_ref(), Ok(&taken), "{text:?}");
        }
    }
    if let Ok(published) = targets::publish(text) {
        assert_eq!(targets::publish(&published.to_string()), Ok(published), "{text:?}");
    }
    if let Ok(rule) = targets::rule(text) {
        assert_eq!(targets::rule(&rule.to_string()), Ok(rule), "{text:?}");
    }
}

/// Both directions of a terminal, in pieces and whole.
pub fn terminal(bytes: &[u8], piece: usize) {
    let (mut whole, mut pieces) = (Screen::default(), Screen::default());
    whole.feed(bytes);
    bytes.chunks(piece).for_each(|piece| pieces.feed(piece));
    let farewell = whole.farewell();
    assert_eq!(farewell, pieces.farewell());
    whole.feed(&farewell);
    assert!(whole.farewell().is_empty(), "{}", bytes.escape_ascii());
    let (mut key, mut out) = (DetachKey::default(), Vec::new());
    let verdicts: Vec<_> = bytes.chunks(piece).map(|typed| key.feed(typed, &mut out)).collect();
    if !verdicts.contains(&Verdict::Detach) {
        key.expire(&mut out);
        assert_eq!(out, bytes);
    }
    assert_eq!(messages(bytes, bytes.len().max(1)), messages(bytes, piece));
}

/// The messages of a console up to the first that is none, and whether there is such.
fn messages(bytes: &[u8], piece: usize) -> (Vec<FromConsole>, bool) {
    let (mut incoming, mut all) = (Incoming::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        incoming.space().extend_from_slice(piece);
        loop {
            match incoming.next() {
                Ok(Some(message)) => all.push(message),
                Ok(None) => break,
                Err(_) => return (all, true),
            }
        }
    }
    (all, false)
}

/// Three texts of a file: what both began with, and what each made of it.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) {
    assert_eq!(three_way(base, base, theirs).as_deref(), Some(theirs));
    assert_eq!(three_way(base, ours, base).as_deref(), Some(ours));
    assert_eq!(three_way(base, ours, theirs), three_way(base, theirs, ours));
    let (old, new) = (lines(base), lines(ours));
    assert_eq!(hunks(&old, &new).is_empty(), old == new);
}
