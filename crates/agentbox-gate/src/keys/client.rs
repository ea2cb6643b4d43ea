//! One connection of the session, and its own connection to the person's agent.

use super::answer::{chosen_keys, is_signature};
use super::frame::{self, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES};
use super::judge::{Asked, Judge};
use super::link::Link;
use super::number::{FAILURE, REQUEST_IDENTITIES, SUCCESS};
use crate::runtime::{Fd, timeout};
use agentbox_plan::keys::{KeyReason, KeysPlan};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// The person may be asked by their own agent, or has to touch a key.
const AGENT_LIMIT: Duration = Duration::from_secs(120);

pub(super) struct Client {
    plan: Rc<KeysPlan>,
    link: Link,
    judge: Judge,
    stream: Fd<OwnedFd>,
    /// What bound the connection: said to the person's agent as well, whose keys may be bound to hosts.
    bound: Option<Vec<u8>>,
    agent: Option<Fd<OwnedFd>>,
}

impl Client {
    pub(super) fn new(plan: Rc<KeysPlan>, link: Link, stream: Fd<OwnedFd>) -> Self {
        let judge = Judge::new(Rc::clone(&plan));
        Self { plan, link, judge, stream, bound: None, agent: None }
    }

    /// Answers until the client ends, or says what is no message.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        while let Some(message) = self.next().await? {
            let answer = match self.judge.judge(&message) {
                Asked::List => self.list().await.unwrap_or_else(|reason| self.refuse(None, reason)),
                Asked::Bound => {
                    self.bound = Some(message);
                    vec![SUCCESS]
                }
                asked @ Asked::Sign { .. } => self.sign(asked, &message).await,
                Asked::Refused { key, purpose, reason } => {
                    self.link.refused(key, purpose, reason);
                    vec![FAILURE]
                }
            };
            frame::write(&self.stream, &answer).await?;
        }
        Ok(())
    }

    async fn next(&self) -> io::Result<Option<Vec<u8>>> {
        let read = frame::read(&self.stream, MAX_REQUEST_BYTES).await;
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            self.link.refused(None, None, KeyReason::Malformed);
        }
        read
    }

    fn refuse(&self, asked: Option<Asked>, reason: KeyReason) -> Vec<u8> {
        let (key, purpose) = match asked {
            Some(Asked::Sign { key, purpose }) => (Some(key), Some(purpose)),
            _ => (None, None),
        };
        self.link.refused(key, purpose, reason);
        vec![FAILURE]
    }

    async fn list(&mut self) -> Result<Vec<u8>, KeyReason> {
        let answer = self.ask_agent(&[REQUEST_IDENTITIES]).await?;
        Ok(chosen_keys(&answer, &self.plan.keys))
    }

    async fn sign(&mut self, asked: Asked, message: &[u8]) -> Vec<u8> {
        let Asked::Sign { key, purpose } = asked else { return vec![FAILURE] };
        // Nothing is written down as signed when there is nobody to sign.
        if let Err(reason) = self.connect().await {
            return self.refuse(Some(asked), reason);
        }
        // A refusal is written down by the supervisor, unless it is away.
        if self.link.sign(key, purpose).await.is_err() {
            return vec![FAILURE];
        }
        match self.ask_agent(message).await {
            Ok(answer) if is_signature(&answer) => answer,
            _ => vec![FAILURE],
        }
    }

    /// Asks the person's agent. A connection on which something went wrong is given up.
    async fn ask_agent(&mut self, message: &[u8]) -> Result<Vec<u8>, KeyReason> {
        self.connect().await?;
        let agent = self.agent.take().ok_or(KeyReason::AgentAway)?;
        let answer = exchange(&agent, message).await?;
        self.agent = Some(agent);
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<(), KeyReason> {
        if self.agent.is_some() {
            return Ok(());
        }
        let agent = Fd::new(self.link.connect().await?).map_err(|_| KeyReason::AgentAway)?;
        if let Some(bound) = &self.bound {
            // Agents that do not know of it say so. What they would refuse is refused here already.
            exchange(&agent, bound).await?;
        }
        self.agent = Some(agent);
        Ok(())
    }
}

async fn exchange(agent: &Fd<OwnedFd>, message: &[u8]) -> Result<Vec<u8>, KeyReason> {
    let asked = async {
        frame::write(agent, message).await?;
        frame::read(agent, MAX_ANSWER_BYTES).await
    };
    match timeout(AGENT_LIMIT, asked).await {
        Ok(Ok(Some(answer))) => Ok(answer),
        _ => Err(KeyReason::AgentAway),
    }
}
