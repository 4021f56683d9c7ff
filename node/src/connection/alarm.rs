//! The one timer of a connection.

use std::{future::poll_fn, pin::Pin, task::Poll};

use tokio::time::{Instant, Sleep};

/// Rings when something is due. It is set to what was due first, and looks again when that has come: what
/// is due moves with every packet, and most of the time only farther away.
pub(super) struct Alarm<'a>(Pin<&'a mut Sleep>);

impl<'a> Alarm<'a> {
    /// `sleep` may be set to whatever.
    pub(super) const fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self(sleep)
    }

    /// Returns at `due`. Cancel safe.
    pub(super) async fn ring(&mut self, due: Option<Instant>) {
        let Some(due) = due else {
            return std::future::pending().await;
        };
        poll_fn(|cx| {
            if due < self.0.deadline() {
                self.0.as_mut().reset(due);
            }
            while self.0.as_mut().poll(cx).is_ready() {
                if due <= Instant::now() {
                    return Poll::Ready(());
                }
                self.0.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use tokio::time::{sleep_until, timeout};

    use super::*;

    #[tokio::test]
    async fn it_rings_when_that_is_due_which_was_asked_for_last() {
        let step = Duration::from_millis(20);
        let start = Instant::now();
        let mut sleep = pin!(sleep_until(start));
        let mut alarm = Alarm::new(sleep.as_mut());
        alarm.ring(Some(start)).await;
        let hour = Duration::from_secs(3600);
        assert!(timeout(step, alarm.ring(Some(start + hour))).await.is_err());
        assert!(timeout(step, alarm.ring(None)).await.is_err());
        let sooner = Instant::now() + step;
        alarm.ring(Some(sooner)).await;
        assert!(Instant::now() >= sooner, "it had been set to an hour");
        let (late, later) = (sooner + step, sooner + 4 * step);
        let rung = timeout(step / 20, alarm.ring(Some(late))).await;
        assert!(rung.is_err() || Instant::now() >= late);
        alarm.ring(Some(later)).await;
        assert!(
            Instant::now() >= later,
            "it had been set to an earlier time"
        );
        alarm.ring(Some(start)).await;
    }
}
