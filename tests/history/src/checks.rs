//! What must not have happened: one rule a file, each defined there.

mod duplicates;
mod loss;
mod order;
mod ownership;
mod phantoms;
mod retained;
mod sessions;
mod shared;
mod soundness;
mod stuck;
mod wills;

use crate::{
    Counts, History, Kind, Rules, Verdict, Violation,
    story::{MessageKey, Place, Story},
};

/// Judges a history. The time it takes grows with the number of entries and of deliveries that
/// were due.
#[must_use]
pub fn check(history: &History, rules: &Rules) -> Verdict {
    let story = Story::new(&history.entries, rules);
    let mut court = Court {
        story: &story,
        violations: Vec::new(),
        counts: Counts::default(),
    };
    court.count();
    soundness::check(&mut court);
    loss::check(&mut court);
    duplicates::check(&mut court);
    order::check(&mut court);
    sessions::check(&mut court);
    phantoms::check(&mut court);
    wills::check(&mut court);
    ownership::check(&mut court);
    shared::check(&mut court);
    retained::check(&mut court);
    stuck::check(&mut court);
    let Court {
        mut violations,
        counts,
        ..
    } = court;
    violations.sort_by(|a, b| (a.at, a.kind, &a.client).cmp(&(b.at, b.kind, &b.client)));
    Verdict {
        violations,
        counts,
        rules: rules.clone(),
    }
}

/// Where the checks bring what they found.
struct Court<'s, 'a> {
    story: &'s Story<'a>,
    violations: Vec<Violation>,
    counts: Counts,
}

/// Whom an accusation is about.
struct Accusation<'c> {
    kind: Kind,
    client: &'c str,
    message: Option<MessageKey>,
}

impl<'s> Court<'s, '_> {
    /// `evidence` in any order; entries are shown once, in theirs.
    fn accuse(&mut self, accusation: &Accusation<'_>, text: String, evidence: &[Option<Place>]) {
        let story: &'s Story<'_> = self.story;
        let mut places: Vec<Place> = evidence
            .iter()
            .flatten()
            .copied()
            .filter(|place| *place < story.entries.len())
            .collect();
        places.sort_unstable();
        places.dedup();
        self.violations.push(Violation {
            kind: accusation.kind,
            client: accusation.client.to_owned(),
            message: accusation.message.map(|key| story.id(key)),
            at: places.last().map_or(story.end(), |place| story.at(*place)),
            text,
            evidence: places
                .into_iter()
                .map(|place| (place, story.entry(place).clone()))
                .collect(),
        });
    }

    fn count(&mut self) {
        let story = self.story;
        let counts = &mut self.counts;
        counts.faults = story.faults.begun;
        for message in &story.messages {
            if message.will.is_some() {
                continue;
            }
            counts.sent += 1;
            counts.repeated += message.sends.len().saturating_sub(1) as u64;
            counts.acknowledged += u64::from(message.acknowledged.is_some());
            counts.refused += u64::from(message.is_refused && message.acknowledged.is_none());
        }
        counts.received = story.receptions.len() as u64;
        counts.retained = story
            .receptions
            .iter()
            .filter(|found| found.is_retained)
            .count() as u64;
        for client in &story.clients {
            counts.connected += client.connected.len() as u64;
            counts.refused_connections += (client.attempts.len() - client.connected.len()) as u64;
            counts.reconnects += client.connected.len().saturating_sub(1) as u64;
            for (before, id) in client.connected.iter().zip(client.connected.iter().skip(1)) {
                let now = story.connection(*id);
                counts.resumed += u64::from(now.session_present);
                let is_open = now
                    .connected
                    .is_some_and(|place| story.is_open(*before, place));
                counts.takeovers += u64::from(is_open);
            }
        }
    }
}
