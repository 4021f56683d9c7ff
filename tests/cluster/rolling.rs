//! A restart of one node after the other, under load and behind nginx with the configuration of this
//! repository.

use std::{sync::Arc, time::Instant};

use harness::{Cluster, eventually};
use mqtt::{ProtocolVersion, Qos, ReasonCode};
use tokio::{sync::watch, task::JoinHandle};

use crate::crowd::{self, Publisher, Seat, Stage, Story};

/// Clients sent away per second by each node.
const RATE: u32 = 10;

/// Publishers, and subscribers of whom each hears one of them.
struct Crowd {
    stage: Arc<Stage>,
    publishers: Vec<Publisher>,
    subscribers: Vec<(Seat, JoinHandle<Story>)>,
}

impl Crowd {
    /// `publishers` of QoS 1 and 2; half of the `subscribers` and more have a session that stays.
    async fn gather(cluster: &Cluster, publishers: usize, subscribers: usize) -> Self {
        let front = cluster.front("");
        let stage = Arc::new(Stage::default());
        let qos = |number: usize| [Qos::AtLeastOnce, Qos::ExactlyOnce][number / 2 % 2];
        let totals: Vec<_> = (0..publishers).map(|_| watch::Sender::new(None)).collect();
        let mut listening = Vec::new();
        for number in 0..subscribers {
            let publisher = number % publishers;
            let seat = Seat {
                number,
                publisher,
                qos: qos(publisher),
                is_stored: number < subscribers * 2 / 3,
            };
            let total = totals[publisher].subscribe();
            let task = crowd::listen(&front, seat, total, &stage).await;
            listening.push((seat, task));
        }
        let mut talking = Vec::new();
        for (number, total) in totals.into_iter().enumerate() {
            talking.push(Publisher::start(&front, number, qos(number), total, &stage).await);
        }
        Self {
            stage,
            publishers: talking,
            subscribers: listening,
        }
    }

    /// Ends the load, and waits until everybody has everything.
    async fn finish(self) -> Vec<Story> {
        let mut stories = Vec::new();
        for publisher in self.publishers {
            stories.push(publisher.finish(&self.stage).await);
        }
        for (seat, task) in self.subscribers {
            let story = task.await.unwrap();
            if seat.qos == Qos::ExactlyOnce {
                assert_eq!(story.duplicates, 0, "exactly once: {story:?}");
            }
            stories.push(story);
        }
        stories
    }
}

/// Waits until nginx gives clients to a node that it may have found closed before.
async fn is_used(cluster: &Cluster, index: usize) {
    eventually("nginx uses the node", async || {
        let probe = cluster.front("probe").connect_eventually().await;
        probe.disconnect().await;
        let metrics = cluster.nodes[index].metrics().await;
        (metrics.sum("causeway_connections_total", &[]) > 0.0).then_some(())
    })
    .await;
}

/// Stops a node as an operator does; when that began.
async fn stop(cluster: &mut Cluster, index: usize) -> Instant {
    let begin = Instant::now();
    cluster.nodes[index].stop().await; // with exit code 0
    begin
}

/// However late a client notices, it cannot have been sent away before its turn.
fn assert_paced(stories: &[Story], phase: usize, begin: Instant) {
    let moves = stories.iter().flat_map(|story| &story.moves);
    let mut ends: Vec<Instant> = moves
        .filter(|one| one.phase == phase)
        .map(|one| one.at)
        .collect();
    ends.sort();
    for (index, end) in ends.iter().enumerate() {
        let most = end.duration_since(begin).as_secs_f64() * f64::from(RATE);
        let count = index + 1;
        assert!(
            count as f64 <= most + 1.0,
            "phase {phase}: {count} clients were away after {:?}",
            end.duration_since(begin)
        );
    }
}

fn assert_told(stories: &[Story]) {
    for story in stories {
        for one in &story.moves {
            // The word may be lost where the client was sending at that moment.
            let may_be_lost = story.name.starts_with("publisher");
            match one.reason {
                None => assert!(
                    story.version != ProtocolVersion::V5 || may_be_lost,
                    "{story:?}"
                ),
                Some(reason) => assert_eq!(reason, ReasonCode::UseAnotherServer, "{story:?}"),
            }
        }
    }
}

/// One node more than needed for as long as it takes, as with `maxSurge: 1` in Kubernetes: whoever is sent
/// away goes to the emptiest node, which is the newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_spare_a_rolling_restart_costs_each_client_at_most_one_reconnect() {
    let setting = format!("drain.rate={RATE}");
    let mut cluster = Cluster::placed(4, 3, &[&setting]).await;
    let crowd = Crowd::gather(&cluster, 12, 48).await;
    // Those with the fewest clients first.
    let mut order = Vec::new();
    for index in 0..3 {
        let clients = cluster.nodes[index]
            .metrics()
            .await
            .sum("causeway_connections", &[]);
        order.push((clients as u64, index));
    }
    order.sort_unstable();
    assert_eq!(order.iter().map(|(clients, _)| clients).sum::<u64>(), 60);
    let mut begins = Vec::new();
    let mut newest = 3;
    for (phase, (_, index)) in order.into_iter().enumerate() {
        cluster.nodes[newest].restart_in_place().await;
        is_used(&cluster, newest).await;
        crowd.stage.enter(phase);
        begins.push(stop(&mut cluster, index).await);
        newest = index;
    }
    let stories = crowd.finish().await;
    for story in &stories {
        assert!(
            story.moves.len() <= 1,
            "sent away more than once: {story:?}"
        );
        assert!(story.moves.iter().all(|one| one.refused == 0), "{story:?}");
    }
    let moves: usize = stories.iter().map(|story| story.moves.len()).sum();
    assert_eq!(moves, 60, "everybody was on a node that was stopped");
    assert_told(&stories);
    for (phase, begin) in begins.into_iter().enumerate() {
        assert_paced(&stories, phase, begin);
    }
    cluster.assert_healthy();
}

/// Without a spare a client may be sent on to a node that is still to be restarted, but never away from the
/// same one twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_place_a_rolling_restart_costs_each_client_at_most_one_reconnect_per_node() {
    let setting = format!("drain.rate={RATE}");
    let mut cluster = Cluster::placed(3, 3, &[&setting]).await;
    let crowd = Crowd::gather(&cluster, 4, 14).await;
    let mut begins = Vec::new();
    for index in 0..3 {
        crowd.stage.enter(index);
        begins.push(stop(&mut cluster, index).await);
        cluster.nodes[index].restart_in_place().await;
        is_used(&cluster, index).await;
    }
    let stories = crowd.finish().await;
    for story in &stories {
        let mut phases: Vec<usize> = story.moves.iter().map(|one| one.phase).collect();
        phases.dedup();
        assert_eq!(
            phases.len(),
            story.moves.len(),
            "twice for one node: {story:?}"
        );
        assert!(story.moves.iter().all(|one| one.refused == 0), "{story:?}");
    }
    assert!(stories.iter().any(|story| !story.moves.is_empty()));
    assert_told(&stories);
    for (phase, begin) in begins.into_iter().enumerate() {
        assert_paced(&stories, phase, begin);
    }
    cluster.assert_healthy();
}
