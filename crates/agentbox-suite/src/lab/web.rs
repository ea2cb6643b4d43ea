//! Starts the public web and takes in what it says about arrivals.

use super::addresses::HOSTILE;
use super::authority::Authority;
use super::place::{Arrival, Place};
use crate::run::eventually;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const PROGRAM: &str = include_str!("web.js");
const AGENTS: &str = include_str!("agents.js");
const LIMIT: Duration = Duration::from_secs(60);

/// The program that serves; ended when dropped.
#[derive(Debug)]
pub(super) struct Web {
    child: Child,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Event {
    Ready,
    Connection { id: u64, to: IpAddr, port: u16, from: IpAddr },
    Hello { id: u64, name: String },
    Request { id: u64, host: String, method: String, path: String, version: String },
    Closed { id: u64, bytes: u64 },
}

impl Web {
    /// Serves the files below `directory`/files, by name of the host.
    pub(super) fn start(place: &Place, directory: &Path, authority: &Authority) -> Result<Self> {
        let (program, config) = (directory.join("web.js"), directory.join("web.json"));
        let hostile = HOSTILE.iter().map(|(address, does)| (address.to_string(), (*does).into()));
        let said = serde_json::json!({
            "files": directory.join("files"),
            "key": authority.key,
            "certificate": authority.certificate,
            "hostile": hostile.collect::<serde_json::Map<String, serde_json::Value>>(),
        });
        fs::write(&program, PROGRAM)?;
        fs::write(directory.join("agents.js"), AGENTS)?;
        fs::write(&config, serde_json::to_vec(&said)?)?;
        let mut command = place.space().command("/usr/bin/env");
        command.args(["-u", "NODE_OPTIONS", "node"]).arg(&program).arg(&config);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("node")?;
        let said = BufReader::new(child.stdout.take().context("no output")?);
        let mut complaints = child.stderr.take().context("no output")?;
        let (ready, arrivals) = (Arc::new(AtomicBool::new(false)), place.arrivals_handle());
        let is_ready = Arc::clone(&ready);
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let mut all = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                match serde_json::from_str(&line) {
                    Ok(Event::Ready) => is_ready.store(true, Ordering::Release),
                    Ok(Event::Connection { id, to, port, from }) => {
                        all.insert(id, Arrival { to, port, from, said: vec![], bytes: 0 });
                    }
                    Ok(Event::Hello { id, name }) => {
                        all.entry(id).and_modify(|arrival| arrival.said.push(format!("TLS {name}")));
                    }
                    Ok(Event::Request { id, host, method, path, version }) => {
                        let said = format!("HTTP/{version} {method} {host} {path}");
                        all.entry(id).and_modify(|arrival| arrival.said.push(said));
                    }
                    Ok(Event::Closed { id, bytes }) => {
                        all.entry(id).and_modify(|arrival| arrival.bytes = bytes);
                    }
                    Err(error) => eprintln!("the web said {line:?}: {error}"),
                }
            }
        });
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = complaints.read_to_string(&mut text);
            if !text.is_empty() {
                eprintln!("the web complained: {text}");
            }
        });
        let mut web = Self { child };
        eventually("the web listens", LIMIT, || {
            ensure!(web.child.try_wait()?.is_none(), "the web ended");
            Ok(ready.load(Ordering::Acquire).then_some(()))
        })?;
        Ok(web)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
