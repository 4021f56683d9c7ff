//! A way to Postgres that can be made slow.
//!
//! Bytes keep their order. An end of the connection is passed on after what was sent before it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Pieces of up to 16 KiB that may be under way; more waits at the sender.
const UNDER_WAY: usize = 256;

/// A relay.
#[derive(Debug, Clone)]
pub struct Relay {
    delay_millis: Arc<AtomicU64>,
}

impl Relay {
    /// Listens at `from` for as long as the process lives, and connects to `to`.
    pub async fn start(from: SocketAddr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(from).await.context("relay")?;
        let relay = Self {
            delay_millis: Arc::default(),
        };
        let delay = Arc::clone(&relay.delay_millis);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let delay = Arc::clone(&delay);
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(to).await {
                        join(near, far, &delay);
                    }
                });
            }
        });
        Ok(relay)
    }

    /// Each way takes so much longer from now on.
    pub fn set_delay(&self, delay: Duration) {
        let millis = delay.as_millis() as u64;
        self.delay_millis.store(millis, Ordering::SeqCst);
    }
}

fn join(near: TcpStream, far: TcpStream, delay: &Arc<AtomicU64>) {
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
    }
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    pass(near_reader, far_writer, Arc::clone(delay));
    pass(far_reader, near_writer, Arc::clone(delay));
}

fn pass(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, delay: Arc<AtomicU64>) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let delay = Duration::from_millis(delay.load(Ordering::SeqCst));
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
}
