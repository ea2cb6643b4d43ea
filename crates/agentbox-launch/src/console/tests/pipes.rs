use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

const MEGABYTES: usize = 5 << 20;

fn pattern(seed: usize) -> Vec<u8> {
    (0..MEGABYTES).map(|at| ((at * 31 + (at >> 8) + seed) % 251) as u8).collect()
}

fn writer(mut pipe: std::fs::File, bytes: Vec<u8>, written: Arc<AtomicUsize>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for chunk in bytes.chunks(8192) {
            pipe.write_all(chunk).unwrap();
            written.fetch_add(chunk.len(), Ordering::SeqCst);
        }
    })
}

/// Waits until `count` does not grow any more.
fn stalled(count: &AtomicUsize) -> usize {
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = count.load(Ordering::SeqCst);
        if now == before && now > 0 {
            return now;
        }
        before = now;
    }
}

#[test]
fn a_slow_client_gets_both_streams_byte_for_byte_and_holds_the_process_back() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let pipes = rig.start_pipes(0);
    let written = Arc::new(AtomicUsize::new(0));
    let writers =
        [writer(pipes.output, pattern(1), written.clone()), writer(pipes.error, pattern(2), written.clone())];
    // The client reads nothing: buffers, pipes and the socket hold far less than everything.
    assert!(stalled(&written) < 2 << 20);
    rig.assert_sleeps();
    let reader = std::thread::spawn(move || client.rest());
    for writer in writers {
        writer.join().unwrap();
    }
    rig.end(0, Exit::Code { status: 3 });
    assert_eq!(rig.finish(), Exit::Code { status: 3 });
    let (output, error, last) = reader.join().unwrap();
    assert!(output == pattern(1) && error == pattern(2));
    assert_eq!(last, Some(FromConsole::Exited(Exit::Code { status: 3 })));
}

#[test]
fn what_is_still_in_the_pipes_when_everything_has_ended_is_delivered() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    let sent = vec![b'x'; 65536];
    pipes.output.write_all(&sent).unwrap();
    rig.end(0, DONE);
    drop(pipes);
    assert_eq!(rig.finish(), DONE);
    assert_eq!(client.rest(), (sent, vec![], Some(FromConsole::Exited(DONE))));
}

/// Fills a pipe that its process made larger, while nobody takes anything of it, and says with how much.
fn fill_enlarged(pipe: &std::fs::File) -> usize {
    rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20).unwrap();
    let flags = rustix::fs::fcntl_getfl(pipe).unwrap();
    rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    let (mut written, mut idle) = (0, 0);
    while idle < 10 {
        match rustix::io::write(pipe, &[b'x'; 4096]) {
            Ok(count) => (written, idle) = (written + count, 0),
            Err(_full) => {
                std::thread::sleep(Duration::from_millis(30));
                idle += 1;
            }
        }
    }
    written
}

#[test]
fn nothing_is_cut_off_of_a_pipe_that_its_process_enlarged() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let pipes = rig.start_pipes(0);
    assert!(matches!(rig.reported(), Report::Running { .. }));
    // More than the client's buffers take, so the pipe is full.
    let written = fill_enlarged(&pipes.output);
    assert!(written > 1 << 20);
    rig.end(0, DONE);
    drop(pipes);
    let reader = std::thread::spawn(move || client.rest());
    assert_eq!(rig.finish(), DONE);
    let (output, _, last) = reader.join().unwrap();
    assert_eq!((output.len(), last), (written, Some(FromConsole::Exited(DONE))));
}

#[test]
fn with_everybody_gone_a_pipe_is_read_to_its_end_and_before_that_not_for_ever() {
    use super::super::source::{Got, Kind, Source};
    let (reader, writer) = pipe();
    rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
    let writer = std::fs::File::from(writer);
    let mut source = Source::new(Kind::Output, reader, "");
    let (mut scratch, now) = (vec![0; 32 * 1024], std::time::Instant::now());
    let mut read = |source: &mut Source, most: usize| {
        let mut count = 0;
        while count < most {
            match source.read(&mut scratch, false, true, now) {
                Got::Bytes(bytes) => count += bytes.len(),
                Got::Nothing | Got::End => break,
            }
        }
        count
    };
    (&writer).write_all(b"of its own").unwrap();
    assert_eq!(read(&mut source, 10), 10);
    (&writer).write_all(&vec![b'x'; 1 << 20]).unwrap();
    let bounded = read(&mut source, usize::MAX);
    assert!(bounded < 1 << 20, "others are read for ever");
    source.writers_gone();
    drop(writer);
    assert_eq!(bounded + read(&mut source, usize::MAX), 1 << 20);
}

