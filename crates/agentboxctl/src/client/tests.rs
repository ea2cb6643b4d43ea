//! The pump between socket pairs and pipes.

use super::*;
use agentbox_plan::console::Frame;
use rustix::pipe::pipe;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

const FIVE_MB: usize = 5_000_000;

/// What a test holds of a client that runs in its own thread.
struct Rig {
    console: UnixStream,
    input: Option<File>,
    output: Option<File>,
    error: Option<File>,
    client: JoinHandle<Result<Ending, ClientError>>,
}

fn rig(streams: Streams) -> Rig {
    let (ours, console) = UnixStream::pair().unwrap();
    let (input_read, input_write) = pipe().unwrap();
    let (output_read, output_write) = pipe().unwrap();
    let (error_read, error_write) = pipe().unwrap();
    let client = thread::spawn(move || {
        let (output, error) = (Sink::new(&output_write).unwrap(), Sink::new(&error_write).unwrap());
        drop((output_write, error_write));
        Client::new(ours.into(), input_read.as_fd(), output, error, streams).run()
    });
    Rig {
        console,
        input: Some(input_write.into()),
        output: Some(output_read.into()),
        error: Some(error_read.into()),
        client,
    }
}

fn pattern(seed: usize) -> Vec<u8> {
    (0..FIVE_MB).map(|at| ((at * 31 + at / 256 + seed) % 256) as u8).collect()
}

/// Reads frames in small pieces until one is the last that is wanted.
fn frames(console: &mut UnixStream, mut last: impl FnMut(&ToConsole) -> bool) -> Vec<ToConsole> {
    let (mut buffer, mut piece, mut received) = (Vec::new(), [0; 7001], Vec::new());
    loop {
        while let Some(frame) = Frame::take(&mut buffer).unwrap() {
            let message = ToConsole::from_frame(frame).unwrap();
            let done = last(&message);
            received.push(message);
            if done {
                return received;
            }
        }
        let count = console.read(&mut piece).unwrap();
        assert!(count > 0, "closed before the awaited frame, after {received:?}");
        buffer.extend_from_slice(&piece[..count]);
    }
}

fn say(console: &mut UnixStream, message: &FromConsole) {
    console.write_all(&message.to_frame().encode()).unwrap();
}

fn exited(status: u8) -> FromConsole {
    FromConsole::Exited(Exit::Code { status })
}

#[test]
fn five_megabytes_pass_byte_for_byte_both_ways_at_once() {
    let mut rig = rig(Streams::PIPES);
    let mut input = rig.input.take().unwrap();
    let writer = thread::spawn(move || input.write_all(&pattern(1)).unwrap());
    let mut readers = Vec::new();
    for mut stream in [rig.output.take().unwrap(), rig.error.take().unwrap()] {
        readers.push(thread::spawn(move || {
            let (mut received, mut piece) = (Vec::new(), [0; 1999]);
            loop {
                match stream.read(&mut piece).unwrap() {
                    0 => return received,
                    count => received.extend_from_slice(&piece[..count]),
                }
            }
        }));
    }
    let mut listening = rig.console.try_clone().unwrap();
    let listener = thread::spawn(move || frames(&mut listening, |message| *message == ToConsole::InputEnd));
    let (output, error) = (pattern(2), pattern(3));
    for (output, error) in output.chunks(90_001).zip(error.chunks(90_001)) {
        say(&mut rig.console, &FromConsole::Output(output.to_vec()));
        say(&mut rig.console, &FromConsole::Error(error.to_vec()));
    }
    let mut typed = Vec::new();
    for message in listener.join().unwrap() {
        match message {
            ToConsole::Input(bytes) => typed.extend_from_slice(&bytes),
            other => assert_eq!(other, ToConsole::InputEnd),
        }
    }
    writer.join().unwrap();
    say(&mut rig.console, &exited(7));
    assert_eq!(rig.client.join().unwrap().unwrap(), Ending::Exited(Exit::Code { status: 7 }));
    let received: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(typed == pattern(1), "standard input");
    assert!(received[0] == output, "standard output");
    assert!(received[1] == error, "standard error");
}

