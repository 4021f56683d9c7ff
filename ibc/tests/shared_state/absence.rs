//! Signs of life: the two connections without which a node counts as dead before its lease is over.

use std::time::{Duration, Instant};

use ibc::postgres::Postgres;
use ibc::{Forward as _, NodeId, NodeState, Store as _, StoreError};
use sqlx::{Connection as _, PgConnection};

use crate::bed::{LEASE, postgres, postgres_with};
use crate::server;

const HOUR: Duration = Duration::from_secs(3600);
/// Between the two looks at a node that seems to be absent.
const GAP: Duration = Duration::from_millis(250);
/// For a member whose own connection has lasted long enough at once.
const BRIEF: Duration = Duration::from_millis(1);

/// `a`, about which `b` is to judge.
struct Two {
    url: String,
    a: Postgres,
    node_a: NodeId,
    b: Postgres,
    node_b: NodeId,
}

impl Two {
    /// Both are there, with both of their connections.
    async fn start() -> Self {
        let url = server::new_database().await;
        let (a, b) = (postgres(&url).await, postgres_with(&url, BRIEF).await);
        let node_a = a.join("a", "1", HOUR).await.unwrap().node;
        let node_b = b.join("b", "1", HOUR).await.unwrap().node;
        a.wait(node_a, LEASE).await.unwrap();
        b.wait(node_b, LEASE).await.unwrap();
        let two = Self {
            url,
            a,
            node_a,
            b,
            node_b,
        };
        two.let_time_pass().await;
        for node in [node_a, node_b] {
            assert!(two.has(node, Sign::Presence).await && two.has(node, Sign::Ear).await);
        }
        two
    }

    /// As if both had been members for long, and renewed their leases a moment ago. The lease of `a`
    /// will not run out; it is short compared with the time that the server is up.
    async fn let_time_pass(&self) {
        let sql = format!(
            "update node set steady_since = clock_timestamp() - interval '1 day';
             update node set lease_until = clock_timestamp() + interval '1 hour',
                             renewed_at = clock_timestamp() + interval '1 hour' + interval '1 min'
              where incarnation = {}",
            self.node_a
        );
        server::execute(&self.url, &sql).await.unwrap();
    }

    /// Ends a connection of a node on the side of the server, and waits until it has gone.
    async fn cut(&self, node: NodeId, sign: Sign) {
        let sql = format!(
            "select count(pg_terminate_backend(pid, 30000)) from ({}) l",
            sign.of(node)
        );
        assert_eq!(server::number(&self.url, &sql).await, 1);
    }

    /// Whether a node has such a connection.
    async fn has(&self, node: NodeId, sign: Sign) -> bool {
        let sql = format!("select count(*) from ({}) l", sign.of(node));
        server::number(&self.url, &sql).await == 1
    }

    /// The class of the lock by which `a` shows such a connection.
    async fn class(&self, sign: Sign) -> i64 {
        let sql = format!("select classid::bigint from ({}) l", sign.of(self.node_a));
        server::number(&self.url, &sql).await
    }