#[test]
fn what_a_short_agent_wrote_is_delivered_though_it_ended_before_the_console_began() {
    let mut rig = Rig::before(Streams::PIPES, rustix::process::getuid().as_raw());
    let supervisor = rig.hello(Hello::Supervise);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    pipes.output.write_all(b"all of it").unwrap();
    rig.say(&FromInner::Ended { number: 0, exit: DONE }, &[]);
    (rig.inner, rig.life) = (None, None);
    drop(pipes);
    rig.begin.send(()).unwrap();
    assert_eq!(client.rest(), (b"all of it".to_vec(), vec![], Some(FromConsole::Exited(DONE))));
    drop(supervisor);
    assert_eq!(rig.finish(), DONE);
}

#[test]
fn a_stream_without_bytes_is_waited_for_only_while_somebody_lives_who_could_write() {
    let now = std::time::Instant::now();
    let mut process = super::super::process::Process::new(Streams::PIPES, SIZE, None);
    process.end(DONE, now);
    assert!(!process.is_drained(now));
    process.writers_gone(true, now);
    assert!(!process.is_drained(now));
    process.writers_gone(false, now);
    assert!(process.is_drained(now));
}

#[test]
fn nothing_is_lost_before_the_first_client_comes() {
    let rig = Rig::new(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    assert!(matches!(rig.reported(), Report::Running { .. }));
    pipes.output.write_all(b"early").unwrap();
    rig.assert_sleeps();
    let mut client = rig.attach(Streams::PIPES);
    assert_eq!(client.output_until(b"early"), b"early");
}

#[test]
fn input_ends_while_output_goes_on() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    // Before the process runs: it waits for it.
    client.say(ToConsole::Input(b"one ".to_vec()));
    let mut pipes = rig.start_pipes(0);
    client.say(ToConsole::Input(b"two".to_vec()));
    client.say(ToConsole::InputEnd);
    let mut read = String::new();
    pipes.input.read_to_string(&mut read).unwrap();
    assert_eq!(read, "one two");
    pipes.output.write_all(b"answer").unwrap();
    assert_eq!(client.output_until(b"answer"), b"answer");
}

#[test]
fn megabytes_of_input_arrive_whole() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    let sender = std::thread::spawn(move || {
        for chunk in pattern(3).chunks(100_000) {
            client.say(ToConsole::Input(chunk.to_vec()));
        }
        client.say(ToConsole::InputEnd);
        client
    });
    rig.assert_sleeps();
    let mut read = Vec::new();
    pipes.input.read_to_end(&mut read).unwrap();
    assert!(read == pattern(3));
    drop(sender.join().unwrap());
}

#[test]
fn a_message_behind_input_that_fills_the_buffer_is_heard_though_nothing_follows_it() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let pipes = rig.start_pipes(0);
    assert!(matches!(rig.reported(), Report::Running { .. }));
    // As much as makes the console stop listening, and as fits in the pipe at once.
    let input = ToConsole::Input(vec![b'x'; 64 * 1024]).to_frame().encode();
    client.socket.write_all(&[input, ToConsole::InputEnd.to_frame().encode()].concat()).unwrap();
    let mut closed = [PollFd::new(&pipes.input, PollFlags::empty())];
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(poll(&mut closed, Some(&patience)), Ok(1), "standard input was not closed");
    assert!(closed[0].revents().contains(PollFlags::HUP));
}

#[test]
fn a_stream_that_nobody_reads_any_more_is_closed_for_the_process_too() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    client.say(ToConsole::OutputClosed);
    pipes.error.write_all(b"e").unwrap();
    assert_eq!(client.next(), Some(FromConsole::Error(b"e".to_vec())));
    let error = pipes.output.write_all(b"o").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    client.say(ToConsole::ErrorClosed);
    client.say(ToConsole::Signal(15));
    assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 15 });
    assert!(pipes.error.write_all(b"e").is_err());
}

#[test]
fn without_a_terminal_a_client_that_vanishes_hangs_the_agent_up() {
    let rig = Rig::new(Streams::PIPES);
    let client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    drop(client);
    assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 1 });
    assert!(pipes.output.write_all(b"o").is_err());
    assert_eq!(pipes.input.read(&mut [0]).unwrap(), 0);
    rig.assert_sleeps();
    rig.end(0, Exit::Signal { number: 1 });
    assert!(matches!(rig.reported(), Report::Running { .. }));
    assert_eq!(rig.finish(), Exit::Signal { number: 1 });
}

#[test]
fn a_client_that_says_it_leaves_does_not_hang_the_agent_up() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let mut pipes = rig.start_pipes(0);
    client.say(ToConsole::Detach);
    assert_eq!(client.next(), Some(FromConsole::Detached));
    assert_eq!(client.next(), None);
    pipes.output.write_all(b"kept").unwrap();
    let mut client = rig.attach(Streams::PIPES);
    assert_eq!(client.output_until(b"kept"), b"kept");
}

