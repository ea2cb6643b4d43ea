//! What a session reaches and what it does not, tried from inside and judged on the far side.

use super::internet::{API, INTERNAL_ADDRESS, INTRANET, Internet, PASTE, PASTE_ADDRESS, REBINDING};
use super::session::Sessions;
use crate::program;
use crate::terminal::{Paint, printable};
use anyhow::{Context as _, Result, bail};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Nothing hangs: longest time of an attempt, refused or not.
const LIMIT: Duration = Duration::from_secs(5);
/// Longer than the gate keeps an answer of the lab's resolver, which is kept for a second.
const NEXT_ANSWER: Duration = Duration::from_millis(2100);
/// What the services of the lab say.
const HELLO: &str = "hello from";

/// Tries all of it; whether every promise was kept.
pub(super) fn show(paint: Paint, sessions: &Sessions, internet: &Internet) -> Result<bool> {
    paint.headline("the network: what a session reaches by name, and what it does not");
    println!("a lab of two network namespaces without a way out; outside of a session all of it is open:\n");
    for (name, address) in [(PASTE, PASTE_ADDRESS), (INTRANET, INTERNAL_ADDRESS)] {
        println!("  {}", outside(internet, name, address)?);
    }
    // What came from outside is no attempt of the session.
    let before = Arrived::count(internet);

    let id = sessions.stay(&["--network", "allowlist"])?;
    let mut inside = Inside { paint, sessions, internet, id: &id, held: true };
    println!("\ninside, where {API}, {INTRANET} and {REBINDING} are allowed:");
    inside.says("an allowed name is answered", &["http", API], Some(HELLO))?;
    inside.says("over TLS as well", &["https", API], Some(HELLO))?;
    inside.says(
        "a name that is not allowed is refused, in words",
        &["http", PASTE],
        Some("agentboxctl allow"),
    )?;
    inside.says("over TLS by an alert", &["https", PASTE], None)?;
    inside.says("an allowed name with an internal address is refused", &["http", INTRANET], None)?;
    inside.says("so is the address itself", &["http", &INTERNAL_ADDRESS.to_string()], None)?;
    inside.says("a name that is public the first time …", &["http", REBINDING], Some(HELLO))?;
    std::thread::sleep(NEXT_ANSWER);
    inside.says("… and internal the second time is refused then", &["http", REBINDING], None)?;
    inside.far_side(before);

    println!("\nthe session can read why:");
    let denials = sessions.capture(&["exec", &id, "--", "cat", "/run/agentbox/denials.jsonl"])?;
    denials.lines().for_each(|line| println!("  {}", printable(line)));
    for what in [PASTE, INTRANET] {
        println!("\nagentboxctl why {id} {what}");
        sessions.capture(&["why", &id, what])?.lines().for_each(|line| println!("  {}", printable(line)));
    }
    println!("\nagentboxctl allow {id} {PASTE} --for 10m");
    sessions.capture(&["allow", &id, PASTE, "--for", "10m"])?;
    inside.says("from now on it is answered", &["http", PASTE], Some(HELLO))?;

    println!("\nagentboxctl log {id}");
    sessions.capture(&["log", &id])?.lines().for_each(|line| println!("  {}", printable(line)));
    let held = inside.held;
    sessions.capture(&["stop", &id])?;
    Ok(held)
}

/// The positive control: what will be refused is there and answers.
fn outside(internet: &Internet, name: &str, address: IpAddr) -> Result<String> {
    let mut curl = internet.lab.host.command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "5", "--resolve", &format!("{name}:80:{address}")]);
    let said = program::capture(curl.arg(format!("http://{name}/")))?;
    if !said.starts_with(HELLO) {
        bail!("the lab does not work: {}", printable(said.trim()));
    }
    Ok(format!("{address}: {}", printable(said.trim())))
}

/// Connections that arrived where none should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrived {
    at_paste: usize,
    at_internal: usize,
}

impl Arrived {
    fn count(internet: &Internet) -> Self {
        Self {
            at_paste: internet.standin.connections_to(PASTE_ADDRESS),
            at_internal: internet.standin.connections_to(INTERNAL_ADDRESS),
        }
    }
}

/// Attempts of one session.
struct Inside<'a> {
    paint: Paint,
    sessions: &'a Sessions<'a>,
    internet: &'a Internet,
    id: &'a str,
    held: bool,
}

impl Inside<'_> {
    fn judge(&mut self, good: bool, what: &str) {
        self.held &= good;
        println!("  {}", if good { self.paint.good(what) } else { self.paint.bad(&format!("NOT: {what}")) });
    }

    /// Asks `SCHEME://HOST/`. It has to say these words, or, without any, not to be answered.
    fn says(&mut self, what: &str, to: &[&str; 2], words: Option<&str>) -> Result<()> {
        let url = format!("{}://{}/", to[0], to[1]);
        let certificate = self.internet.certificate.display().to_string();
        let mut exec = self.sessions.agentboxctl();
        exec.args(["exec", self.id, "--", "curl", "--silent", "--show-error", "--max-time", "20"]);
        exec.args(["--cacert", &certificate, &url]);
        let begun = Instant::now();
        let output = exec.output().context("cannot run agentboxctl")?;
        let took = begun.elapsed();
        println!("\n  curl {url}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().for_each(|line| println!("    {}", printable(line)));
        println!("    (status {}, {} ms)", output.status.code().unwrap_or(-1), took.as_millis());
        let as_promised = match words {
            Some(words) => text.contains(words),
            None => !text.contains(HELLO),
        };
        // Whatever is not meant to be answered has nothing of the service in it, words or not.
        let silent = words == Some(HELLO) || !text.contains(HELLO);
        self.judge(as_promised && silent && took < LIMIT, what);
        Ok(())
    }

    fn far_side(&mut self, before: Arrived) {
        println!("\n  what the far side saw:");
        let asked = self.internet.zone.asked().iter().filter(|line| line.starts_with(PASTE)).count();
        self.judge(asked == 0, &format!("nobody asked the resolver for {PASTE}"));
        let after = Arrived::count(self.internet);
        self.judge(after == before, "no connection reached the refused address or the internal one");
    }
}
