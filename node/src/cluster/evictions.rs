//! Hand-overs of clients that this node waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;
use ibc::{Epoch, NodeId, Owner};
use mqtt::Str;
use tokio::sync::oneshot;

/// Who waits for whom.
#[derive(Default)]
pub(crate) struct Evictions(Mutex<Waiting>);

type Waiting = AHashMap<(Str, Epoch), (NodeId, oneshot::Sender<()>)>;

impl Evictions {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when `owner` has handed over, or is dead, or a newer claim waits for the same.
    pub(super) fn wait_for(&self, client_id: Str, owner: Owner) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.retain(|_, (_, sender)| !sender.is_closed());
        waiting.insert((client_id, owner.epoch), (owner.node, sender));
        receiver
    }

    /// The claim `epoch` of the client has been handed over.
    pub(crate) fn finish(&self, client_id: &Str, epoch: Epoch) {
        self.lock().remove(&(client_id.clone(), epoch));
    }

    /// A node is dead: nobody waits for it any more.
    pub(crate) fn give_up(&self, node: NodeId) {
        self.lock().retain(|_, (owner, _)| *owner != node);
    }
}