#[test]
fn a_reader_that_does_not_read_stops_the_writer() {
    let mut rig = rig(Streams::PIPES);
    rig.console.set_nonblocking(true).unwrap();
    // Far more than the sockets, the pipe and the client hold. Nobody reads standard output, so at some
    // point the console must not get rid of any more.
    let frame = FromConsole::Output(vec![1; 64 * 1024]).to_frame().encode();
    let (mut accepted, mut idle) = (0usize, 0);
    let mut at = 0;
    while idle < 200 {
        match rig.console.write(&frame[at..]) {
            Ok(count) => {
                (accepted, idle) = (accepted + count, 0);
                at = (at + count) % frame.len();
            }
            Err(_) => {
                idle += 1;
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(accepted < 16 << 20, "the client swallows without bounds");
    }
    rig.output = None;
    rig.console.set_nonblocking(false).unwrap();
    let received = frames(&mut rig.console, |message| *message == ToConsole::OutputClosed);
    assert_eq!(received, [ToConsole::OutputClosed]);
    rig.console.write_all(&frame[at..]).unwrap();
    say(&mut rig.console, &exited(0));
    assert_eq!(rig.client.join().unwrap().unwrap(), Ending::Exited(Exit::Code { status: 0 }));
}

#[test]
fn readers_that_leave_are_reported_once_and_separately() {
    let mut rig = rig(Streams::PIPES);
    rig.error = None;
    for _ in 0..3 {
        say(&mut rig.console, &FromConsole::Error(b"x".to_vec()));
    }
    say(&mut rig.console, &FromConsole::Output(b"still read".to_vec()));
    assert_eq!(frames(&mut rig.console, |_| true), [ToConsole::ErrorClosed]);
    rig.output = None;
    say(&mut rig.console, &FromConsole::Output(b"x".to_vec()));
    assert_eq!(frames(&mut rig.console, |_| true), [ToConsole::OutputClosed]);
    say(&mut rig.console, &FromConsole::Exited(Exit::Signal { number: 13 }));
    assert_eq!(rig.client.join().unwrap().unwrap(), Ending::Exited(Exit::Signal { number: 13 }));
}

#[test]
fn an_end_without_a_last_frame_is_an_error_after_all_output() {
    let mut rig = rig(Streams::PIPES);
    say(&mut rig.console, &FromConsole::Output(b"said".to_vec()));
    drop(rig.console);
    assert!(matches!(rig.client.join().unwrap(), Err(ClientError::Lost(_))));
    let mut output = String::new();
    rig.output.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "said");
}

#[test]
fn nonsense_from_the_console_is_an_error() {
    for bytes in [&[9, 0, 0, 0, 0][..], &[0, 255, 255, 255, 255], &[4, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]] {
        let mut rig = rig(Streams::PIPES);
        rig.console.write_all(bytes).unwrap();
        assert!(matches!(rig.client.join().unwrap(), Err(ClientError::Lost(_))), "{bytes:?}");
    }
}

#[test]
fn the_detach_key_leaves_and_another_client_replaces() {
    let mut left = rig(Streams::TERMINAL);
    left.input.as_mut().unwrap().write_all(b"ls\x1d\x1d").unwrap();
    let sent = frames(&mut left.console, |message| *message == ToConsole::Detach);
    assert_eq!(sent, [ToConsole::Input(b"ls".to_vec()), ToConsole::Detach]);
    say(&mut left.console, &FromConsole::Detached);
    assert_eq!(left.client.join().unwrap().unwrap(), Ending::Left);

    let mut replaced = rig(Streams::TERMINAL);
    say(&mut replaced.console, &FromConsole::Detached);
    assert_eq!(replaced.client.join().unwrap().unwrap(), Ending::Replaced);
}

#[test]
fn the_detach_key_is_a_byte_where_input_is_no_terminal() {
    let mut rig = rig(Streams { output: true, ..Streams::PIPES });
    rig.input.take().unwrap().write_all(b"\x1d\x1d").unwrap();
    let sent = frames(&mut rig.console, |message| *message == ToConsole::InputEnd);
    assert_eq!(sent, [ToConsole::Input(b"\x1d\x1d".to_vec()), ToConsole::InputEnd]);
    say(&mut rig.console, &exited(0));
    assert!(rig.client.join().unwrap().is_ok());
}

#[test]
fn a_held_key_is_passed_on_in_the_end() {
    let mut rig = rig(Streams::TERMINAL);
    rig.input.as_mut().unwrap().write_all(b"\x1d").unwrap();
    assert_eq!(frames(&mut rig.console, |_| true), [ToConsole::Input(b"\x1d".to_vec())]);
    say(&mut rig.console, &exited(0));
    assert!(rig.client.join().unwrap().is_ok());
}

#[test]
fn a_terminal_that_goes_is_no_end_of_input() {
    let mut rig = rig(Streams::TERMINAL);
    rig.input = None;
    assert_eq!(frames(&mut rig.console, |_| true), [ToConsole::Detach]);
    assert_eq!(rig.client.join().unwrap().unwrap(), Ending::Signalled(1));
}

#[test]
fn what_the_agent_switched_on_is_switched_off_at_the_end() {
    let mut rig = rig(Streams::TERMINAL);
    say(&mut rig.console, &FromConsole::Output(b"\x1b[?1049h\x1b[?25l".to_vec()));
    say(&mut rig.console, &exited(0));
    assert!(rig.client.join().unwrap().is_ok());
    let mut output = Vec::new();
    rig.output.take().unwrap().read_to_end(&mut output).unwrap();
    assert_eq!(output, b"\x1b[?1049h\x1b[?25l\x1b[?1049l\x1b[?25h");
}

#[test]
fn a_signature_that_waits_is_told_on_a_terminal_and_nowhere_else() {
    for (streams, is_told) in [(Streams::TERMINAL, true), (Streams::PIPES, false)] {
        let mut rig = rig(streams);
        say(&mut rig.console, &FromConsole::Waits);
        say(&mut rig.console, &exited(0));
        assert!(rig.client.join().unwrap().is_ok());
        let mut output = String::new();
        rig.output.take().unwrap().read_to_string(&mut output).unwrap();
        assert_eq!(output.contains("agentboxctl confirm"), is_told, "{output:?}");
    }
}

#[test]
fn output_that_came_before_a_lost_connection_is_written() {
    let mut rig = rig(Streams::PIPES);
    let said = pattern(4);
    let (mut output, mut received) = (rig.output.take().unwrap(), Vec::new());
    let console = thread::spawn(move || {
        for piece in pattern(4).chunks(60_000) {
            say(&mut rig.console, &FromConsole::Output(piece.to_vec()));
        }
        rig.client
    });
    output.read_to_end(&mut received).unwrap();
    assert!(received == said);
    assert!(matches!(console.join().unwrap().join().unwrap(), Err(ClientError::Lost(_))));
}
