//! How far the two lanes have come.

use tokio::sync::watch;

/// What an acknowledgement waits for: the numbers of two batches. 0 waits for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The batch that makes it durable.
    pub(crate) durable: u64,
    /// The batch that hands it to other nodes.
    pub(crate) forwarded: u64,
}

impl Ticket {
    /// Waits for both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            durable: self.durable.max(other.durable),
            forwarded: self.forwarded.max(other.forwarded),
        }
    }
}

/// The last batches that are committed.
pub(crate) struct Progress(watch::Sender<Ticket>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(Ticket::default()))
    }
}

impl Progress {
    pub(super) fn set_durable(&self, number: u64) {
        self.0.send_modify(|ticket| ticket.durable = number);
    }

    pub(super) fn set_forwarded(&self, number: u64) {
        self.0.send_modify(|ticket| ticket.forwarded = number);
    }

    /// Whoever waits for room looks again.
    pub(crate) fn nudge(&self) {
        self.0.send_modify(|_| {});
    }

    /// Returns when what `ticket` stands for is committed. Cancel safe.
    pub(crate) async fn reach(&self, ticket: Ticket) {
        let mut watch = self.0.subscribe();
        // The sender lives as long as we do.
        let _ = watch.wait_for(|now| ticket.is_reached(*now)).await;
    }

    /// Sees every later commit.
    pub(crate) fn watch(&self) -> watch::Receiver<Ticket> {
        self.0.subscribe()
    }
}

impl Ticket {
    /// Whether `now` is as far as this.
    pub(crate) const fn is_reached(self, now: Self) -> bool {
        now.durable >= self.durable && now.forwarded >= self.forwarded
    }
}
