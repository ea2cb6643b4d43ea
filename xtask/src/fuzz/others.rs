//! Seeds of the targets that have nothing to do with the network.

use super::seeds::{PIECES, Seed};
use agentbox_plan::Exit;
use agentbox_plan::console::{Client, FromConsole, Hello, ToConsole};
use agentbox_plan::report::Report;
use agentbox_plan::{Streams, TerminalSize, Wire};

pub(super) fn behind(first: u8, name: &'static str, bytes: &[u8]) -> Seed {
    (name, [&[first], bytes].concat())
}

/// The first byte says whose file it is: a project's, a person's or the system's; with 0x80 it is JSON.
pub(super) fn configuration() -> Vec<Seed> {
    vec![
        behind(0, "project", b"posture = \"L2\"\nnetwork = \"allowlist\"\ndeny = [\"a.example.org\"]\nmask = [\".env\"]\n"),
        behind(1, "person", b"[profile.work]\nread = [\"~/.cargo\"]\nallow = [\"*.example.org:443\"]\n[profile.work.env]\npass = [\"TERM\"]\n"),
        behind(2, "system", b"uid_range = { first = 2001000000, count = 4096 }\nusers = [\"ada\"]\n[posture.own]\nextends = \"L2\"\n"),
        behind(0x80, "json", b"{\"network\": \"none\", \"limits\": {\"tasks\": 100}}"),
        behind(0, "unknown", b"nothing = [[[[1]]]]\n"),
    ]
}

pub(super) fn console_frames() -> Vec<Seed> {
    let size = TerminalSize::default();
    let hello = Hello::Attach { client: Client { streams: Streams::PIPES, size } };
    let to = [
        ToConsole::Hello(hello),
        ToConsole::Input(b"ls\r".to_vec()),
        ToConsole::Resize(size),
        ToConsole::Detach,
    ];
    let from = [
        FromConsole::State { init_pid: 7, agent_pid: 8 },
        FromConsole::Output(b"text".to_vec()),
        FromConsole::Waits,
        FromConsole::Exited(Exit::Code { status: 3 }),
    ];
    let to: Vec<u8> = to.iter().flat_map(|message| message.to_frame().encode()).collect();
    let from: Vec<u8> = from.iter().flat_map(|message| message.to_frame().encode()).collect();
    vec![("to", to), ("from", from)]
}

pub(super) fn git_files() -> Vec<Seed> {
    let entry = [&[0; 40][..], &[0; 20], &[0, 8], b"Makefile", &[0, 0]].concat();
    let index = [&b"DIRC"[..], &2_u32.to_be_bytes(), &1_u32.to_be_bytes(), &entry, &[0; 20]].concat();
    vec![
        (
            "config",
            b"[core]\n\tbare = false\n[remote \"origin\"]\n\turl = \"a b\" # c\n[a.b]\n\tc\n".to_vec(),
        ),
        ("odd", b"[a \"\\\"\"]\r\nb=\\\n c\\t\n;d\n".to_vec()),
        ("no-name", b"[.x]\n\tg".to_vec()),
        ("index", index),
        ("pointer", b"gitdir: ../project/.git/modules/m/./x\n".to_vec()),
        ("alternates", b"# a\n/project/.git/objects\n../../elsewhere\n".to_vec()),
    ]
}

pub(super) fn kernel_answers() -> Vec<Seed> {
    let table = b"21 1 0:19 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
                  22 1 8:1 /a\\040b /mnt\\134 ro master:1 - ext4 /dev/sda1 rw,errors=remount-ro\n";
    let mut attribute = [&8_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), b"eth0"].concat();
    attribute.extend([&5_u16.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[7, 0, 0, 0]].concat());
    let length = u32::try_from(16 + attribute.len()).unwrap_or_default();
    let packet = [&length.to_ne_bytes()[..], &[16, 0, 2, 0], &[0; 8], &attribute].concat();
    // An address of IPv4 with its network, in the form of a body.
    let mut address = vec![2, 24, 0, 0, 0, 0, 0, 0];
    address.extend([&8_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &[192, 0, 2, 1]].concat());
    vec![("mounts", table.to_vec()), ("netlink", packet), ("guard", vec![1; 1200]), ("address", address)]
}

/// The first byte says which of the messages it is.
pub(super) fn session_messages() -> Vec<Seed> {
    let failed = Report::Failed { step: "bind /usr".to_owned(), detail: "no".to_owned() };
    let mut all = vec![behind(2, "failed", &failed.to_bytes())];
    // The others begin from nothing: all of their numbers and lengths are 0.
    let names =
        ["from-inner", "to-inner", "survey", "look-report", "sighting", "look-plan", "triggers", "keys-plan"];
    all.extend(names.iter().zip([0, 1, 3, 4, 5, 6, 7, 8]).map(|(name, which)| behind(which, name, &[0; 64])));
    all.push(behind(9, "keys-request", &[1; 32]));
    all.push(behind(10, "keys-answer", &[1; 32]));
    all.push(behind(11, "remembered", &[0; 64]));
    all
}

pub(super) fn spelling() -> Vec<Seed> {
    let text = |name, text: &str| (name, text.as_bytes().to_vec());
    vec![
        text("glob", "**/.git/hooks/*"),
        text("fingerprint", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        text("key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"),
        text("ssh-host", "[git.example.org]:2222"),
        text("range", "2a0e:b107::/32"),
        text("path", "~/.config/a"),
        text("rule", "@github"),
        text("publish", "8080:3000"),
        text("variable", "GITHUB_TOKEN"),
    ]
}

pub(super) fn terminal_output() -> Vec<Seed> {
    vec![
        behind(PIECES, "colour", b"\x1b[1;31mred\x1b[m \x1b[?1049h\x1b[2J\xe2\x82\xac"),
        behind(PIECES, "title", b"\x1b]2;mine\x1b\\\x1b]8;;https://a/\x07x\x1b]8;;\x07"),
        behind(PIECES, "clipboard", b"\x1b]52;c;aGk=\x07\x1bP0;1|17/ab\x9c\xc2\x9d"),
        behind(PIECES, "tmux", b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"),
        behind(PIECES, "keyboard", b"\x1b[>1u\x1b[<9u\x1b]133;A\x07\x1b]11;?\x07"),
    ]
}
