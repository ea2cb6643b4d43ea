//! A session's requests of its ssh-agent: whatever is signed is for a listed key, and never for a login, since no
//! bytes of a stranger hold a signature of the host.
#![no_main]

use agentbox_gate::keys::{Asked, Judge, chosen_keys, fingerprint, is_signature};
use agentbox_plan::Ids;
use agentbox_plan::keys::{HostKey, KeysPlan, KnownHost, Purpose};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

const KEY: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20the key of the person, 32 bytes.";
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

fn plan(sign_git: bool) -> Option<Rc<KeysPlan>> {
    let key: HostKey = HOST_KEY.parse().ok()?;
    Some(Rc::new(KeysPlan {
        session: "abc".parse().ok()?,
        ids: Ids { uid: 1, gid: 1, groups: Vec::new() },
        client_uid: 2,
        keys: vec![fingerprint(KEY)],
        hosts: vec![KnownHost { host: "example.org".parse().ok()?, keys: vec![key] }],
        sign_git,
    }))
}

// First byte: whether git signs. Then messages, each with its length in two bytes.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let sign_git = first & 1 == 1;
    let Some(plan) = plan(sign_git) else { return };
    let mut judge = Judge::new(Rc::clone(&plan));
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        match judge.judge(message) {
            Asked::Sign { key, purpose } => {
                assert!(sign_git && purpose == Purpose::Git && key == fingerprint(KEY));
                assert!(message.windows(KEY.len()).any(|window| window == KEY));
                assert!(message.windows(13).any(|window| window == b"SSHSIG\0\0\0\x03git"));
            }
            // It would be a signature of Ed25519 that nobody made.
            Asked::Bound => panic!("a forged signature of the host"),
            Asked::List | Asked::Refused { .. } => {}
        }
        // The same bytes as answers of the person's agent: other keys are never told.
        let told = chosen_keys(message, &plan.keys);
        assert!(told == [5] || told.starts_with(&[12]) && told.len() <= 5 + message.len() + 16);
        let _ = is_signature(message);
    }
});
