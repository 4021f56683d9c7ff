//! Who is connected here, under which claim.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use ahash::{AHashMap, AHashSet};
use ibc::{Claim, Claimed, Epoch};
use mqtt::{ReasonCode, Str};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{ClaimError, Cluster},
    delivery::{Amount, Control, Outbox},
};

/// The connections of this node by client ID. An entry stays until everything of its session is
/// in the database, so that whoever comes next can wait for that.
pub(crate) struct Registry {
    clients: Mutex<AHashMap<Str, Client>>,
    /// Clients of whom a connection is being made.
    turns: Arc<Turns>,
    changed: watch::Sender<()>,
    /// No claim begins any more.
    is_sealed: AtomicBool,
}

#[derive(Default)]
struct Client {
    /// Claims under way: their epochs are not known yet.
    claiming: usize,
    connections: Vec<Connection>,
}

struct Connection {
    epoch: Epoch,
    outbox: Arc<Outbox>,
    finished: CancellationToken,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            clients: Mutex::default(),
            turns: Arc::default(),
            changed: watch::Sender::new(()),
            is_sealed: AtomicBool::new(false),
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, AHashMap<Str, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no other connection of the client is being made here. Cancel safe.
    pub(crate) async fn turn(&self, client_id: &Str) -> Turn {
        let mut changed = self.turns.changed.subscribe();
        while !self.turns.lock().insert(client_id.clone()) {
            // The sender lives as long as we do.
            let _ = changed.changed().await;
        }
        Turn {
            turns: Arc::clone(&self.turns),
            client_id: client_id.clone(),
        }
    }

    /// Claims a client ID for a connection whose mailbox is `outbox`. Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the database does not answer, or after [`Registry::seal`]; then nothing is
    /// registered.
    pub(crate) async fn claim(
        &self,
        cluster: &Cluster,
        client_id: &Str,
        claim: Claim,
        outbox: &Arc<Outbox>,
    ) -> Result<Claimed, ClaimError> {
        {
            let mut clients = self.lock();
            // Inside of the lock: whoever seals and then finds nobody here knows that nobody comes.
            if self.is_sealed.load(Ordering::Relaxed) {
                return Err(ClaimError::Unavailable);
            }
            clients.entry(client_id.clone()).or_default().claiming += 1;
        }
        let claimed = cluster.claim(claim).await;
        let mut clients = self.lock();
        let client = clients.entry(client_id.clone()).or_default();
        client.claiming -= 1;
        if let Ok(claimed) = &claimed {
            client.connections.push(Connection {
                epoch: claimed.epoch,
                outbox: Arc::clone(outbox),
                finished: CancellationToken::new(),
            });
        } else if client.claiming == 0 && client.connections.is_empty() {
            clients.remove(client_id);
        }
        drop(clients);
        self.changed.send_replace(());
        claimed
    }

    /// Everything of that claim is in the database.
    pub(crate) fn finish(&self, client_id: &Str, epoch: Epoch) {
        let mut clients = self.lock();
        let Some(client) = clients.get_mut(client_id) else {
            return;
        };
        client.connections.retain(|connection| {
            if connection.epoch == epoch {
                connection.finished.cancel();
            }
            connection.epoch != epoch
        });
        if client.claiming == 0 && client.connections.is_empty() {
            clients.remove(client_id);
        }
    }

    /// Closes the connection with that claim, if it is here, and returns when everything of it is
    /// in the database. Cancel safe.
    pub(crate) async fn evict(&self, client_id: &Str, epoch: Epoch, is_resumed: bool) {
        let mut changed = self.changed.subscribe();
        loop {
            match self.find(client_id, epoch) {
                Found::Here(outbox, finished) => {
                    outbox.control(Control::Evict { is_resumed });
                    finished.cancelled().await;
                    return;
                }
                // It may be that claim; it is known in a moment.
                Found::Claiming => {
                    // The sender lives as long as we do.
                    let _ = changed.changed().await;
                }
                Found::Gone => return,
            }
        }
    }

