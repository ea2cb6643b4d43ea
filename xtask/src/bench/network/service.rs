//! What is served on the far side of the lab: a byte for each connection, as many bytes as are asked for,
//! and on the near side a bare forwarder of questions.

use crate::lab::{Lab, RESOLVER, Zone};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// The name of all of it.
pub(super) const NAME: &str = "speed.example.org";
/// Where that is.
pub(super) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 40));
/// Port that sends one byte and closes. Neither TLS nor HTTP is looked for there.
pub(super) const BYTE_PORT: u16 = 9000;
/// The bare forwarder, on the loopback of the lab's host.
pub(super) const FORWARDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

pub(super) struct Service;

impl Service {
    pub(super) fn lab() -> Result<Lab> {
        let address = ADDRESS.to_string();
        Lab::make(&[ADDRESS], Zone::default().name(NAME, &[&[&address]]))
    }

    /// Starts all of it, on threads that end with this program.
    pub(super) fn start(lab: &Lab) -> Result<()> {
        serve_byte(lab.listen(SocketAddr::new(ADDRESS, BYTE_PORT))?);
        serve_zeros(lab.listen(SocketAddr::new(ADDRESS, 80))?);
        let (front, back) = lab
            .host
            .enter(|| -> std::io::Result<_> {
                let back = UdpSocket::bind("0.0.0.0:0")?;
                back.connect((RESOLVER, 53))?;
                Ok((UdpSocket::bind(FORWARDER)?, back))
            })?
            .context("cannot make the forwarder")?;
        forward(front, back);
        Ok(())
    }
}

pub(super) fn serve_byte(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Who went away before the byte is timed as such by the client.
            let _gone = stream.write_all(b"x");
        }
    });
}

/// HTTP: `GET /N` is answered with N zeros.
fn serve_zeros(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _gone = zeros(&stream);
            });
        }
    });
}

fn zeros(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or("");
    // With a proxy in between it may come as a whole URL.
    let mut left: usize = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {left}\r\n\r\n")?;
    let piece = vec![0; PIECE];
    while left > 0 {
        let length = left.min(PIECE);
        stream.write_all(&piece[..length])?;
        left -= length;
    }
    Ok(())
}

/// Each question goes to the lab's resolver and its answer back: what anything between a program and a
/// resolver costs at least.
fn forward(front: UdpSocket, back: UdpSocket) {
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, from)) = front.recv_from(&mut bytes) {
            let answered = back.send(&bytes[..length]).and_then(|_| back.recv(&mut bytes));
            // A question that could not be forwarded is not answered, and the client says so.
            let _sent = answered.and_then(|length| front.send_to(&bytes[..length], from));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn as_many_zeros_come_as_are_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve_zeros(listener);
        for path in ["/300000", "http://speed.example.org/300000"] {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap();
            let head = said.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
            assert_eq!(said.len() - head - 4, 300_000);
        }
    }
}
