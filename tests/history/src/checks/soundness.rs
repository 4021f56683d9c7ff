//! Whether the history can be judged at all.
//!
//! *Unsound*: an entry contradicts an earlier one (a connection never begun, an acknowledgement for
//! what was never sent, one identifier for two messages, falling time). That accuses who wrote the
//! history. *Unsettled*: it does not say that it settled, so that loss cannot be found; the same if nothing
//! was written at all.

use super::{Accusation, Court};
use crate::Kind;

pub(super) fn check(court: &mut Court<'_, '_>) {
    let story = court.story;
    for (place, problem) in &story.unsound {
        let accusation = Accusation {
            kind: Kind::Unsound,
            client: &story.entry(*place).client,
            message: None,
        };
        court.accuse(&accusation, (*problem).to_owned(), &[Some(*place)]);
    }
    if story.settled.is_none() {
        let accusation = Accusation {
            kind: Kind::Unsettled,
            client: "",
            message: None,
        };
        let text = "the history has no `settled`; what is missing cannot be judged".to_owned();
        court.accuse(&accusation, text, &[]);
    }
}
