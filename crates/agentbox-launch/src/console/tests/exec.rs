use super::*;
use agentbox_plan::{InnerPath, Process};
use std::ffi::CString;

fn program(streams: Streams, argument: &str) -> Process {
    Process {
        arguments: vec![CString::new("sh").unwrap(), CString::new(argument).unwrap()],
        environment: Vec::new(),
        directory: InnerPath::new("/").unwrap(),
        streams,
        size: SIZE,
    }
}

fn exec(rig: &Rig) -> Peer {
    rig.hello(Hello::Exec { process: program(Streams::PIPES, "-c") })
}

#[test]
fn a_second_process_has_streams_and_an_exit_of_its_own() {
    let rig = Rig::new(Streams::TERMINAL);
    let mut agent_client = rig.attach(Streams::TERMINAL);
    let mut agent = rig.start_terminal(0);
    let mut client = exec(&rig);
    assert_eq!(rig.heard(), ToInner::Exec { number: 1, process: program(Streams::PIPES, "-c") });
    let mut pipes = rig.start_pipes(1);
    client.say(ToConsole::Input(b"in".to_vec()));
    client.say(ToConsole::InputEnd);
    let mut read = String::new();
    pipes.input.read_to_string(&mut read).unwrap();
    assert_eq!(read, "in");
    pipes.output.write_all(b"out").unwrap();
    pipes.error.write_all(b"err").unwrap();
    drop(pipes);
    rig.end(1, Exit::Code { status: 4 });
    let exited = FromConsole::Exited(Exit::Code { status: 4 });
    assert_eq!(client.rest(), (b"out".to_vec(), b"err".to_vec(), Some(exited)));
    assert_eq!(client.next(), None);
    agent.write_all(b"here").unwrap();
    agent_client.output_until(b"here");
}

#[test]
fn what_is_left_in_the_background_does_not_keep_a_client() {
    let rig = Rig::new(Streams::TERMINAL);
    let agent = rig.start_terminal(0);
    let mut client = exec(&rig);
    rig.heard();
    let mut pipes = rig.start_pipes(1);
    pipes.output.write_all(b"out").unwrap();
    rig.end(1, DONE);
    // The pipes stay open.
    assert_eq!(client.rest(), (b"out".to_vec(), vec![], Some(FromConsole::Exited(DONE))));
    assert!(pipes.output.write_all(b"more").is_err());
    drop(agent);
}

#[test]
fn one_that_writes_for_ever_in_the_background_does_not_keep_a_client() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    let mut client = exec(&rig);
    rig.heard();
    let mut pipes = rig.start_pipes(1);
    let endless = std::thread::spawn(move || while pipes.output.write_all(&[b'y'; 4096]).is_ok() {});
    rig.end(1, DONE);
    assert_eq!(client.rest().2, Some(FromConsole::Exited(DONE)));
    endless.join().unwrap();
}

#[test]
fn a_process_whose_client_vanished_is_hung_up() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    for (number, before) in [(1, true), (2, false)] {
        let mut client = Some(exec(&rig));
        rig.heard();
        if before {
            client = None;
        }
        let mut pipes = rig.start_pipes(number);
        drop(client);
        assert_eq!(rig.heard(), ToInner::Signal { number, signal: 1 });
        assert!(pipes.output.write_all(b"x").is_err());
    }
}

#[test]
fn leaving_a_process_hangs_it_up() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    let mut client = rig.hello(Hello::Exec { process: program(Streams::TERMINAL, "-i") });
    rig.heard();
    let mut shell = rig.start_terminal(1);
    shell.write_all(b"\x1b[?2004h$").unwrap();
    client.output_until(b"$");
    client.say(ToConsole::Detach);
    assert_eq!(client.rest(), (b"\x1b[?2004l".to_vec(), vec![], Some(FromConsole::Detached)));
    assert_eq!(rig.heard(), ToInner::Signal { number: 1, signal: 1 });
    assert!(matches!(shell.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn what_cannot_be_asked_of_pid_1_is_refused_in_words() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    let long = "x".repeat(200 * 1024);
    let empty = Process { arguments: Vec::new(), ..program(Streams::PIPES, "") };
    for (process, words, errno) in [(program(Streams::PIPES, &long), "192 KiB", 7), (empty, "no command", 22)]
    {
        let (_, error, last) = rig.hello(Hello::Exec { process }).rest();
        let error = String::from_utf8(error).unwrap();
        assert!(error.starts_with("agentbox: not executed: ") && error.contains(words), "{error}");
        assert_eq!(last, Some(FromConsole::Exited(Exit::NotExecuted { errno })));
    }
}

#[test]
fn a_session_runs_so_many_and_no_more() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    let mut clients: Vec<Peer> = Vec::new();
    for number in 1..=64 {
        clients.push(exec(&rig));
        assert!(matches!(rig.heard(), ToInner::Exec { number: heard, .. } if heard == number));
    }
    let (_, error, last) = exec(&rig).rest();
    assert!(String::from_utf8(error).unwrap().contains("at most 64"));
    assert_eq!(last, Some(FromConsole::Exited(Exit::NotExecuted { errno: 11 })));
    rig.end(5, Exit::NotExecuted { errno: 2 });
    assert_eq!(clients[4].next(), Some(FromConsole::Exited(Exit::NotExecuted { errno: 2 })));
    let _one_more = exec(&rig);
    assert!(matches!(rig.heard(), ToInner::Exec { number: 65, .. }));
}

#[test]
fn every_process_ends_with_the_session() {
    let rig = Rig::new(Streams::PIPES);
    let agent = rig.start_pipes(0);
    let (mut started, mut asked) = (exec(&rig), exec(&rig));
    rig.heard();
    rig.heard();
    let pipes = rig.start_pipes(1);
    rig.end(0, DONE);
    drop((agent, pipes));
    assert_eq!(rig.finish(), DONE);
    let killed = Some(FromConsole::Exited(Exit::Signal { number: 9 }));
    assert_eq!(started.next(), killed);
    assert_eq!(asked.next(), killed);
}

#[test]
fn output_that_nobody_reads_takes_no_place_from_the_next_client_or_a_supervisor() {
    let rig = Rig::new(Streams::TERMINAL);
    let _agent = rig.start_terminal(0);
    let state = Some(FromConsole::State { init_pid: 77, agent_pid: std::process::id() });
    let mut unread = Vec::new();
    // More than there are places, and more than that of a backlog.
    for number in 1..=200 {
        unread.push(exec(&rig));
        assert!(matches!(rig.heard(), ToInner::Exec { number: heard, .. } if heard == number));
        let mut pipes = rig.start_pipes(number);
        // Above what a socket holds, and below what is read ahead for a client.
        pipes.output.write_all(&[0; 330_000]).unwrap();
        drop(pipes);
        rig.end(number, DONE);
        if number % 50 == 0 {
            assert_eq!(rig.hello(Hello::Supervise).next(), state);
        }
    }
    // The first of them made room.
    assert_ne!(unread[0].rest().2, Some(FromConsole::Exited(DONE)));
    let (output, _, last) = unread[199].rest();
    assert_eq!((output.len(), last), (330_000, Some(FromConsole::Exited(DONE))));
}
