use super::*;
use agentbox_plan::inner::MAX_BYTES;
use proptest::prelude::*;

/// The console still does its work: the agent is started, heard and ends.
fn assert_works(rig: Rig) {
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    pipes.output.write_all(b"works").unwrap();
    client.output_until(b"works");
    drop(pipes);
    rig.end(0, DONE);
    assert_eq!(rig.finish(), DONE);
    assert_eq!(client.rest().2, Some(FromConsole::Exited(DONE)));
}

#[test]
fn only_the_supervisor_may_connect() {
    let rig = Rig::for_peer(Streams::PIPES, rustix::process::getuid().as_raw() + 1);
    let mut stranger = rig.attach(Streams::PIPES);
    assert_eq!(stranger.next(), None);
}

#[test]
fn a_thousand_connections_come_and_go() {
    let rig = Rig::new(Streams::PIPES);
    for at in 0..1000 {
        let mut peer = rig.connect();
        if at % 3 == 0 {
            peer.say(ToConsole::Hello(Hello::Supervise));
        }
    }
    let idle: Vec<Peer> = (0..100).map(|_| rig.connect()).collect();
    rig.assert_sleeps();
    assert_works(rig);
    drop(idle);
}

#[test]
fn packets_of_pid_1_that_make_no_sense_are_ignored() {
    let rig = Rig::new(Streams::PIPES);
    let pair = pipe();
    let file: OwnedFd = std::fs::File::open("/proc/self/status").unwrap().into();
    rig.send_packet(b"\xff\x00\x01", &[]);
    rig.send_packet(&vec![3; MAX_BYTES + 100], &[&pair.0; 16]);
    rig.send_packet(&[1], &[&pair.0; 16]);
    rig.say(&FromInner::Started { number: 9, pid: 2 }, &[&pidfd(), &pair.1]);
    rig.say(&FromInner::Ended { number: 4_000_000_000, exit: DONE }, &[]);
    rig.say(&FromInner::Confined, &[&pair.0, &file]);
    assert_works(rig);
}

#[test]
fn once_the_agent_runs_pid_1_cannot_start_or_fail_it_again() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut first = rig.start_pipes(0);
    let mut second = rig.start_pipes(0);
    rig.say(&FromInner::Failed { step: "x".into(), detail: "y".into() }, &[]);
    first.output.write_all(b"first").unwrap();
    client.output_until(b"first");
    assert!(second.output.write_all(b"second").is_err());
    rig.end(0, DONE);
    rig.end(0, Exit::Code { status: 9 });
    drop((first, second));
    assert_eq!(rig.finish(), DONE);
}

#[test]
fn descriptors_are_taken_for_what_they_are() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let zero: OwnedFd = std::fs::File::open("/dev/zero").unwrap().into();
    let file: OwnedFd = std::fs::File::open("/proc/self/status").unwrap().into();
    let ((master, _slave), (sockets, _), (output, agent)) = (terminal(), packets(), pipe());
    rig.say(&FromInner::Started { number: 0, pid: 2 }, &[&zero, &file, &master, &sockets, &zero, &output]);
    // The pidfd was none.
    assert_eq!(rig.reported(), Report::Running { init_pid: 77, agent_pid: 0 });
    rig.assert_sleeps();
    drop(output);
    std::fs::File::from(agent).write_all(b"only this").unwrap();
    assert_eq!(client.output_until(b"this"), b"only this");
    rig.end(0, DONE);
    assert_eq!(rig.finish(), DONE);
}

#[test]
fn an_empty_packet_does_not_end_the_session_early() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    rig.send_packet(b"", &[]);
    pipes.output.write_all(b"alive").unwrap();
    client.output_until(b"alive");
    drop(pipes);
    // It said nothing any more that was heard, so this is what is known.
    assert_eq!(rig.finish(), Exit::Signal { number: 9 });
}

#[test]
fn a_pid_1_that_hears_nothing_costs_no_memory_and_stops_nobody() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    for _ in 0..20_000 {
        client.say(ToConsole::Signal(10));
    }
    pipes.output.write_all(b"alive").unwrap();
    client.output_until(b"alive");
    rig.assert_sleeps();
}

