//! Joining, renewing and leaving a cluster.

use std::time::{Duration, Instant};

use ibc::{JoinError, NodeState, Store as _};

use crate::bed::{LEASE, claim, number, postgres};
use crate::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_see_each_other() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node_a = a.join("a", "1.0", LEASE).await.unwrap().node;
    let node_b = b.join("b", "2.0", LEASE).await.unwrap().node;
    assert!(node_b > node_a);
    a.renew(node_a, NodeState::Draining, LEASE).await.unwrap();
    let members = b.renew(node_b, NodeState::Live, LEASE).await.unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(
        (members[0].node, &*members[0].name, &*members[0].version),
        (node_a, "a", "1.0")
    );
    assert_eq!(
        (members[0].state, members[1].state),
        (NodeState::Draining, NodeState::Live)
    );
    assert!(
        members
            .iter()
            .all(|member| !member.is_expired && !member.is_absent)
    );
    a.leave(node_a).await.unwrap();
    assert_eq!(
        b.renew(node_b, NodeState::Live, LEASE).await.unwrap().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_a_living_node_is_taken() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let node = a.join("a", "1", LEASE).await.unwrap().node;
    let renewing = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            a.renew(node, NodeState::Live, LEASE).await.unwrap();
        }
    };
    let (error, ()) = tokio::join!(b.join("a", "1", LEASE), renewing);
    let error = error.unwrap_err();
    assert!(
        matches!(&error, JoinError::NameTaken { name } if name == "a"),
        "{error}"
    );
    assert!(error.to_string().contains("node.name"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_join_under_one_name_at_once_one_succeeds() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let join = async |store: &ibc::postgres::Postgres| {
        let joined = store.join("a", "1", LEASE).await;
        if let Ok(joined) = &joined {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                store
                    .renew(joined.node, NodeState::Live, LEASE)
                    .await
                    .unwrap();
            }
        }
        joined.is_ok()
    };
    let (a, b) = tokio::join!(join(&a), join(&b));
    assert!(a != b);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_joins_again_before_its_lease_has_run_out() {
    let lease = Duration::from_millis(1500);
    let url = server::new_database().await;
    let a = postgres(&url).await;
    let first = a.join("a", "1", lease).await.unwrap().node;
    a.claim(first, number(), &[claim("c", 60)]).await.unwrap();
    drop(a);
    let b = postgres(&url).await;
    let joined = b.join("a", "1", lease).await.unwrap();
    assert_eq!(joined.previous, [first]);
    assert!(b.bury(joined.node, first).await.unwrap().is_some());
    assert!(b.bury(joined.node, first).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_killed_node_tells_that_it_is_gone() {
    let url = server::new_database().await;
    let a = postgres(&url).await;
    let first = a.join("a", "1", LEASE).await.unwrap().node;
    drop(a);
    // A lease that will not run out, but short compared with the time that the server is up.
    let sql =
        "update node set renewed_at = clock_timestamp() + interval '1 hour' - interval '10 ms',
                               lease_until = clock_timestamp() + interval '1 hour'";
    server::execute(&url, sql).await.unwrap();
    let b = postgres(&url).await;
    let started = Instant::now();
    let joined = b.join("a", "1", LEASE).await.unwrap();
    assert_eq!(joined.previous, [first]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_name_is_free_again_joins_when_the_lease_has_run_out() {
    let url = server::new_database().await;
    let a = postgres(&url).await;
    // Alive, but it does not renew: paused.
    let first = a
        .join("a", "1", Duration::from_millis(700))
        .await
        .unwrap()
        .node;
    let b = postgres(&url).await;
    let joined = b.join("a", "1", LEASE).await.unwrap();
    assert_eq!(joined.previous, [first]);
    let error = a.renew(first, NodeState::Live, LEASE).await.unwrap_err();
    assert!(matches!(error, ibc::StoreError::Fenced), "{error}");
    // And it joins again, when its name is free.
    b.leave(joined.node).await.unwrap();
    let again = a.join("a", "1", LEASE).await.unwrap();
    assert!(again.node > joined.node);
    assert_eq!(again.previous, [first]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_survives_the_loss_of_its_connection() {
    let url = server::new_database().await;
    let a = postgres(&url).await;
    let node = a.join("a", "1", LEASE).await.unwrap().node;
    a.renew(node, NodeState::Live, LEASE).await.unwrap();
    let held = "select count(*) from pg_locks where locktype = 'advisory'
                   and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(server::number(&url, held).await, 1);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    server::execute(&url, cut).await.unwrap();
    a.renew(node, NodeState::Live, LEASE).await.unwrap();
    assert_eq!(server::number(&url, held).await, 1);
    // The connections of the pool were cut too: at most as many errors as there were connections.
    let mut attempts = 0;
    while a.claim(node, number(), &[claim("c", 60)]).await.is_err() {
        attempts += 1;
        assert!(attempts < 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_itself_does_not_bury_others() {
    let url = server::new_database().await;
    let (a, b) = (postgres(&url).await, postgres(&url).await);
    let lease = Duration::from_secs(2);
    let node_a = a.join("a", "1", lease).await.unwrap().node;
    let node_b = b.join("b", "1", lease).await.unwrap().node;
    // The database was away for a while, and b is back first.
    let sql = "update node set renewed_at = renewed_at - interval '1 min', lease_until = lease_until - interval '1 min',
                      steady_since = steady_since - interval '1 hour'";
    server::execute(&url, sql).await.unwrap();
    let members = b.renew(node_b, NodeState::Live, lease).await.unwrap();
    assert!(
        members
            .iter()
            .any(|member| member.node == node_a && member.is_expired)
    );
    assert!(b.bury(node_b, node_a).await.unwrap().is_none());
    a.renew(node_a, NodeState::Live, lease).await.unwrap();
}
