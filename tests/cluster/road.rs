//! The road of a node to its database, which can be closed.

use harness::Database;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The road of a node to its database, which can be closed.
pub struct Road {
    url: String,
    /// False: every connection is closed, and new ones are at once.
    pub is_open: watch::Sender<bool>,
}

impl Road {
    /// A road to `database`.
    pub async fn to(database: &Database) -> Self {
        let url = database.url();
        let (scheme, rest) = url.split_once('@').unwrap();
        let (target, name) = rest.split_once('/').unwrap();
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = watch::Sender::new(true);
        let watch = is_open.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut closed) = (target.clone(), watch.subscribe());
                tokio::spawn(async move {
                    let carry = async {
                        let mut far = TcpStream::connect(target).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = carry => {}
                        _ = closed.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        let url = format!("{scheme}@{address}/{name}");
        Self { url, is_open }
    }

    /// `cluster.database_url` of a node that takes it.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}
