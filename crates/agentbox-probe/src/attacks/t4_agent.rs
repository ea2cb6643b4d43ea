//! T4: the person's ssh-agent, where a session was granted one: other keys, other purposes, other requests.
//!
//! Each speaks the protocol of the agent by itself (draft-ietf-sshm-ssh-agent), so that no program's manners are
//! in the way. The agent outside does all of it.

use crate::attack::{Answer, Attack, lacking, refused, succeeded};
use crate::errno::Errno;
use agentbox_probe::{Facts, KeyAgent};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(super) const TABLE: &[Attack] = &[
    of("t4.agent-other-key-listed", "see a key of the ssh-agent that was not chosen", |agent| {
        let keys = ask(agent, &[vec![11]])?;
        Ok(keys.windows(agent.other.len()).any(|window| window == agent.other))
    }),
    of("t4.agent-other-key-signs", "sign with a key that was not chosen", |agent| {
        signs(agent, &[], &agent.other, &sshsig(b"git"))
    }),
    of("t4.agent-signs-file", "sign a file for another use than git's", |agent| {
        signs(agent, &[], &agent.chosen, &sshsig(b"file"))
    }),
    of("t4.agent-signs-almost-git", "sign for a use whose name looks like git's", |agent| {
        for namespace in [&b"Git"[..], b"git\0", b" git", b"git@file", b""] {
            if signs(agent, &[], &agent.chosen, &sshsig(namespace))? {
                return Ok(true);
            }
        }
        // What is behind the end of what git signs is another message.
        signs(agent, &[], &agent.chosen, &[sshsig(b"git"), sshsig(b"file")].concat())
    }),
    of("t4.agent-signs-anything", "sign bytes that are nothing known", |agent| {
        signs(agent, &[], &agent.chosen, b"bytes of no protocol")
    }),
    of("t4.agent-unbound-login", "sign a login without saying where", |agent| {
        signs(agent, &[], &agent.chosen, &login(&agent.chosen))
    }),
    of("t4.agent-false-host", "sign a login for a chosen host whose signature is made up", |agent| {
        signs(agent, &[bind(agent, 0)], &agent.chosen, &login(&agent.chosen))
    }),
    of("t4.agent-forwarded-login", "sign a login as a forwarded agent", |agent| {
        signs(agent, &[bind(agent, 1)], &agent.chosen, &login(&agent.chosen))
    }),
    of("t4.agent-adds-key", "put a key into the ssh-agent", |agent| {
        let public = [string(b"ssh-ed25519"), string(&[7; 32])].concat();
        let private = [string(&[7; 32]), string(&[7; 64]), string(b"agentbox-probe")].concat();
        let add = [&[17], &string(b"ssh-ed25519")[..], &private].concat();
        let added = ask(agent, &[add])? == [6];
        ask(agent, &[[&[18], &string(&public)[..]].concat()])?;
        Ok(added)
    }),
    of("t4.agent-locked", "lock the ssh-agent of the person", |agent| {
        let locked = ask(agent, &[[&[22], &string(b"agentbox-probe")[..]].concat()])? == [6];
        ask(agent, &[[&[23], &string(b"agentbox-probe")[..]].concat()])?;
        Ok(locked)
    }),
];

type Try = fn(&KeyAgent) -> Result<bool, Errno>;

/// An attack on an agent, which does the thing or does not.
const fn of(id: &'static str, title: &'static str, attempt: Try) -> Attack {
    Attack::agent(id, title, attempt).needs(&["agent.socket"]).l2()
}

/// What came of an attempt.
pub(crate) fn attempted(facts: &Facts, attempt: Try) -> Answer {
    let Some(agent) = &facts.agent else { return lacking("ssh-agent") };
    match attempt(agent) {
        Ok(true) => succeeded("the agent did it"),
        Ok(false) => refused("the agent did not"),
        Err(error) => refused(error),
    }
}

/// Sends messages on one connection; the answer to the last.
fn ask(agent: &KeyAgent, messages: &[Vec<u8>]) -> Result<Vec<u8>, Errno> {
    let mut stream = UnixStream::connect(&agent.socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut answer = Vec::new();
    for message in messages {
        stream.write_all(&string(message))?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        answer = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
        stream.read_exact(&mut answer)?;
    }
    Ok(answer)
}

fn signs(agent: &KeyAgent, before: &[Vec<u8>], key: &[u8], data: &[u8]) -> Result<bool, Errno> {
    let request = [&[13], &string(key)[..], &string(data), &[0; 4]].concat();
    Ok(ask(agent, &[before, &[request]].concat())?.first() == Some(&14))
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// What ssh-keygen -Y signs (PROTOCOL.sshsig).
fn sshsig(namespace: &[u8]) -> Vec<u8> {
    [b"SSHSIG", &string(namespace)[..], &string(b""), &string(b"sha512"), &string(&[1; 64])].concat()
}

/// A login (RFC 4252, section 7).
fn login(key: &[u8]) -> Vec<u8> {
    let words = [string(b"git"), string(b"ssh-connection"), string(b"publickey")].concat();
    [&string(&[9; 32])[..], &[50], &words, &[1], &string(b"ssh-ed25519"), &string(key)].concat()
}

/// A session of ssh with a host that never was (PROTOCOL.agent).
fn bind(agent: &KeyAgent, forwarding: u8) -> Vec<u8> {
    let signature = [string(b"ssh-ed25519"), string(&[3; 64])].concat();
    let parts = [string(b"session-bind@openssh.com"), string(&agent.host_key), string(&[9; 32])].concat();
    [&[27], &parts[..], &string(&signature), &[forwarding]].concat()
}