    /// Closes older connections of the client than that of the claim `epoch`, and returns when everything of
    /// them is in the database. Whether there were any. Cancel safe.
    pub(crate) async fn evict_older(
        &self,
        client_id: &Str,
        epoch: Epoch,
        is_resumed: bool,
    ) -> bool {
        let older: Vec<_> = {
            let clients = self.lock();
            let connections = clients.get(client_id).map(|client| &client.connections);
            let older = connections
                .into_iter()
                .flatten()
                .filter(|it| it.epoch < epoch);
            older
                .map(|it| (Arc::clone(&it.outbox), it.finished.clone()))
                .collect()
        };
        let were_there = !older.is_empty();
        for (outbox, finished) in older {
            outbox.control(Control::Evict { is_resumed });
            finished.cancelled().await;
        }
        were_there
    }

    fn find(&self, client_id: &Str, epoch: Epoch) -> Found {
        let clients = self.lock();
        let Some(client) = clients.get(client_id) else {
            return Found::Gone;
        };
        match client
            .connections
            .iter()
            .find(|connection| connection.epoch == epoch)
        {
            Some(Connection {
                outbox, finished, ..
            }) => Found::Here(Arc::clone(outbox), finished.clone()),
            None if client.claiming > 0 => Found::Claiming,
            None => Found::Gone,
        }
    }

    /// The connections of this node, with their claims.
    pub(crate) fn claims(&self) -> Vec<(Str, Epoch)> {
        let clients = self.lock();
        let claims = clients.iter().flat_map(|(client_id, client)| {
            let of_client = client.connections.iter();
            of_client.map(|connection| (client_id.clone(), connection.epoch))
        });
        claims.collect()
    }

    /// Closes the connection with that claim, if it is here: its client belongs to somebody else.
    pub(crate) fn disown(&self, client_id: &Str, epoch: Epoch) {
        if let Found::Here(outbox, _) = self.find(client_id, epoch) {
            outbox.control(Control::Evict { is_resumed: true });
        }
    }

    /// Lets nobody in from now on. Whoever has begun to claim is counted by [`Registry::len`].
    pub(crate) fn seal(&self) {
        self.is_sealed.store(true, Ordering::Relaxed);
    }

    /// The number of clients connected here.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Counts the clients connected here and what is in their mailboxes. Looks at each.
    pub(crate) fn count(&self) -> Count {
        let clients = self.lock();
        let mut count = Count::default();
        for connection in clients.values().flat_map(|client| &client.connections) {
            let (waiting, in_flight) = connection.outbox.count();
            count.clients += 1;
            count.waiting.messages += waiting.messages;
            count.waiting.bytes += waiting.bytes;
            count.in_flight += in_flight;
        }
        count
    }

    /// Asks up to `most` connections to close, and returns how many were asked.
    pub(crate) fn close_some(&self, most: usize, reason_code: ReasonCode) -> usize {
        let outboxes: Vec<_> = self
            .lock()
            .values()
            .flat_map(|client| &client.connections)
            .filter(|connection| !connection.outbox.is_closing())
            .take(most)
            .map(|connection| Arc::clone(&connection.outbox))
            .collect();
        for outbox in &outboxes {
            outbox.control(Control::Close(reason_code));
        }
        outboxes.len()
    }
}

/// Clients of whom a connection is being made: one at a time, because what becomes of one, when the
/// database does not answer, must be settled before the next.
struct Turns {
    clients: Mutex<AHashSet<Str>>,
    changed: watch::Sender<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            clients: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, AHashSet<Str>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make a connection of a client, until it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    client_id: Str,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.client_id);
        self.turns.changed.send_replace(());
    }
}

/// The clients connected here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) clients: usize,
    /// What waits for them in memory.
    pub(crate) waiting: Amount,
    /// Messages on their way to them.
    pub(crate) in_flight: usize,
}

enum Found {
    Here(Arc<Outbox>, CancellationToken),
    Claiming,
    Gone,
}
