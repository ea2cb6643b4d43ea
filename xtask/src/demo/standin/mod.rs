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
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest time that a connection is kept without a question: what is idle longer is closed, as a real
/// service does.
const IDLE: Duration = Duration::from_secs(30);

/// The service. Its threads end with this program.
#[derive(Debug, Clone)]
pub(super) struct Standin {
    task: Arc<Task>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Standin {
    pub(super) fn new(task: Task) -> Self {
        Self { task: Arc::new(task), asked: Arc::default() }
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

    /// What was asked for so far, one line each: method, host and path.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn connection(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> std::io::Result<()> {
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
            let line = format!("{} {} {}", request.method, request.host, request.path);
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            connection.reply(&self.answer(&request))?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or("");
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), path) {
            ("POST", "/v1/messages") => anthropic::messages(&self.task, &body),
            ("POST", "/v1/messages/count_tokens") => Reply::json(&serde_json::json!({ "input_tokens": 1 })),
            ("POST", "/v1/responses") => openai::responses(&self.task, &body),
            ("HEAD", _) => Reply::status(200, ""),
            _ => Reply::status(404, "there is no such thing here\n"),
        }
    }
}
