//! For how long a client waits for an acknowledgement.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Ticket;

/// What a client is owed first, and since when.
pub(super) struct Debt {
    limit: Duration,
    first: Option<(Ticket, Instant)>,
}

impl Debt {
    /// Nothing is owed; `limit` is `mqtt.acknowledge_timeout`.
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, first: None }
    }

    /// Until when what is owed first must be paid. `first` is what it waits for.
    pub(super) fn deadline(&mut self, first: Option<Ticket>, now: Instant) -> Option<Instant> {
        let Some(ticket) = first else {
            self.first = None;
            return None;
        };
        let since = match self.first {
            Some((same, since)) if same == ticket => since,
            _ => now,
        };
        self.first = Some((ticket, since));
        Some(since + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payment_starts_the_time_anew() {
        let limit = Duration::from_secs(10);
        let ticket = |durable| {
            let forwarded = 0;
            Some(Ticket { durable, forwarded })
        };
        let mut debt = Debt::new(limit);
        let start = Instant::now();
        let later = start + Duration::from_secs(7);
        assert_eq!(debt.deadline(None, start), None);
        assert_eq!(debt.deadline(ticket(1), start), Some(start + limit));
        assert_eq!(debt.deadline(ticket(1), later), Some(start + limit));
        assert_eq!(debt.deadline(ticket(2), later), Some(later + limit));
        assert_eq!(debt.deadline(None, later), None);
    }
}
