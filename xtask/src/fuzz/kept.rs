//! Seeds of what programs keep for themselves, of the trail, and of what a person's program reads.

use super::others::behind;
use super::seeds::{PIECES, Seed};
use agentbox_ipc::{ReportAnswer, ReportLine};
use agentbox_policy::{Layer, LayerKind};
use anyhow::Result;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

fn layer(kind: LayerKind) -> Result<Layer> {
    let text = match kind {
        LayerKind::Project => "network = \"none\"\nmask = [\".env\"]\n",
        LayerKind::Person => "[profile.work]\nread = [\"~/.cargo\"]\n",
        LayerKind::System => "users = [\"ada\"]\n[posture.own]\nextends = \"L2\"\n",
    };
    Ok(Layer::parse("/agentbox.toml", text.as_bytes(), kind)?)
}

fn record() -> Value {
    json!({
        "id": "abc", "owner_uid": 1000, "name": null, "project": "/p", "profile": "work", "posture": "L2",
        "agent": "claude", "isolation": "sandbox", "identity": "leased", "network": "allowlist",
        "workspace": "overlay", "policy_hash": "00", "started_unix_s": 7, "owner_gid": 1000,
        "bounds": { "runtime_max_s": 60 }, "values": [],
    })
}

/// The first byte says whose file it is.
pub(super) fn kept_state() -> Result<Vec<Seed>> {
    let step = |line: &str, step: &str| json!({ "line": line, "step": step });
    let ledger = [
        json!({ "line": "session", "version": 1, "record": record() }),
        step("done", "directory"),
        step("begun", "project"),
        step("done", "project"),
        step("begun", "group"),
        step("reverted", "group"),
    ];
    let ledger: String = ledger.iter().map(|line| format!("{line}\n")).collect();
    let network = json!({
        "fixed": {
            "gate_uid": 7, "ipv6": true, "published": [[8080, 3000]], "upload_max": 9, "name_upload_max": null,
            "on_loss": "repair",
        },
        "public": false,
        "rules": [{ "allow": true, "target": "*.a.org:22", "internal": false, "origin": "x", "until": 60_000 }],
        "totals": {
            "destinations": [["a.org", { "sent": 1, "received": 2, "denied": 3 }], ["host", { "sent": 0, "received": 0, "denied": 1 }]],
            "others": { "sent": 0, "received": 0, "denied": 1 },
        },
    });
    let keys = json!({
        "gate_uid": 7, "client_uid": 8, "socket": "/run/user/1000/agent",
        "keys": ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        "hosts": [{ "host": "a.org:2222", "keys": [KEY] }],
        "sign_git": true, "confirm": false, "stop_on_loss": false,
    });
    let guard = json!({
        "device": 1, "inode": 2, "refused": ["**/.git/hooks/*"], "loose": ["**/package.json"],
        "brought": ["node_modules"], "masks": [".env"], "exempt": [[[97], [98]]],
    });
    let of_layer = json!({
        "version": 1, "session": record(), "inode": 3, "began_unix_s": 4, "began_ns": 5, "base_commit": null,
    });
    let accepted = json!({ "version": 1, "project": "/project", "file": layer(LayerKind::Project)? });
    let pinned = json!({ "version": 1, "path": "/project", "lines": ["00 x run.sh", "01 - SKILL.md"] });
    let finding = ReportLine {
        kind: "trigger".to_owned(),
        change: "added".to_owned(),
        path: ".envrc".to_owned(),
        actor: "direnv".to_owned(),
        detail: String::new(),
        grave: true,
    };
    let report = ReportAnswer { id: "abc".to_owned(), findings: vec![finding], ..ReportAnswer::default() };
    let hash = "a".repeat(64);
    let entry = json!({ "AGENTBOX_SEQ": "7", "AGENTBOX_HASH": hash });
    let seed = |which, name, value: &Value| behind(which, name, value.to_string().as_bytes());
    Ok(vec![
        behind(0, "ledger", ledger.as_bytes()),
        behind(1, "leases", b"agentbox leases 1\nfirst 2001000000\ncount 4096\nblocks 64\n"),
        // Numbers with a sign, which nobody writes.
        behind(1, "leases-sign", b"agentbox leases 1\nfirst 2001000000\ncount +4096\nblocks 64\n"),
        seed(2, "pinned", &pinned),
        behind(3, "resolvers", b"# a\nnameserver 9.9.9.9\nnameserver fe80::1%eth0\n"),
        behind(3, "journal", format!("{entry}\nno entry\n").as_bytes()),
        behind(3, "object", b" {\"a\": {\"b\": [1, -2.5e3, true, null, \"x\\\"}\"]}}\n"),
        behind(3, "resolvers-latin", b"# b\xfcro\nnameserver 9.9.9.9\n"),
        behind(3, "descriptors", b"3 a:b"),
        behind(3, "descriptors-many", b"99999999999999 a:b"),
        behind(3, "destination", b"[2606:4700::1]:443"),
        seed(4, "network", &network),
        seed(5, "keys", &keys),
        seed(6, "guard", &guard),
        seed(7, "layer", &of_layer),
        seed(8, "accepted", &accepted),
        seed(9, "configuration", &json!([layer(LayerKind::System)?])),
        seed(10, "report", &json!(report)),
        seed(11, "record", &record()),
    ])
}

