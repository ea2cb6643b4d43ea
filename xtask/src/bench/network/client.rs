//! The measuring client: a verb of this program that needs nothing but a network, so that the same code runs
//! inside a session and outside. It prints one number of nanoseconds a line.

use anyhow::{Context as _, Result, bail};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(5);
/// Questions on their way at once when as many as possible are asked.
const IN_FLIGHT: u32 = 32;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Asks for the IPv4 address of a name, one question after the other
    Ask { resolver: SocketAddr, name: String, count: u32 },
    /// The same with many questions at once; prints the time of all of them
    Flood { resolver: SocketAddr, name: String, count: u32 },
    /// Connects and waits for the first byte, one connection after the other
    Connect { host: String, port: u16, count: u32 },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let times = match &arguments.what {
        What::Ask { resolver, name, count } => ask(*resolver, name, *count)?,
        What::Flood { resolver, name, count } => vec![flood(*resolver, name, *count)?],
        What::Connect { host, port, count } => connect(host, *port, *count)?,
    };
    for time in times {
        println!("{}", time.as_nanos());
    }
    Ok(ExitCode::SUCCESS)
}

/// A question with this number, for an A record.
fn question(number: u16, name: &str) -> Result<Vec<u8>> {
    let mut out = number.to_be_bytes().to_vec();
    // Recursion desired, one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).context("a label is too long")?);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    Ok(out)
}

fn asker(resolver: SocketAddr) -> Result<UdpSocket> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(resolver)?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket)
}

/// Takes an answer; it has to have an address in it.
fn answer(socket: &UdpSocket) -> Result<u16> {
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes).context("no answer")?;
    // Code 0 and one record or more.
    if length < 12 || bytes[3] & 15 != 0 || bytes[6..8] == [0, 0] {
        bail!("an answer without an address: {:?}", &bytes[..length.min(12)]);
    }
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

pub(super) fn ask(resolver: SocketAddr, name: &str, count: u32) -> Result<Vec<Duration>> {
    let socket = asker(resolver)?;
    let mut times = Vec::new();
    for number in 0..count {
        let number = number as u16;
        let question = question(number, name)?;
        let begun = Instant::now();
        socket.send(&question)?;
        if answer(&socket)? != number {
            bail!("the answer of another question");
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn flood(resolver: SocketAddr, name: &str, count: u32) -> Result<Duration> {
    let socket = asker(resolver)?;
    let question = question(7, name)?;
    let begun = Instant::now();
    let (mut sent, mut got) = (0, 0);
    while got < count {
        while sent < count && sent - got < IN_FLIGHT {
            socket.send(&question)?;
            sent += 1;
        }
        answer(&socket)?;
        got += 1;
    }
    Ok(begun.elapsed())
}

pub(super) fn connect(host: &str, port: u16, count: u32) -> Result<Vec<Duration>> {
    let address = (host, port).to_socket_addrs()?.next().context("the name has no address")?;
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.read_exact(&mut [0])?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Reads what it printed.
pub(super) fn times(said: &str) -> Result<Vec<Duration>> {
    said.lines().map(|line| Ok(Duration::from_nanos(line.parse()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::service;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn every_question_is_timed_and_an_empty_answer_is_none() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let resolver = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                // Answered with one record, unless it is asked for the name `a.none`.
                bytes[2] = 0x81;
                bytes[7] = u8::from(!bytes[..length].windows(4).any(|part| part == b"none"));
                socket.send_to(&bytes[..length], from).unwrap();
            }
        });
        assert_eq!(ask(resolver, "a.example", 3).unwrap().len(), 3);
        assert!(flood(resolver, "a.example", 100).unwrap() > Duration::ZERO);
        assert!(ask(resolver, "a.none", 1).is_err());
    }

    #[test]
    fn a_connection_ends_with_its_first_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        service::serve_byte(listener);
        assert_eq!(connect("127.0.0.1", port, 3).unwrap().len(), 3);
    }

    #[test]
    fn what_it_prints_is_read() {
        assert_eq!(times("5\n7\n").unwrap(), [Duration::from_nanos(5), Duration::from_nanos(7)]);
        assert!(times("x\n").is_err());
    }
}
