//! Nodes that share one database of their own.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

use crate::{Builder, Client, Database, Nginx, Options, TestNode};

/// A cluster. Node 0 is "a", node 1 is "b" and so on.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes.
    pub nodes: Vec<TestNode>,
    /// The load balancer, after [`Self::balance`].
    pub nginx: Option<Nginx>,
    settings: Vec<String>,
    /// They keep the addresses of nodes that do not run from being given to others.
    places: Vec<TcpSocket>,
    /// Its database; dropped last.
    pub database: Database,
}

impl Cluster {
    /// Starts `count` nodes at once on a new database.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, &[]).await
    }

    /// The same with `KEY=VALUE` settings.
    pub async fn start_with(count: usize, settings: &[&str]) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            nginx: None,
            settings: settings.iter().map(ToString::to_string).collect(),
            places: Vec::new(),
            database: Database::create().await,
        };
        for index in 0..count {
            let mut node = TestNode::prepare(cluster.options(index));
            node.spawn("127.0.0.1:0");
            cluster.nodes.push(node);
        }
        for node in &mut cluster.nodes {
            node.ready().await;
        }
        cluster
    }

    /// Three nodes that understand PROXY protocol, and nginx in front of them.
    pub async fn balanced() -> Self {
        let mut cluster = Self::start_with(3, &["listener.proxy_protocol=auto"]).await;
        cluster.balance().await;
        cluster
    }

    /// nginx in front of `places` for nodes, and nodes at the first `running` of them. The address of
    /// a place stays the same, whether or not its node runs ([`TestNode::restart_in_place`]).
    ///
    /// # Panics
    ///
    /// If a node does not get ready.
    pub async fn placed(places: usize, running: usize, settings: &[&str]) -> Self {
        let mut cluster = Self::start_with(0, settings).await;
        cluster
            .settings
            .push("listener.proxy_protocol=on".to_owned());
        for index in 0..places {
            let place = TcpSocket::new_v4().unwrap();
            // With this, and as long as it does not listen, the node can bind the address, too.
            place.set_reuseaddr(true).unwrap();
            place.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = place.local_addr().unwrap();
            let node = TestNode::prepare_at(address, cluster.options(index));
            cluster.nodes.push(node);
            cluster.places.push(place);
        }
        for node in cluster.nodes.iter_mut().take(running) {
            node.restart_in_place().await;
        }
        cluster.balance().await;
        cluster
    }

    async fn balance(&mut self) {
        let addresses: Vec<SocketAddr> = self.nodes.iter().map(TestNode::tcp).collect();
        self.nginx = Some(Nginx::start(&addresses).await);
    }

    /// How its node number `index` is started.
    #[must_use]
    pub fn options(&self, index: usize) -> Options {
        Options {
            name: char::from(b'a' + u8::try_from(index).unwrap()).to_string(),
            database_url: self.database.url(),
            settings: self.settings.clone(),
            ..Options::default()
        }
    }

    /// Starts one more node.
    pub async fn join(&mut self) {
        let node = TestNode::launch(self.options(self.nodes.len())).await;
        self.nodes.push(node);
    }

    /// A client of node `index`, still to be connected.
    #[must_use]
    pub fn builder(&self, index: usize, client_id: &str) -> Builder {
        self.nodes[index].builder(client_id)
    }

    /// A connected client of node `index`.
    pub async fn client(&self, index: usize, client_id: &str) -> Client {
        self.builder(index, client_id).connect().await
    }

    /// A client of the load balancer, still to be connected.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn front(&self, client_id: &str) -> Builder {
        Builder::new(
            self.nginx.as_ref().expect("nginx runs").address(),
            client_id,
        )
    }

    /// Fails if a node has panicked or ended by itself.
    pub fn assert_healthy(&mut self) {
        for node in &mut self.nodes {
            node.assert_healthy();
        }
    }
}