/// Texts of events, then four bytes for each edit: what, of which line, where, which bits.
pub(super) fn trail() -> Vec<Seed> {
    let with = |name, edits: &[u8]| (name, [b"one\ntwo\nthree\nfour\n\xff", edits].concat());
    vec![
        with("whole", &[]),
        with("changed", &[0, 1, 40, 1]),
        with("removed", &[1, 1, 0, 0]),
        with("swapped", &[2, 0, 2, 0]),
        with("repeated", &[3, 1, 3, 0]),
        with("torn", &[4, 3, 100, 0]),
        with("cut-off", &[5, 2, 0, 0]),
        ("head", json!({ "seq": 7, "hash": "a".repeat(64) }).to_string().into_bytes()),
    ]
}

/// The first byte says who wrote it.
pub(super) fn command_line() -> Result<Vec<Seed>> {
    let entry =
        json!({ "kind": "file", "mode": 420, "size": 1, "inode": 2, "changed": [3, 4], "modified": [5, 6] });
    let put = json!({ "put": { "kind": "file", "mode": 420, "staged": 9 } });
    let journal = json!({
        "version": 1, "direction": "forward", "begun": 1,
        "steps": [{ "path": [97, 47, 98], "action": put, "expected": entry }],
    });
    let remembered = json!({ "applied": [[[97], entry]], "declined": [] });
    let files = json!({ "read": {
        "person": layer(LayerKind::Person)?, "author": { "name": "Ada", "email": "ada@example.org" },
        "known": [{ "host": "a.org", "keys": [KEY] }],
    } });
    let said = json!({ "answered": { "out": "a\n", "notes": ["b"], "status": 0, "taken": null } });
    let event = json!({
        "seq": 3, "time_unix_ms": 7, "session": "abc", "event": "net-denied", "destination": "a.org",
        "port": 443, "reason": "not-allowed", "count": 2, "owner_uid": 1000,
    });
    let settings = "{ // a\n \"permissions\": { \"allow\": [\"Bash(sudo:*)\"], /* b */ },\n\
                    \"hooks\": { \"Stop\": [{ \"command\": \"x\" }] }, \"mcpServers\": { \"a\": { \"url\": \"https://a/\" } } }";
    let seed = |which, name, value: &Value| behind(which, name, value.to_string().as_bytes());
    Ok(vec![
        behind(
            0,
            "git-config",
            b"[core]\n; \\\n\thooksPath = x\n[remote \"o\"]\nurl = git@a.org:ada/x.git\n[filter \"a]\"] clean = \"y\" # z\n",
        ),
        behind(0, "git-config-mark", b"\xef\xbb\xbf[core]\na = b\\\\\nhooksPath = x\n"),
        behind(0, "git-log", b"0 1 Ada <a@b> 7 +0000\tclone: from https://u:p@a.org/ada/x.git?t\n"),
        behind(0, "author", b"user.name\nAda\0user.email\nada@example.org\0"),
        behind(0, "known-hosts", format!("a.org {KEY}\n@revoked a.org {KEY}\n").as_bytes()),
        behind(1, "settings", settings.as_bytes()),
        behind(1, "codex", b"approval_policy = \"never\"\nnotify = [\"x\"]\n[mcp_servers.a]\ncommand = \"y\"\n"),
        behind(1, "variables", b"export LD_PRELOAD=x\n"),
        seed(1, "event", &event),
        behind(2, "time", b"90m"),
        behind(2, "target", b"*.a.org:22"),
        behind(2, "published", b"8080:3000"),
        behind(3, "output", &[&[PIECES], &b"\x1b[?1049h\x1b[?25l\x1b[>1u\x1b[>4;2m\x1b[31mx"[..]].concat()),
        behind(3, "typed", &[&[PIECES], &b"a\x1d\x1b[93;5u\x1b[27;5;93~"[..]].concat()),
        behind(4, "merge", b"1\n2\n3\n\x001\nX\n3\n\x001\n2\n3\n4\n"),
        seed(5, "journal", &journal),
        seed(6, "remembered", &remembered),
        seed(7, "files", &files),
        seed(8, "said", &said),
        seed(9, "tried", &json!({ "tried": [3, 9] })),
    ])
}
