//! From when until when a subscription is in force.
//!
//! *Surely*, so that a missing message is an accusation: from SUBACK with QoS 1 or 2 on; until
//! UNSUBSCRIBE, or a SUBSCRIBE with the same filter that is not answered with QoS 1 or 2, goes out; through
//! connections that surely have the session of the one on which it was made; to the end, if
//! the last of them is open when the history settles, else until the last request on it that was answered.
//!
//! *Possibly*, so that a message is no phantom: from SUBSCRIBE on (a server may deliver before SUBACK);
//! for messages first sent before UNSUBACK came; until Session Present is 0.

use std::collections::HashMap;

use super::{ClientId, ConnectionId, NEVER, Place, Story, SubscriptionId};

type ByFilter<'a> = HashMap<(ClientId, &'a str), Vec<SubscriptionId>>;

impl<'a> Story<'a> {
    pub(super) fn settle_subscriptions(&mut self, by_filter: ByFilter<'a>) {
        self.lower(&by_filter);
        let ends = self.session_ends();
        let sure: Vec<_> = self
            .subscriptions
            .iter()
            .map(|subscription| {
                let (from, granted) = subscription.answer?;
                let session = self.connection(subscription.connection).session;
                let end = *ends.get(&(subscription.client, session))?;
                let until = end.min(subscription.given_up);
                matches!(granted, 1 | 2).then_some((from, until))
            })
            .collect();
        for (subscription, sure) in self.subscriptions.iter_mut().zip(sure) {
            subscription.sure = sure;
        }
        self.match_topics(&by_filter);
    }

    /// Finds which subscriptions are new, and which may have been lowered by a later SUBSCRIBE.
    fn lower(&mut self, by_filter: &ByFilter<'a>) {
        for same in by_filter.values() {
            let mut lowered = NEVER;
            for id in same.iter().rev() {
                let Some(subscription) = self.subscriptions.get_mut(*id) else {
                    continue;
                };
                subscription.given_up = subscription.given_up.min(lowered);
                let is_kept = matches!(subscription.answer, Some((_, 1 | 2)));
                if !is_kept {
                    lowered = subscription.sent;
                }
            }
            let mut before: Option<SubscriptionId> = None;
            for id in same {
                let is_new = before.is_none_or(|before| {
                    let (before, now) = (self.subscription(before), self.subscription(*id));
                    let cut = self.connection(now.connection).cut;
                    let made = self.connection(before.connection).connected;
                    before.unsubscribed.is_some_and(|place| place < now.sent)
                        || made.is_some_and(|made| made < cut)
                });
                if let Some(subscription) = self.subscriptions.get_mut(*id) {
                    subscription.is_new = is_new;
                }
                before = Some(*id);
            }
        }
    }

    /// Until when each session of each client surely was there.
    fn session_ends(&self) -> HashMap<(ClientId, usize), Place> {
        let mut ends: HashMap<_, Place> = HashMap::new();
        for (client, tale) in self.clients.iter().enumerate() {
            let open: Option<ConnectionId> = self.open_at_the_end(client);
            for id in &tale.connected {
                let connection = self.connection(*id);
                let end = if open == Some(*id) {
                    NEVER
                } else {
                    connection.alive()
                };
                let known = ends.entry((client, connection.session)).or_default();
                *known = end.max(*known);
            }
        }
        ends
    }

    /// Each filter is compared with each topic once, however many clients have it.
    fn match_topics(&mut self, by_filter: &ByFilter<'a>) {
        let mut by_text: HashMap<&str, Vec<SubscriptionId>> = HashMap::new();
        for ((_, text), same) in by_filter {
            by_text.entry(text).or_default().extend(same);
        }
        let (plain, wild): (Vec<_>, Vec<_>) = by_text
            .into_values()
            .filter_map(|same| {
                let filter = self.subscription(*same.first()?).filter;
                Some((filter, same))
            })
            .partition(|(filter, _)| filter.is_plain());
        let mut exact: HashMap<&str, Vec<SubscriptionId>> = HashMap::new();
        for (filter, same) in plain {
            exact.entry(filter.pattern).or_default().extend(same);
        }
        self.matching = self
            .topics
            .iter()
            .map(|topic| {
                let mut matching = exact.get(topic).cloned().unwrap_or_default();
                for (filter, same) in &wild {
                    if filter.matches(topic) {
                        matching.extend(same);
                    }
                }
                matching.sort_unstable_by_key(|id| (self.subscription(*id).client, *id));
                matching
            })
            .collect();
    }
}
