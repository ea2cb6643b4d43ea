use super::super::process::Process;
use super::*;
use rustix::termios::tcgetwinsize;
use std::time::Instant;

fn rows(terminal: &impl AsFd) -> u16 {
    tcgetwinsize(terminal).unwrap().ws_row
}

#[test]
fn a_terminal_is_relayed_filtered_and_brought_back() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut client = rig.attach(Streams::TERMINAL);
    let mut agent = rig.start_terminal(0);
    client.say(ToConsole::Input(b"typed".to_vec()));
    let mut typed = [0; 5];
    agent.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"typed");
    agent.write_all(b"\x1b]52;c;aGk=\x07\x1b]2;hi\x07\x1b[?1049h\x1b[?1000h.").unwrap();
    assert_eq!(client.output_until(b"."), b"\x1b]2;[agentbox L2 k7] hi\x07\x1b[?1049h\x1b[?1000h.");
    rig.end(0, DONE);
    drop(agent);
    rig.finish();
    assert_eq!(client.rest(), (b"\x1b[?1000l\x1b[?1049l".to_vec(), vec![], Some(FromConsole::Exited(DONE))));
}

#[test]
fn a_session_lives_on_when_its_client_leaves_and_the_next_one_sees_the_same() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut client = rig.attach(Streams::TERMINAL);
    let mut agent = rig.start_terminal(0);
    agent.write_all(b"\x1b[?25l\x1b[31mred\x1b[6n.").unwrap();
    client.output_until(b".");
    client.say(ToConsole::Detach);
    assert_eq!(client.rest(), (b"\x1b[?25h\x1b[0m".to_vec(), vec![], Some(FromConsole::Detached)));
    assert_eq!(client.next(), None);
    // Nobody is attached: the agent is not held back by a terminal that nobody reads.
    let screen = "0123456789\r\n".repeat(20_000);
    agent.write_all(screen.as_bytes()).unwrap();
    agent.write_all(b"end").unwrap();
    rig.assert_sleeps();
    let mut client = rig.attach(Streams::TERMINAL);
    let shown = client.output_until(b"end");
    assert!(shown.starts_with(b"\x1b[?25l\x1b[0;31m"));
    assert!((56 << 10..=65 << 10).contains(&shown.len()));
    // A client that vanishes is one that detached.
    drop(client);
    agent.write_all(b"\x1b[m\r\nstill").unwrap();
    let mut client = rig.attach(Streams::TERMINAL);
    client.output_until(b"still");
    rig.end(0, DONE);
    assert_eq!(rig.finish(), DONE);
    assert_eq!(client.rest(), (b"\x1b[?25h".to_vec(), vec![], Some(FromConsole::Exited(DONE))));
}

#[test]
fn a_new_client_takes_over() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut first = rig.attach(Streams::TERMINAL);
    let mut agent = rig.start_terminal(0);
    agent.write_all(b"\x1b[31m$").unwrap();
    first.output_until(b"$");
    let mut second = rig.attach(Streams::TERMINAL);
    assert_eq!(first.rest(), (b"\x1b[0m".to_vec(), vec![], Some(FromConsole::Detached)));
    assert_eq!(first.next(), None);
    assert_eq!(second.output_until(b"$"), b"\x1b[31m$");
    second.say(ToConsole::Input(b"x".to_vec()));
    agent.read_exact(&mut [0]).unwrap();
    // One that shows it on no terminal gets what was filtered, and nothing repeated.
    let mut third = rig.attach(Streams::PIPES);
    assert!(matches!(second.rest().2, Some(FromConsole::Detached)));
    agent.write_all(b"\x1bPq\x1b\\!").unwrap();
    assert_eq!(third.output_until(b"!"), b"!");
}