    /// Whether `b` buries `a`.
    async fn buries(&self) -> bool {
        loop {
            match self.b.bury(self.node_b, self.node_a).await {
                Ok(buried) => return buried.is_some(),
                // A connection of the pool was cut, too.
                Err(StoreError::Unreachable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn is_absent(&self) -> bool {
        let members = loop {
            match self.b.renew(self.node_b, NodeState::Live, HOUR).await {
                Ok(members) => break members,
                // It has no more than a second.
                Err(StoreError::Unreachable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let mut a = members.iter().filter(|member| member.node == self.node_a);
        let a = a.next().unwrap();
        assert!(!a.is_expired);
        a.is_absent
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Presence,
    Ear,
}

impl Sign {
    /// A query for the process of the server that serves such a connection and has its lock.
    fn of(self, node: NodeId) -> String {
        let last_query = match self {
            Self::Presence => "not like 'LISTEN%'",
            Self::Ear => "like 'LISTEN%'",
        };
        format!(
            "select s.pid, l.classid from pg_locks l join pg_stat_activity s on s.pid = l.pid
              where l.locktype = 'advisory' and l.objid = {node} and s.datname = current_database()
                and l.database = s.datid and s.application_name = 'causeway'
                and s.query {last_query}"
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_process_is_gone_is_buried_before_its_lease_runs_out() {
    let two = Two::start().await;
    assert!(!two.buries().await);
    assert!(!two.is_absent().await);
    two.cut(two.node_a, Sign::Presence).await;
    two.cut(two.node_a, Sign::Ear).await;
    let started = Instant::now();
    assert!(two.buries().await);
    assert!(started.elapsed() >= GAP, "there was no second look");
    let renewed = two.a.renew(two.node_a, NodeState::Live, HOUR).await;
    assert!(matches!(renewed.unwrap_err(), StoreError::Fenced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_one_of_its_connections_is_alive() {
    let two = Two::start().await;
    two.cut(two.node_a, Sign::Presence).await;
    assert!(!two.has(two.node_a, Sign::Presence).await);
    assert!(!two.is_absent().await && !two.buries().await);
    two.a
        .renew(two.node_a, NodeState::Live, HOUR)
        .await
        .unwrap();
    two.let_time_pass().await;
    assert!(two.has(two.node_a, Sign::Presence).await);
    two.cut(two.node_a, Sign::Ear).await;
    assert!(!two.has(two.node_a, Sign::Ear).await);
    assert!(!two.is_absent().await && !two.buries().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_back_at_the_second_look_is_alive() {
    let two = Two::start().await;
    let node = two.node_a;
    let class = two.class(Sign::Ear).await;
    let mut back = PgConnection::connect(&two.url).await.unwrap();
    two.cut(node, Sign::Presence).await;
    two.cut(node, Sign::Ear).await;
    assert!(two.is_absent().await);
    let sql = format!("select pg_advisory_lock_shared({class}, {node})");
    let (buries, locked) = tokio::join!(two.buries(), sqlx::raw_sql(&sql).execute(&mut back));
    locked.unwrap();
    assert!(!buries);
    drop(back);
    while !two.is_absent().await {}
    assert!(two.buries().await);
}

/// The listening connection tells at once that it is lost; then both are there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_both_connections_has_both_again() {
    let two = Two::start().await;
    let (a, node) = (&two.a, two.node_a);
    // Of the first connection.
    let told = tokio::time::timeout(LEASE, a.must_renew()).await;
    told.expect("a new connection is told");
    let listening = async {
        loop {
            let _ = a.wait(node, LEASE).await;
        }
    };
    let renewing = async {
        two.cut(node, Sign::Presence).await;
        two.cut(node, Sign::Ear).await;
        while !(two.has(node, Sign::Presence).await && two.has(node, Sign::Ear).await) {
            a.must_renew().await;
            a.renew(node, NodeState::Live, HOUR).await.unwrap();
        }
    };
    tokio::select! {
        () = listening => {}
        () = renewing => {}
        () = tokio::time::sleep(LEASE * 6) => panic!("it was told nothing"),
    }
}

/// From the moment at which it knows of a loss it does not act, until it knows that it was not buried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_a_connection_has_lapsed_until_it_renews() {
    let two = Two::start().await;
    let (a, node) = (&two.a, two.node_a);
    assert!(!a.is_lapsed());
    two.cut(node, Sign::Ear).await;
    while !a.is_lapsed() {
        let _ = a.wait(node, LEASE).await;
    }
    a.renew(node, NodeState::Live, HOUR).await.unwrap();
    assert!(!a.is_lapsed());
    two.let_time_pass().await;
    two.cut(node, Sign::Presence).await;
    two.cut(node, Sign::Ear).await;
    assert!(two.buries().await);
    let _ = a.wait(node, LEASE).await;
    let renewed = a.renew(node, NodeState::Live, HOUR).await;
    assert!(matches!(renewed.unwrap_err(), StoreError::Fenced));
    assert!(a.is_lapsed());
}

/// A new connection has the lock at once, although the server does not know that the old one is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_that_lingers_is_in_nobodys_way() {
    let two = Two::start().await;
    let node = two.node_a;
    let class = two.class(Sign::Presence).await;
    two.cut(node, Sign::Presence).await;
    let lingers = format!("select pg_advisory_lock_shared({class}, {node})");
    let mut old = PgConnection::connect(&two.url).await.unwrap();
    sqlx::raw_sql(&lingers).execute(&mut old).await.unwrap();
    assert!(!two.has(node, Sign::Presence).await);
    two.a.renew(node, NodeState::Live, HOUR).await.unwrap();
    assert!(two.has(node, Sign::Presence).await);
}

/// What cuts off everybody, such as a proxy that starts again, lets nobody be declared dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_its_own_connection_does_not_miss_others() {
    let two = Two::start().await;
    let all = "select count(pg_terminate_backend(pid, 30000)) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    server::number(&two.url, all).await;
    assert!(!two.has(two.node_a, Sign::Presence).await);
    assert!(!two.has(two.node_a, Sign::Ear).await);
    // It has not noticed it itself, but the database has.
    assert!(!two.buries().await);
}

/// For a whole lease after it has a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_new_connection_does_not_miss_others() {
    let url = server::new_database().await;
    let a = postgres(&url).await;
    let b = postgres_with(&url, HOUR).await;
    let node_a = a.join("a", "1", HOUR).await.unwrap().node;
    let node_b = b.join("b", "1", HOUR).await.unwrap().node;
    let two = Two {
        url,
        a,
        node_a,
        b,
        node_b,
    };
    two.let_time_pass().await;
    two.cut(node_a, Sign::Presence).await;
    assert!(two.is_absent().await);
    assert!(!two.buries().await);
    // If its lease is over, that is something else.
    let sql = format!(
        "update node set lease_until = clock_timestamp() - interval '1 s' where incarnation = {node_a}"
    );
    server::execute(&two.url, &sql).await.unwrap();
    assert!(two.buries().await);
}
