//! QoS 2 messages that this node has given to its clients and that may come once more.
//!
//! A node hands a message to the others and makes its packet identifier durable in two
//! transactions. When it dies between them the publisher repeats the message to another node, which does
//! not know that it was delivered. Stored sessions are safe: their entries are in one transaction
//! with the packet identifier. For all others each node remembers what is under way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;
use ibc::{Epoch, SessionId, event::Sender};

/// So many are remembered at least, and twice as many at most.
const MOST: usize = 100_000;

/// The packet identifier of a session, or a Will.
type Key = (SessionId, u16);

/// Messages that are under way.
#[derive(Default)]
pub(super) struct Seen(Mutex<Generations>);

#[derive(Clone, Copy)]
struct Known {
    epoch: Epoch,
    digest: u64,
}

#[derive(Default)]
struct Generations {
    young: AHashMap<Key, Known>,
    old: AHashMap<Key, Known>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a message. False if it has been here before.
    pub(super) fn is_new(&self, sender: &Sender) -> bool {
        let key = (sender.session, sender.packet_id);
        let mut seen = self.lock();
        let known = seen.young.get(&key).or_else(|| seen.old.get(&key));
        if let Some(known) = known
            // Or the word that the identifier was released is lost.
            && sender.digest == known.digest
            // An earlier connection sent it first, and its node was slow to tell.
            && (sender.is_repeated || sender.epoch < known.epoch)
        {
            return false;
        }
        seen.old.remove(&key);
        let (epoch, digest) = (sender.epoch, sender.digest);
        seen.young.insert(key, Known { epoch, digest });
        if seen.young.len() >= MOST {
            seen.old = std::mem::take(&mut seen.young);
        }
        true
    }

    /// The client has released the packet identifier: whatever comes with it is another message.
    pub(super) fn release(&self, session: SessionId, packet_id: u16) {
        let key = (session, packet_id);
        let mut seen = self.lock();
        seen.young.remove(&key);
        seen.old.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(packet_id: u16, epoch: i64, is_repeated: bool) -> Sender {
        Sender {
            session: SessionId(1),
            packet_id,
            epoch: Epoch(epoch),
            is_repeated,
            digest: 1,
        }
    }

    #[test]
    fn a_message_with_the_same_identifier_is_another_one() {
        let seen = Seen::default();
        assert!(seen.is_new(&sender(1, 5, false)));
        let other = Sender {
            digest: 2,
            ..sender(1, 6, true)
        };
        assert!(
            seen.is_new(&other),
            "the release was lost, and then the first try"
        );
        assert!(!seen.is_new(&other));
    }

    #[test]
    fn a_repeated_message_is_known_until_it_is_released() {
        let seen = Seen::default();
        assert!(seen.is_new(&sender(1, 5, false)));
        assert!(
            !seen.is_new(&sender(1, 6, true)),
            "sent again to another node"
        );
        assert!(seen.is_new(&sender(2, 6, true)), "never heard of");
        assert!(!seen.is_new(&sender(2, 5, false)), "the first try, late");
        assert!(seen.is_new(&sender(2, 6, false)), "another message");
        seen.release(SessionId(1), 1);
        assert!(seen.is_new(&sender(1, 7, true)), "another one");
    }

    #[test]
    fn what_is_never_released_is_forgotten_in_the_end() {
        let seen = Seen::default();
        for session in 0..3 * MOST as i64 {
            let session = SessionId(session);
            assert!(seen.is_new(&Sender {
                session,
                ..sender(1, 1, true)
            }));
        }
        let seen = seen.lock();
        assert!(seen.young.len() + seen.old.len() <= 2 * MOST);
    }
}
