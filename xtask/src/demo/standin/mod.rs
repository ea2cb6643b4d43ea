//! Stands in for the services that agents talk to, so that a real agent does a real task without an
//! account: it answers each question with the next thing to do, which depends on what the last one gave.
//!
//! | file | does |
//! |---|---|
//! | `http` | HTTP/1.1, as far as a client of these services speaks it |
//! | `task` | what to do next |
//! | `anthropic` | the Messages API |
//! | `openai` | the Responses API |

mod anthropic;
mod http;
mod openai;
mod task;

pub(super) use task::Task;

use http::{Connection, Reply, Request};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::Step;

/// Longest time that a connection is kept without a question: what is idle longer is closed, as a real
/// service does.
const IDLE: Duration = Duration::from_secs(30);

/// What the far side saw.
#[derive(Debug, Default)]
struct Seen {
    /// Addresses to which somebody connected.
    connections: Vec<IpAddr>,
    /// What was asked for: method, host and path, and what a question of an agent was answered with.
    asked: Vec<String>,
}

/// The service. Its threads end with this program.
#[derive(Debug, Clone)]
pub(super) struct Standin {
    task: Arc<Task>,
    seen: Arc<Mutex<Seen>>,
}

impl Standin {
    pub(super) fn new(task: Task) -> Self {
        Self { task: Arc::new(task), seen: Arc::default() }
    }

    /// Answers on this socket from now on, over TLS when there is a configuration of it.
    pub(super) fn serve(&self, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
        let this = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (this, tls) = (this.clone(), tls.clone());
                std::thread::spawn(move || {
                    // A client that went away in the middle is no concern of the service.
                    let _gone = this.connection(stream, tls);
                });
            }
        });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked for so far, one line each.
    pub(super) fn asked(&self) -> Vec<String> {
        self.seen().asked.clone()
    }

    /// How often somebody connected to this address.
    pub(super) fn connections_to(&self, address: IpAddr) -> usize {
        self.seen().connections.iter().filter(|other| **other == address).count()
    }

    fn connection(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> std::io::Result<()> {
        self.seen().connections.push(stream.local_addr()?.ip());
        stream.set_read_timeout(Some(IDLE))?;
        match tls {
            None => self.answer_all(stream),
            Some(tls) => {
                let session = ServerConnection::new(tls).map_err(std::io::Error::other)?;
                self.answer_all(StreamOwned::new(session, stream))
            }
        }
    }

    fn answer_all(&self, stream: impl Read + Write) -> std::io::Result<()> {
        let mut connection = Connection::new(stream);
        while let Some(request) = connection.request()? {
            let (reply, step) = self.answer(&request);
            let step = step.map_or(String::new(), |step| format!(" -> {}", step.name()));
            let Request { method, host, path, .. } = &request;
            self.seen().asked.push(format!("{method} {host} {path}{step}"));
            connection.reply(&reply)?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> (Reply, Option<Step>) {
        let path = request.path.split('?').next().unwrap_or("");
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let task = &self.task;
        let reply = match (request.method.as_str(), path) {
            ("POST", "/v1/messages") => {
                return (anthropic::messages(task, &body), Some(anthropic::step(task, &body)));
            }
            ("POST", "/v1/responses") => {
                return (openai::responses(task, &body), Some(openai::step(task, &body)));
            }
            ("POST", "/v1/messages/count_tokens") => Reply::json(&serde_json::json!({ "input_tokens": 1 })),
            // A client that asks for a WebSocket here goes on without one when it is told so.
            ("GET", "/v1/responses") => Reply::status(426, "no WebSocket here\n"),
            ("GET", "/") => Reply::status(200, &format!("hello from {}\n", request.host)),
            ("HEAD", _) => Reply::status(200, ""),
            _ => Reply::status(404, "there is no such thing here\n"),
        };
        (reply, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_side_notes_who_came_and_what_for() {
        let standin = Standin::new(Task::example());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        standin.serve(listener, None);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"HTTP/1.1 200 OK");
        assert_eq!(standin.asked(), ["GET a.example /"]);
        assert_eq!(
            (standin.connections_to(address.ip()), standin.connections_to([10, 0, 0, 1].into())),
            (1, 0)
        );
    }
}
