//! What is due by the clock, once in the cluster.
//!
//! Owns the intervals. Who comes first takes the work by row; there is no leader.

use std::{sync::Arc, time::Duration};

use ibc::{DueWill, StoreError, WillKey};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::{
    delivery::Publication,
    handle::Rooms,
    router::{Origin, TopicCache},
    shutdown::Shutdown,
    telemetry::chain,
};

/// Wills that are due and sessions whose time is over.
const DUE: Duration = Duration::from_millis(500);
/// Clean-up of what nothing refers to.
const SWEEP: Duration = Duration::from_secs(10);
/// Removed retained messages are forgotten after two of these.
const TIDY: Duration = Duration::from_secs(60);
/// Most of a kind at one time.
const MOST: usize = 1000;

/// Does what is due until `shutdown` stops.
pub(crate) async fn run(rooms: Arc<Rooms>, shutdown: Shutdown) {
    // Before the routes are known, a Will would reach nobody.
    tokio::select! {
        () = rooms.cluster.membership.joined() => {}
        () = shutdown.stopped() => return,
    }
    let [mut due, mut sweep, mut tidy] = [DUE, SWEEP, TIDY].map(interval);
    for interval in [&mut due, &mut sweep, &mut tidy] {
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let done = tokio::select! {
            _ = due.tick() => {
                let size = rooms.retain.size();
                rooms.metrics.set_retained(size.messages, size.bytes);
                publish_wills(&rooms).await.and(end_sessions(&rooms).await)
            }
            _ = sweep.tick() => rooms.cluster.databases.store.sweep().await.map(|_| ()),
            _ = tidy.tick() => {
                rooms.retain.tidy();
                Ok(())
            }
            sessions = rooms.router.crowded() => {
                for session in sessions {
                    rooms.router.trim(session).await;
                }
                Ok(())
            }
            () = shutdown.stopped() => return,
        };
        if let Err(error) = done
            && !rooms.cluster.outage.is_on()
        {
            warn!(error = %chain(&error), "timed work not done, will repeat");
        }
    }
}

async fn publish_wills(rooms: &Rooms) -> Result<(), StoreError> {
    let wills = rooms
        .cluster
        .databases
        .store
        .due_wills(rooms.cluster.node, MOST)
        .await?;
    for DueWill {
        client_id,
        epoch,
        body,
    } in wills
    {
        match Publication::decode_will(body) {
            Ok(publication) => {
                let origin = Origin::will(WillKey { client_id, epoch });
                rooms.metrics.wills.inc();
                rooms
                    .router
                    .route(&Arc::new(publication), origin, &mut TopicCache::default());
            }
            Err(error) => warn!(client_id, error = %chain(&error), "unreadable will"),
        }
    }
    Ok(())
}

async fn end_sessions(rooms: &Rooms) -> Result<(), StoreError> {
    for ended in rooms.cluster.databases.store.expire(MOST).await? {
        rooms.metrics.traffic.sessions_expired.inc();
        rooms.router.end(ended.session, ended.epoch);
    }
    Ok(())
}
