//! How far this node has read what the others tell it.

use tokio::sync::watch;

/// Numbers readings: one that began after a question has heard everything that was committed before it.
#[derive(Default)]
pub(crate) struct Hearing {
    asked: watch::Sender<u64>,
    heard: watch::Sender<u64>,
}

impl Hearing {
    /// Asks for a reading that begins from now on.
    pub(super) fn ask(&self) -> u64 {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        number
    }

    /// Returns when everything is applied that was committed before the question `number`. Cancel safe.
    pub(super) async fn reach(&self, number: u64) {
        // The sender lives as long as we do.
        let _ = self.heard.subscribe().wait_for(|it| *it >= number).await;
    }

    /// The last question, which a reading that begins now answers.
    pub(crate) fn asked(&self) -> u64 {
        *self.asked.borrow()
    }

    /// Everything is applied that was there when the question `number` was the last one.
    pub(crate) fn answer(&self, number: u64) {
        self.heard.send_if_modified(|heard| {
            let is_more = *heard < number;
            *heard = number.max(*heard);
            is_more
        });
    }

    /// Whether somebody waits.
    pub(crate) fn is_behind(&self) -> bool {
        *self.heard.borrow() < self.asked()
    }

    /// Returns when somebody waits. Cancel safe.
    pub(crate) async fn wanted(&self) {
        let mut asked = self.asked.subscribe();
        let heard = |number: u64| *self.heard.borrow() >= number;
        // The sender lives as long as we do.
        let _ = asked.wait_for(|number| !heard(*number)).await;
    }
}
