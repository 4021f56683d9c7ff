//! Passwords as CONNECT has them, against what is stored.
//!
//! To derive the keys costs a millisecond of CPU or so, therefore it is done on threads of its own and for
//! few clients at one time; and what was right a moment ago is recognised.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ahash::AHashSet;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Denied, directory::Found, keys};
use crate::shutdown::Shutdown;

/// Passwords remembered, at least; at most twice as many.
const REMEMBERED: usize = 32_768;
/// How long they are remembered, at least; at most twice as long after they were last used.
const MEMORY: Duration = Duration::from_secs(300);

/// Checks passwords. Waiting is fair: who came first is checked first.
pub(super) struct Checks {
    slots: Arc<Semaphore>,
    verified: Mutex<Verified>,
    /// Random, of this process only.
    secret: [u8; 32],
    shutdown: Shutdown,
}

/// What was right, as keyed hashes over user, stored keys and password: a changed password or user
/// is not recognised.
struct Verified {
    recent: AHashSet<[u8; 32]>,
    older: AHashSet<[u8; 32]>,
    since: Instant,
}

impl Checks {
    pub(super) fn new(shutdown: Shutdown) -> Result<Self, Denied> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            // The other half is for those who are connected.
            slots: Arc::new(Semaphore::new((cores / 2).max(1))),
            verified: Mutex::new(Verified {
                recent: AHashSet::new(),
                older: AHashSet::new(),
                since: Instant::now(),
            }),
            secret: keys::random()?,
            shutdown,
        })
    }

    /// Whether this is the password of the user. Cancel safe.
    pub(super) async fn is_right(&self, found: Found, password: Bytes) -> Result<bool, Denied> {
        let mark = self.mark(&found, &password);
        if self.with_verified(|verified| verified.knows(mark)) {
            return Ok(true);
        }
        // The semaphore is never closed.
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| Denied::Busy)?;
        let check = move || {
            let is_right = keys::is_password(&found.keys, &password);
            drop(slot); // not before, even if nobody waits any more
            is_right
        };
        let is_right = self.shutdown.compute(check).await.ok_or(Denied::Busy)?;
        if is_right {
            self.with_verified(|verified| verified.remember(mark));
        }
        Ok(is_right)
    }

    fn mark(&self, found: &Found, password: &[u8]) -> [u8; 32] {
        // The parts whose length varies are told apart by their lengths.
        let lengths = [found.username.len(), found.keys.salt.len()].map(usize::to_be_bytes);
        keys::hmac(
            &self.secret,
            &[
                lengths.as_flattened(),
                found.username.as_bytes(),
                &found.keys.salt,
                &found.keys.iterations.to_be_bytes(),
                &found.keys.stored_key,
                password,
            ],
        )
    }

    fn with_verified<T>(&self, use_it: impl FnOnce(&mut Verified) -> T) -> T {
        use_it(&mut self.verified.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Verified {
    fn knows(&mut self, mark: [u8; 32]) -> bool {
        self.forget();
        if self.recent.contains(&mark) {
            return true;
        }
        let is_known = self.older.contains(&mark);
        if is_known {
            self.remember(mark);
        }
        is_known
    }

    fn remember(&mut self, mark: [u8; 32]) {
        if self.recent.len() >= REMEMBERED {
            self.turn();
        }
        self.recent.insert(mark);
    }

    fn forget(&mut self) {
        if self.since.elapsed() >= MEMORY {
            if self.since.elapsed() >= 2 * MEMORY {
                self.recent.clear();
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.older = std::mem::take(&mut self.recent);
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(password: &str) -> Found {
        Found {
            username: "u".to_owned(),
            keys: keys::new_keys(password, 2).unwrap(),
        }
    }

    fn again(found: &Found) -> Found {
        Found {
            username: found.username.clone(),
            keys: found.keys.clone(),
        }
    }

    #[tokio::test]
    async fn a_password_is_recognised_until_the_user_changes() {
        let checks = Checks::new(Shutdown::default()).unwrap();
        let (old, password) = (found("p"), Bytes::from_static(b"p"));
        assert!(
            checks
                .is_right(again(&old), password.clone())
                .await
                .unwrap()
        );
        let mark = checks.mark(&old, &password);
        assert!(checks.with_verified(|verified| verified.knows(mark)));
        assert!(
            checks
                .is_right(again(&old), password.clone())
                .await
                .unwrap()
        );

        let new = found("q");
        assert!(!checks.is_right(new, password).await.unwrap());
        assert!(
            !checks
                .is_right(old, Bytes::from_static(b"q"))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_wrong_password_is_not_remembered() {
        let checks = Checks::new(Shutdown::default()).unwrap();
        let wrong = Bytes::from_static(b"wrong");
        assert!(!checks.is_right(found("p"), wrong).await.unwrap());
        assert!(checks.with_verified(|verified| verified.recent.is_empty()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut verified = Verified {
            recent: AHashSet::new(),
            older: AHashSet::new(),
            since: Instant::now(),
        };
        let mark = |number: u32| {
            let mut mark = [0; 32];
            mark.iter_mut()
                .zip(number.to_be_bytes())
                .for_each(|(place, byte)| *place = byte);
            mark
        };
        let most = u32::try_from(REMEMBERED).unwrap();
        for number in 0..3 * most {
            verified.remember(mark(number));
        }
        assert!(verified.recent.len() + verified.older.len() <= 2 * REMEMBERED);
        assert!(verified.knows(mark(3 * most - 1)));
        assert!(!verified.knows(mark(0)));
    }
}
