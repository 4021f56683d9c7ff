//! Mosquitto as a yardstick, if it is installed.
//!
//! It stays who we are (`user root` means nothing to anybody but root): a process that changes its user
//! no longer ends with the one that started it.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    node,
    process::{self, Process},
};

/// A running mosquitto, killed with this value.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Process,
    address: SocketAddr,
    tls_address: SocketAddr,
}

impl Peer {
    /// Starts one with queues that lose nothing and with the certificate of the nodes that were
    /// started in `folder`; `None` if there is no such program.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (address, tls_address) = (free()?, free()?);
        let [certificate, key] = readable(folder)?;
        let conf = folder.join("mosquitto.conf");
        let text = format!(
            "user root\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_queued_messages 0\nmax_inflight_messages 1000\nlog_type warning\n\
             listener {} 127.0.0.1\n\
             listener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            address.port(),
            tls_address.port(),
            certificate.display(),
            key.display()
        );
        std::fs::write(&conf, text)?;
        let mut command = process::command(program, "KILL", None);
        command.arg("-c").arg(conf);
        let mut process = Process::start(command, folder.join("mosquitto.log"))?;
        process.wait_for(|_| TcpStream::connect(address).ok().map(drop))?;
        process.wait_for(|_| TcpStream::connect(tls_address).ok().map(drop))?;
        Ok(Some(Self {
            process,
            address,
            tls_address,
        }))
    }

    /// Starts one in `folder` as the scenarios S, C, O, R, T and H want it: unbounded queues, nothing
    /// else changed; with certificate and key it speaks TLS instead.
    pub(crate) fn start_bare(
        program: &Path,
        folder: &Path,
        certificate: Option<&[PathBuf; 2]>,
    ) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut text = format!(
            "user root\nlistener {} 127.0.0.1\nallow_anonymous true\npersistence false\n\
             max_queued_messages 0\nmax_inflight_messages 0\n",
            address.port()
        );
        if let Some([certificate, key]) = certificate {
            let (certificate, key) = (certificate.display(), key.display());
            text.push_str(&format!("certfile {certificate}\nkeyfile {key}\n"));
        }
        let conf = folder.join("mosquitto.conf");
        std::fs::write(&conf, text)?;
        let mut command = process::command(program, "KILL", None);
        command.arg("-c").arg(conf);
        let mut process = Process::start(command, folder.join("mosquitto.log"))?;
        process.wait_for(|_| TcpStream::connect(address).ok().map(drop))?;
        Ok(Self {
            process,
            address,
            tls_address: address,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

/// Where mosquitto is, if it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
        .map(|place| Path::new(place).join("mosquitto"))
        .into_iter()
        .find(|path| path.exists())
}

/// Its version, as in "2.0.11"; empty if it does not tell.
pub(crate) fn version(program: &Path) -> String {
    let output = process::command(program, "KILL", None).arg("-h").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("mosquitto version "));
    version.unwrap_or_default().to_owned()
}

/// Copies of certificate and key that the user of mosquitto can read.
pub(crate) fn readable(folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let copies = ["mosquitto.pem", "mosquitto.key"].map(|name| folder.join(name));
    for (from, to) in node::certificate(folder).iter().zip(&copies) {
        std::fs::copy(from, to)?;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(copies)
}