#[test]
fn the_size_is_the_clients() {
    let rig = Rig::new(Streams::TERMINAL);
    let size = TerminalSize { rows: 30, columns: 90 };
    let mut client = rig.hello(Hello::Attach { client: Client { streams: Streams::TERMINAL, size } });
    let mut agent = rig.start_terminal(0);
    agent.write_all(b".").unwrap();
    client.output_until(b".");
    assert_eq!(rows(&agent), 30);
    client.say(ToConsole::Resize(TerminalSize { rows: 31, columns: 90 }));
    client.say(ToConsole::Resize(TerminalSize { rows: 0, columns: 0 }));
    client.say(ToConsole::Input(b"x".to_vec()));
    agent.read_exact(&mut [0]).unwrap();
    assert_eq!(rows(&agent), 31);
}

#[test]
fn attaching_with_the_same_size_changes_it_for_a_moment() {
    let (master, slave) = terminal();
    let mut process = Process::new(Streams::TERMINAL, SIZE, None);
    process.start([master].into_iter(), "");
    assert_eq!(rows(&slave), 24);
    let now = Instant::now();
    process.nudge(SIZE, now);
    assert_eq!(rows(&slave), 23);
    let due = process.deadline(now).unwrap();
    process.tick(due - Duration::from_millis(1));
    assert_eq!(rows(&slave), 23);
    process.tick(due);
    assert_eq!((rows(&slave), process.deadline(due)), (24, None));
    process.nudge(TerminalSize { rows: 40, columns: 80 }, now);
    assert_eq!((rows(&slave), process.deadline(now)), (40, None));
    process.nudge(TerminalSize { rows: 0, columns: 0 }, now);
    assert_eq!(rows(&slave), 39);
}

#[test]
fn a_terminal_of_unknown_size_is_left_alone() {
    let (master, slave) = terminal();
    let unknown = TerminalSize { rows: 0, columns: 0 };
    let mut process = Process::new(Streams::TERMINAL, unknown, None);
    process.start([master].into_iter(), "");
    let now = Instant::now();
    process.nudge(unknown, now);
    assert_eq!((rows(&slave), process.deadline(now)), (0, None));
}

#[test]
fn the_end_of_input_is_the_terminals_character_for_it() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut client = rig.attach(Streams::TERMINAL);
    let (master, slave) = terminal();
    rig.say(&FromInner::Started { number: 0, pid: 2 }, &[&pidfd(), &master]);
    client.say(ToConsole::Input(b"line\n".to_vec()));
    client.say(ToConsole::InputEnd);
    client.say(ToConsole::InputEnd);
    let mut slave = std::fs::File::from(slave);
    let mut read = String::new();
    slave.read_to_string(&mut read).unwrap();
    assert_eq!(read, "line\n");
}

#[test]
fn what_is_separate_outside_stays_separate_inside() {
    // agentboxctl start -- cmd > file: input and errors on the terminal, output in a pipe.
    let streams = Streams { output: false, ..Streams::TERMINAL };
    let rig = Rig::new(streams);
    let mut client = rig.attach(streams);
    let ((master, slave), (output, mut agent_output)) = (terminal(), {
        let (read, write) = pipe();
        (read, std::fs::File::from(write))
    });
    rig.say(&FromInner::Started { number: 0, pid: 2 }, &[&pidfd(), &master, &output]);
    agent_output.write_all(b"\x1bPdata").unwrap();
    assert_eq!(client.next(), Some(FromConsole::Output(b"\x1bPdata".to_vec())));
    let mut slave = std::fs::File::from(slave);
    slave.write_all(b"error\x1bPx\x1b\\").unwrap();
    assert_eq!(client.next(), Some(FromConsole::Error(b"error".to_vec())));
}

#[test]
fn a_terminal_that_nobody_has_open_for_a_while_is_not_given_up() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut client = rig.attach(Streams::TERMINAL);
    let (master, slave) = terminal();
    rig.say(&FromInner::Started { number: 0, pid: 2 }, &[&pidfd(), &master]);
    drop(slave);
    rig.assert_sleeps();
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let mut again = std::fs::File::from(rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap());
    again.write_all(b"again").unwrap();
    client.output_until(b"again");
}
