//! The users, asked for one by one.

use std::{sync::Arc, time::Duration};

use ibc::{MAX_USERNAME_BYTES, ScramKeys, StoreError, User, Users};
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tracing::warn;

use super::{Denied, keys};
use crate::{config::Config, shutdown::Shutdown, telemetry::chain};

/// Questions to the database at one time; the smallest `cluster.max_connections` is 4, and
/// commits go through the same pool.
const READERS: usize = 2;
/// Pause before the database is asked again.
const REPEAT: Duration = Duration::from_millis(200);
/// Longer names are not looked at.
const MAX_UNPREPARED_BYTES: usize = 1024;
/// What the nodes keep secret together, so that all give the same answer for a user who does not
/// exist.
const SECRET: &str = "unknown users";
const SECRET_BYTES: usize = 32;

/// What is known of somebody who wants in.
pub(super) struct Found {
    /// Prepared by SASLprep.
    pub(super) username: String,
    /// Of the user, or of nobody: both look the same from outside.
    pub(super) keys: ScramKeys,
}

/// Reads users, a few at one time.
pub(super) struct Directory {
    users: Arc<dyn Users>,
    secret: Vec<u8>,
    iterations: u32,
    readers: Semaphore,
    shutdown: Shutdown,
}

impl Directory {
    pub(super) async fn open(
        config: &Config,
        users: Arc<dyn Users>,
        shutdown: Shutdown,
    ) -> Result<Self, Denied> {
        let secret = users
            .secret(SECRET, &keys::random::<SECRET_BYTES>()?)
            .await?;
        Ok(Self {
            users,
            secret,
            iterations: config.auth.scram_iterations,
            readers: Semaphore::new(READERS),
            shutdown,
        })
    }

    /// Asks for a user. While the database is unreachable it is asked again for as long as
    /// `patience`. The answer may be dropped; nothing comes if the node stops.
    pub(super) fn look_up(
        self: &Arc<Self>,
        username: &str,
        patience: Duration,
    ) -> oneshot::Receiver<Result<Found, StoreError>> {
        let (mut answer, receiver) = oneshot::channel();
        let prepared = prepare(username);
        let written = prepared.clone().unwrap_or_else(|| username.to_owned());
        let directory = Arc::clone(self);
        // A task of its own, because a question must not be dropped half-way.
        self.shutdown.spawn(async move {
            let user = match prepared {
                Some(username) => directory.read(&username, patience, &mut answer).await,
                None => Ok(None),
            };
            // Who does not wait any more does not need it.
            let _ = answer.send(user.map(|user| directory.found(written, user)));
        });
        receiver
    }

    async fn read(
        &self,
        username: &str,
        patience: Duration,
        answer: &mut oneshot::Sender<Result<Found, StoreError>>,
    ) -> Result<Option<User>, StoreError> {
        let deadline = Instant::now() + patience;
        loop {
            let permit = tokio::select! {
                permit = self.readers.acquire() => permit,
                () = answer.closed() => return Ok(None),
            };
            let result = self.users.user(username).await;
            drop(permit);
            match result {
                Err(error)
                    if error.is_transient()
                        && Instant::now() < deadline
                        && !answer.is_closed()
                        && !self.shutdown.is_draining() =>
                {
                    warn!(error = %chain(&error), "user not read, will repeat");
                    tokio::time::sleep(REPEAT).await;
                }
                result => return result,
            }
        }
    }

    fn found(&self, username: String, user: Option<User>) -> Found {
        let keys = user
            .and_then(|user| user.scram)
            .unwrap_or_else(|| keys::of_nobody(&self.secret, &username, self.iterations));
        Found { username, keys }
    }
}

/// A user name as it is stored and compared (RFC 4013); none if there can be no such user.
pub(super) fn prepare(username: &str) -> Option<String> {
    if username.len() > MAX_UNPREPARED_BYTES {
        return None;
    }
    let prepared = stringprep::saslprep(username).ok()?;
    (1..=MAX_USERNAME_BYTES)
        .contains(&prepared.len())
        .then(|| prepared.into_owned())
}
