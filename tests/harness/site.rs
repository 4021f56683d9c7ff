//! Where a protocol test runs: one node on SQLite, or three on Postgres whose clients connect to
//! one node after the other. What MQTT promises must not depend on it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{Builder, Client, Cluster, TestNode};

/// One node, or three that should look like one.
#[derive(Debug)]
pub struct Site {
    kind: Kind,
    next: AtomicUsize,
}

#[derive(Debug)]
enum Kind {
    Alone(Box<TestNode>),
    Cluster(Box<Cluster>),
}

impl Site {
    /// One node on SQLite.
    pub async fn alone(settings: &[&str]) -> Self {
        Self::new(Kind::Alone(Box::new(TestNode::start_with(settings).await)))
    }

    /// Three nodes on Postgres.
    pub async fn cluster(settings: &[&str]) -> Self {
        Self::new(Kind::Cluster(Box::new(
            Cluster::start_with(3, settings).await,
        )))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            next: AtomicUsize::new(0),
        }
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[TestNode] {
        match &self.kind {
            Kind::Alone(node) => std::slice::from_ref(node),
            Kind::Cluster(cluster) => &cluster.nodes,
        }
    }

    /// The address of the next node in turn.
    pub fn address(&self) -> SocketAddr {
        let nodes = self.nodes();
        nodes[self.next.fetch_add(1, Ordering::Relaxed) % nodes.len()].tcp()
    }

    /// A client of the next node, still to be connected.
    pub fn builder(&self, client_id: &str) -> Builder {
        Builder::new(self.address(), client_id)
    }

    /// A connected client of the next node.
    pub async fn client(&self, client_id: &str) -> Client {
        self.builder(client_id).connect().await
    }

    /// Adds a user or gives them a new password.
    pub async fn add_user(&self, username: &str, password: &str) {
        self.nodes()[0].add_user(username, password).await;
    }

    /// The sum of a metric over all nodes.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let mut sum = 0.0;
        for node in self.nodes() {
            sum += node.metrics().await.sum(name, labels);
        }
        sum
    }

    /// Fails if a node has panicked or ended.
    pub fn assert_healthy(&mut self) {
        match &mut self.kind {
            Kind::Alone(node) => node.assert_healthy(),
            Kind::Cluster(cluster) => {
                for node in &mut cluster.nodes {
                    node.assert_healthy();
                }
            }
        }
    }
}

/// Makes two tests of each function: `alone` and `cluster`. Settings may follow the name of the
/// site: `async fn name(site, "mqtt.maximum_qos=1") { … }`.
#[macro_export]
macro_rules! everywhere {
    ($($(#[$meta:meta])* async fn $name:ident($site:ident $(, $setting:literal)*) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn check($site: &$crate::Site) $body

            #[tokio::test]
            async fn alone() {
                let mut site = $crate::Site::alone(&[$($setting),*]).await;
                check(&site).await;
                site.assert_healthy();
            }

            #[tokio::test]
            async fn cluster() {
                let mut site = $crate::Site::cluster(&[$($setting),*]).await;
                check(&site).await;
                site.assert_healthy();
            }
        }
    )+};
}
