//! Mosquitto as a yardstick, if it is installed.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
};

use crate::process::{self, Process};

/// A running mosquitto, killed with this value.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Process,
    address: SocketAddr,
}

impl Peer {
    /// Starts one with queues that lose nothing; `None` if there is no such program.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let installed = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
            .map(|place| Path::new(place).join("mosquitto"));
        let Some(program) = installed.iter().find(|path| path.exists()) else {
            return Ok(None);
        };
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let conf = folder.join("mosquitto.conf");
        let text = format!(
            "user nobody\nlistener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_queued_messages 0\nmax_inflight_messages 1000\nlog_type warning\n",
            address.port()
        );
        std::fs::write(&conf, text)?;
        let mut command = process::command(program, "KILL", None);
        command.arg("-c").arg(conf);
        let mut process = Process::start(command, folder.join("mosquitto.log"))?;
        process.wait_for(|_| TcpStream::connect(address).ok().map(drop))?;
        Ok(Some(Self { process, address }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}
