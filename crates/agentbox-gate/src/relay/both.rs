//! Both ways of a connection, and how they end together.
//!
//! | what happens | what the other side sees |
//! |---|---|
//! | one side says that nothing more comes | the same; the other way goes on |
//! | both have said so | a closed connection |
//! | one side resets | RST |
//! | the server takes no more while the client speaks | what the server said last, then the end |

use super::claim::Refusal;
use super::first::Language;
use super::pump::Broken;
use super::socket::{self, FAREWELL_LIMIT, Socket, end, farewell, reset, was_reset};
use crate::runtime::{Either, race, timeout};
use std::pin::pin;
use std::time::Duration;

/// Time in which a server that takes no more, or gets no more, can say what it still has to say.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(10);

/// Why one way ended before its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Where bytes come from is gone.
    Source,
    /// Where they go to is gone.
    Sink,
    /// What the client said may not go on.
    Refused(Refusal, Language),
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Source => Self::Source,
            Broken::Sink => Self::Sink,
            Broken::Spent(reason) => Self::Refused(Refusal::because(reason), Language::Neither),
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Both sides were done.
    Quietly,
    /// One side is gone.
    Reset,
    /// The server was done while the client still spoke.
    Early,
    /// It was refused, and the client can be told in this language.
    Refused(Refusal, Language),
}

/// Runs both ways. Each ends with `Ok` when its source has said that nothing more comes; that is then passed
/// on here.
pub(crate) async fn both(
    client: &Socket,
    server: &Socket,
    up: impl Future<Output = Result<(), Stopped>>,
    down: impl Future<Output = Result<(), Stopped>>,
) -> Ended {
    let (mut up, mut down) = (pin!(up), pin!(down));
    match race(up.as_mut(), down.as_mut()).await {
        Either::First(Ok(())) => {
            end(server);
            match race(down, was_reset(client)).await {
                Either::First(Ok(())) => {
                    end(client);
                    Ended::Quietly
                }
                Either::First(Err(_)) | Either::Second(()) => Ended::Reset,
            }
        }
        Either::Second(Ok(())) => {
            end(client);
            match race(up, was_reset(server)).await {
                Either::First(Ok(())) => {
                    end(server);
                    Ended::Quietly
                }
                Either::First(Err(Stopped::Refused(refusal, _))) => {
                    Ended::Refused(refusal, Language::Neither)
                }
                Either::First(Err(Stopped::Source)) => Ended::Reset,
                Either::First(Err(Stopped::Sink)) | Either::Second(()) => Ended::Early,
            }
        }
        // The server closed with our bytes unread. What it said before is still there to be read.
        Either::First(Err(Stopped::Sink)) => match timeout(LAST_WORDS_LIMIT, down).await {
            Ok(Ok(())) => Ended::Early,
            _ => Ended::Reset,
        },
        // Answers to what was allowed before come before the refusal.
        Either::First(Err(Stopped::Refused(refusal, Language::Http))) => {
            end(server);
            let language = match timeout(LAST_WORDS_LIMIT, down).await {
                Ok(Ok(())) => Language::Http,
                _ => Language::Neither,
            };
            Ended::Refused(refusal, language)
        }
        Either::First(Err(Stopped::Refused(refusal, language)))
        | Either::Second(Err(Stopped::Refused(refusal, language))) => Ended::Refused(refusal, language),
        Either::First(Err(Stopped::Source)) | Either::Second(Err(_)) => Ended::Reset,
    }
}

/// Closes both sides after an end that needs no words.
pub(crate) async fn close(client: Socket, server: Socket, ended: &Ended) {
    match ended {
        Ended::Quietly => {}
        Ended::Early => {
            reset(server);
            farewell(client, &[], FAREWELL_LIMIT).await;
        }
        Ended::Reset | Ended::Refused(..) => {
            socket::reset(server);
            socket::reset(client);
        }
    }
}