#[test]
fn a_client_that_makes_no_sense_is_cut_off_and_nobody_else() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut good = rig.attach(Streams::TERMINAL);
    let mut agent = rig.start_terminal(0);
    for bytes in [
        &b"\xff\xff\xff\xff\xff\xff"[..],
        b"\x09\x00\x00\x00\x00",
        b"\x00\x00\x00\x00\x00",
        b"\x00\x01\x00\x00\x00\xff",
        b"\x01\x01\x00\x00\x00x",
    ] {
        let mut bad = rig.connect();
        bad.socket.write_all(bytes).unwrap();
        assert_eq!(bad.next(), None, "{}", bytes.escape_ascii());
    }
    let mut second_hello = rig.hello(Hello::Supervise);
    second_hello.next();
    second_hello.say(ToConsole::Hello(Hello::Supervise));
    assert_eq!(second_hello.next(), None);
    agent.write_all(b"here").unwrap();
    good.output_until(b"here");
}

#[test]
fn a_client_that_is_gone_while_it_is_not_read_is_noticed() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let _pipes = rig.start_pipes(0);
    // Nobody reads standard input: the console stops reading the client.
    client.say(ToConsole::Input(vec![b'x'; 300 * 1024]));
    rig.assert_sleeps();
    client.say(ToConsole::Input(vec![b'x'; 1024]));
    drop(client);
    assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 1 });
    rig.assert_sleeps();
}

/// One thing that somebody does to the console.
#[derive(Debug, Clone)]
enum Act {
    Connect,
    Bytes(usize, Vec<u8>),
    Say(usize, ToConsole),
    Hang(usize),
    Packet(Vec<u8>, bool),
    Inner(FromInner),
    Write(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let client = || 0usize..4;
    let streams = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(input, output, error)| Streams {
        input,
        output,
        error,
    });
    let message = prop_oneof![
        (streams, any::<(u16, u16)>()).prop_map(|(streams, (rows, columns))| {
            ToConsole::Hello(Hello::Attach {
                client: Client { streams, size: TerminalSize { rows, columns } },
            })
        }),
        Just(ToConsole::Hello(Hello::Supervise)),
        bytes().prop_map(ToConsole::Input),
        Just(ToConsole::InputEnd),
        Just(ToConsole::OutputClosed),
        Just(ToConsole::ErrorClosed),
        any::<(u16, u16)>().prop_map(|(rows, columns)| ToConsole::Resize(TerminalSize { rows, columns })),
        any::<u8>().prop_map(ToConsole::Signal),
        Just(ToConsole::Detach),
    ];
    let inner = prop_oneof![
        Just(FromInner::Confined),
        (1u32..4).prop_map(|number| FromInner::Started { number, pid: 2 }),
        (1u32..4, any::<u8>())
            .prop_map(|(number, status)| FromInner::Ended { number, exit: Exit::Code { status } }),
    ];
    prop_oneof![
        2 => Just(Act::Connect),
        1 => (client(), bytes()).prop_map(|(at, bytes)| Act::Bytes(at, bytes)),
        6 => (client(), message).prop_map(|(at, message)| Act::Say(at, message)),
        1 => client().prop_map(Act::Hang),
        1 => (proptest::collection::vec(any::<u8>(), 1..40), any::<bool>()).prop_map(|(bytes, with)| Act::Packet(bytes, with)),
        1 => inner.prop_map(Act::Inner),
        2 => bytes().prop_map(Act::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_anybody_sends_the_session_ends_as_the_agent_did(
        acts in proptest::collection::vec(act(), 0..40),
        on_terminal in any::<bool>(),
    ) {
        let rig = Rig::new(if on_terminal { Streams::TERMINAL } else { Streams::PIPES });
        let mut output = if on_terminal { rig.start_terminal(0) } else { rig.start_pipes(0).output };
        rustix::io::ioctl_fionbio(&output, true).unwrap();
        let mut peers: Vec<Peer> = Vec::new();
        for act in acts {
            match act {
                Act::Connect => peers.push(rig.connect()),
                Act::Bytes(at, bytes) => {
                    if let Some(peer) = peers.get_mut(at) {
                        let _ = peer.socket.write_all(&bytes);
                    }
                }
                Act::Say(at, message) => {
                    if let Some(peer) = peers.get_mut(at) {
                        peer.say(message);
                    }
                }
                Act::Hang(at) => {
                    if at < peers.len() {
                        peers.remove(at);
                    }
                }
                // Tags of Failed and Ended would end the session as they should.
                Act::Packet(mut bytes, with) => {
                    bytes[0] |= 0x80;
                    let descriptor = pidfd();
                    rig.send_packet(&bytes, &[&descriptor][..usize::from(with)]);
                }
                Act::Inner(message) => rig.say(&message, &[]),
                Act::Write(bytes) => drop(output.write(&bytes)),
            }
        }
        rig.end(0, Exit::Code { status: 42 });
        drop(output);
        // Closed ahead of the end, or the console waits for them to take their last bytes.
        drop(peers);
        prop_assert_eq!(rig.finish(), Exit::Code { status: 42 });
    }
}
