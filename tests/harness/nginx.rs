//! nginx in front of the nodes, with the configuration of this repository.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};

use crate::{PATIENCE, Process, Scratch, process};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    tls_address: SocketAddr,
    _scratch: Scratch,
}

impl Nginx {
    /// Starts it in front of `nodes`.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not start.
    pub async fn start(nodes: &[SocketAddr]) -> Self {
        Self::start_with_tls(nodes, nodes).await
    }

    /// The same; `tls` is where the nodes speak TLS.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not start.
    pub async fn start_with_tls(nodes: &[SocketAddr], tls: &[SocketAddr]) -> Self {
        let scratch = Scratch::new("nginx");
        let listen = [free(), free()];
        let [address, tls_address] = listen;
        let text = configuration([nodes, tls], listen, scratch.path());
        let path = scratch.write("nginx.conf", &text);
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("no nginx: apt-get install nginx libnginx-mod-stream");
        let mut command = process::mortal(program);
        command.arg("-c").arg(path);
        command.args(["-g", "daemon off; master_process off;"]);
        let process = Process::start(command, scratch.path().join("log"));
        let mut nginx = Self {
            process,
            address,
            tls_address,
            _scratch: scratch,
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            let status = nginx.process.status();
            assert!(
                status.is_none() && tokio::time::Instant::now() < deadline,
                "nginx does not listen ({status:?}):\n{}",
                nginx.process.output()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        nginx
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Where it listens for TLS, which goes through to the nodes.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }
}

/// An address that nobody has.
fn free() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// The repository's configuration with our addresses in place of those of the containers; those
/// of plain MQTT first.
fn configuration(
    nodes: [&[SocketAddr]; 2],
    [listen, listen_tls]: [SocketAddr; 2],
    folder: &Path,
) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx/nginx.conf");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut out = String::new();
    for line in text.lines() {
        let code = line.trim_start();
        if code.starts_with("server node-a:") {
            let rest = code
                .split_once(' ')
                .and_then(|(_, rest)| rest.split_once(' '))
                .unwrap()
                .1;
            let is_tls = code.starts_with("server node-a:8883");
            for node in nodes[usize::from(is_tls)] {
                out += &format!("server {node} {rest}\n");
            }
        } else if code.starts_with("server node-") {
            // one line for each of our nodes has been written
        } else if let Some(rest) = code.strip_prefix("listen 1883") {
            out += &format!("listen {listen}{rest}\n");
        } else if let Some(rest) = code.strip_prefix("listen 8883") {
            out += &format!("listen {listen_tls}{rest}\n");
        } else if code.starts_with("pid ") {
            out += &format!("pid {};\n", folder.join("nginx.pid").display());
        } else {
            out += line;
            out.push('\n');
        }
    }
    assert!(
        out.contains(&format!("listen {listen}")),
        "no `listen 1883` in nginx.conf"
    );
    assert!(
        nodes
            .concat()
            .iter()
            .all(|node| out.contains(&format!("server {node}")))
    );
    out
}