#[test]
fn only_the_supervisor_tells_that_something_waits_and_only_terminals_are_told() {
    let rig = Rig::new(Streams::PIPES);
    let mut supervisor = rig.hello(Hello::Supervise);
    let mut pipes = rig.start_pipes(0);
    let _state = supervisor.next();
    // What a client has been sent says that it is attached; a signal that was heard, that what was said before is.
    let mut attach = |streams, said: &[u8]| {
        let mut client = rig.attach(streams);
        pipes.output.write_all(said).unwrap();
        assert_eq!(client.output_until(said), said);
        supervisor.say(ToConsole::Waits);
        supervisor.say(ToConsole::Signal(15));
        assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 15 });
        client
    };
    let mut shown = attach(Streams::TERMINAL, b"one");
    assert_eq!(shown.next(), Some(FromConsole::Waits));
    let mut piped = attach(Streams::PIPES, b"two");
    piped.say(ToConsole::Detach);
    assert_eq!(piped.next(), Some(FromConsole::Detached));
    // From anybody else it is no message.
    let mut client = attach(Streams::PIPES, b"three");
    client.say(ToConsole::Waits);
    assert_eq!(client.next(), None);
}

#[test]
fn a_supervisor_learns_the_processes_and_the_end() {
    let rig = Rig::new(Streams::PIPES);
    let mut early = rig.hello(Hello::Supervise);
    let pipes = rig.start_pipes(0);
    let state = FromConsole::State { init_pid: 77, agent_pid: std::process::id() };
    assert_eq!(early.next(), Some(state.clone()));
    assert_eq!(rig.hello(Hello::Supervise).next(), Some(state));
    assert_eq!(rig.reported(), Report::Running { init_pid: 77, agent_pid: std::process::id() });
    early.say(ToConsole::Signal(15));
    early.say(ToConsole::Signal(0));
    early.say(ToConsole::Signal(65));
    early.say(ToConsole::Signal(9));
    assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 15 });
    assert_eq!(rig.heard(), ToInner::Signal { number: 0, signal: 9 });
    drop(pipes);
    rig.end(0, Exit::Signal { number: 9 });
    let report = rig.report.try_clone().unwrap();
    rig.finish();
    assert_eq!(early.next(), Some(FromConsole::Exited(Exit::Signal { number: 9 })));
    let mut buffer = [0; 64];
    let (count, _) = recv(&report, &mut buffer[..], RecvFlags::empty()).unwrap();
    let last = Report::from_bytes(&buffer[..count]);
    assert_eq!(last, Ok(Report::Ended { exit: Exit::Signal { number: 9 } }));
}

#[test]
fn the_agent_is_over_only_when_pid_1_is() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    let pipes = rig.start_pipes(0);
    rig.end(0, DONE);
    drop(pipes);
    client.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.socket.read(&mut [0]).is_err(), "told before everything has ended");
    client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    rig.finish();
    assert_eq!(client.next(), Some(FromConsole::Exited(DONE)));
}

#[test]
fn a_step_that_failed_is_reported_and_nothing_else() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    rig.say(&FromInner::Confined, &[]);
    rig.say(&FromInner::Failed { step: "mount".into(), detail: "x".repeat(9000) }, &[]);
    let detail = "x".repeat(2048);
    assert_eq!(rig.reported(), Report::Failed { step: "mount".into(), detail });
    assert_eq!(rig.finish(), Exit::NotExecuted { errno: 1 });
    assert_eq!(client.next(), None);
}

#[test]
fn an_agent_that_cannot_be_executed_ends_the_session() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams::PIPES);
    rig.end(0, Exit::NotExecuted { errno: 2 });
    assert_eq!(rig.finish(), Exit::NotExecuted { errno: 2 });
    assert_eq!(client.next(), Some(FromConsole::Exited(Exit::NotExecuted { errno: 2 })));
}

#[test]
fn when_pid_1_ends_without_a_word_the_agent_was_killed() {
    let rig = Rig::new(Streams::PIPES);
    let pipes = rig.start_pipes(0);
    assert!(matches!(rig.reported(), Report::Running { .. }));
    drop(pipes);
    assert_eq!(rig.finish(), Exit::Signal { number: 9 });
}

#[test]
fn what_goes_to_a_terminal_is_filtered_even_from_a_pipe() {
    let rig = Rig::new(Streams::PIPES);
    let mut client = rig.attach(Streams { error: true, ..Streams::PIPES });
    let mut pipes = rig.start_pipes(0);
    let hostile = b"a\x1b]52;c;aGk=\x07\x1b[31m";
    pipes.output.write_all(hostile).unwrap();
    assert_eq!(client.output_until(b"31m"), hostile);
    pipes.error.write_all(hostile).unwrap();
    assert_eq!(client.next(), Some(FromConsole::Error(b"a\x1b[31m".to_vec())));
    drop(pipes);
    rig.end(0, DONE);
    rig.finish();
    assert_eq!(client.rest(), (vec![], b"\x1b[0m".to_vec(), Some(FromConsole::Exited(DONE))));
}
