//! An enhanced authentication while it is under way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ibc::StoreError;
use mqtt::Str;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Denied, directory,
    directory::{Directory, Found},
    keys,
    scram::{Challenge, ClientFirst, ScramError},
};

/// Random bytes in the server's half of the nonce.
const NONCE_BYTES: usize = 18;

/// What is to be said next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A challenge: the client must answer [MQTT-4.12.0-2]. Without data: it must begin.
    Continue(Option<Bytes>),
    /// The client is this user; the data proves that to it.
    Success {
        /// Prepared by SASLprep.
        username: Str,
        data: Bytes,
    },
}

/// The exchange of SCRAM-SHA-256 with one client.
pub(crate) struct Exchange {
    directory: Arc<Directory>,
    /// Who it must be.
    expected: Option<String>,
    patience: Duration,
    limit: Duration,
    state: State,
}

enum State {
    /// The client has the first word.
    Begins {
        /// It has left it out once.
        is_asked: bool,
    },
    /// The user is being looked up.
    LooksUp(Box<ClientFirst>, Answer),
    /// There is something to say.
    Ready(Step),
    /// The client has a challenge.
    Challenged {
        challenge: Box<Challenge>,
        username: String,
        since: Instant,
    },
    Over,
}

type Answer = oneshot::Receiver<Result<Found, StoreError>>;

impl Exchange {
    pub(super) fn new(
        directory: Arc<Directory>,
        expected: Option<String>,
        patience: Duration,
        limit: Duration,
    ) -> Self {
        Self {
            directory,
            expected,
            patience,
            limit,
            state: State::Begins { is_asked: false },
        }
    }

    /// Whether [`Exchange::step`] will return.
    pub(crate) const fn is_working(&self) -> bool {
        matches!(self.state, State::LooksUp(..) | State::Ready(_))
    }

    /// What the client says; `None` if it says nothing. Then [`Exchange::step`] has the answer.
    ///
    /// # Errors
    ///
    /// [`Denied`]; the exchange is over.
    pub(crate) fn receive(&mut self, data: Option<&Bytes>) -> Result<(), Denied> {
        self.state = match (std::mem::replace(&mut self.state, State::Over), data) {
            // It may leave the first message out and wait to be asked.
            (State::Begins { is_asked: false }, None) => State::Ready(Step::Continue(None)),
            (State::Begins { .. }, message) => {
                self.first(message.map(Bytes::as_ref).unwrap_or_default())?
            }
            (
                State::Challenged {
                    challenge,
                    username,
                    since,
                },
                message,
            ) => {
                if since.elapsed() > self.limit {
                    return Err(Denied::Late);
                }
                let data = challenge.verify(message.map(Bytes::as_ref).unwrap_or_default())?;
                State::Ready(Step::Success {
                    username: Str::new(username).map_err(|_| ScramError::Proof)?,
                    data: Bytes::from(data),
                })
            }
            (State::LooksUp(..) | State::Ready(_) | State::Over, _) => {
                return Err(Denied::Order("AUTH before the server has answered"));
            }
        };
        Ok(())
    }

    fn first(&self, message: &[u8]) -> Result<State, Denied> {
        let first = ClientFirst::parse(message)?;
        if let Some(expected) = &self.expected {
            let prepared = directory::prepare(first.username());
            if prepared.is_none() || prepared != directory::prepare(expected) {
                return Err(Denied::OtherUser);
            }
        }
        let answer = self.directory.look_up(first.username(), self.patience);
        Ok(State::LooksUp(Box::new(first), answer))
    }

    /// Waits for what is to be said next, for ever if the client has the word. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Denied`]; the exchange is over.
    pub(crate) async fn step(&mut self) -> Result<Step, Denied> {
        let found = match &mut self.state {
            State::LooksUp(_, answer) => Some(answer.await),
            State::Ready(_) => None,
            State::Begins { .. } | State::Challenged { .. } | State::Over => {
                std::future::pending().await
            }
        };
        match (std::mem::replace(&mut self.state, State::Over), found) {
            (State::LooksUp(first, _), Some(found)) => {
                let found = found.map_err(|_| Denied::Busy)??;
                let challenge = first.challenge(found.keys, &nonce()?);
                let message = Bytes::copy_from_slice(challenge.message().as_bytes());
                self.state = State::Challenged {
                    challenge: Box::new(challenge),
                    username: found.username,
                    since: Instant::now(),
                };
                Ok(Step::Continue(Some(message)))
            }
            (State::Ready(step), _) => {
                if matches!(step, Step::Continue(_)) {
                    self.state = State::Begins { is_asked: true };
                }
                Ok(step)
            }
            _ => Err(Denied::Busy),
        }
    }
}

/// The server's half of a nonce: printable, without a comma.
fn nonce() -> Result<String, Denied> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    Ok(STANDARD.encode(keys::random::<NONCE_BYTES>()?))
}
