//! Addresses of a world, and the packets that are dropped in it.
//!
//! Each world has a network namespace of its own, so its addresses are always the same.

use std::{net::SocketAddr, process::Command};

use anyhow::{Context as _, ensure};

use crate::fault::Way;

/// Port of Postgres at each of its addresses.
pub const POSTGRES_PORT: u16 = 5432;
/// Postgres has its port at all addresses.
const RELAY_PORT: u16 = 5433;
/// Where nginx connects to.
const BALANCED_PORT: u16 = 1883;
/// Where clients connect to that go past nginx.
const DIRECT_PORT: u16 = 1884;
const HTTP_PORT: u16 = 8080;

fn address(last: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last as u8], port))
}

/// Where Postgres is for a node; each has an address of its own, so that its packets can be told.
pub fn postgres(node: usize) -> SocketAddr {
    address(11 + node, POSTGRES_PORT)
}

/// Where the relay in front of it is, for a node that is to be delayed.
pub fn relay(node: usize) -> SocketAddr {
    address(41 + node, RELAY_PORT)
}

/// Where a node takes clients from nginx.
pub fn balanced(node: usize) -> SocketAddr {
    address(21 + node, BALANCED_PORT)
}

/// Where it takes other clients.
pub fn direct(node: usize) -> SocketAddr {
    address(21 + node, DIRECT_PORT)
}

/// Where it speaks HTTP.
pub fn http(node: usize) -> SocketAddr {
    address(21 + node, HTTP_PORT)
}

/// Packets that are lost, or answered with a reset, as long as this value lives.
#[derive(Debug)]
pub struct Rules(Vec<Vec<String>>);

impl Rules {
    /// Drops packets between a node and Postgres.
    pub fn cut(node: usize, way: Way) -> anyhow::Result<Self> {
        let postgres = postgres(node);
        let (ip, port) = (postgres.ip(), postgres.port());
        let to = format!("INPUT -p tcp -d {ip} --dport {port} -j DROP");
        let from = format!("INPUT -p tcp -s {ip} --sport {port} -j DROP");
        match way {
            Way::To => Self::add(&[to]),
            Way::From => Self::add(&[from]),
            Way::Both => Self::add(&[to, from]),
        }
    }

    /// Drops what would make a new connection of a node to Postgres.
    pub fn cut_new(node: usize) -> anyhow::Result<Self> {
        let postgres = postgres(node);
        let (ip, port) = (postgres.ip(), postgres.port());
        Self::add(&[format!("INPUT -p tcp --syn -d {ip} --dport {port} -j DROP")])
    }

    /// Resets connections between nginx and a node as soon as they say something.
    pub fn reset(node: usize) -> anyhow::Result<Self> {
        let node = balanced(node);
        let (ip, port) = (node.ip(), node.port());
        let reset = "-j REJECT --reject-with tcp-reset";
        Self::add(&[
            format!("INPUT -p tcp -d {ip} --dport {port} {reset}"),
            format!("INPUT -p tcp -s {ip} --sport {port} {reset}"),
        ])
    }

    fn add(rules: &[String]) -> anyhow::Result<Self> {
        let mut added = Self(Vec::new());
        for rule in rules {
            let words: Vec<String> = rule.split(' ').map(str::to_owned).collect();
            iptables("-A", &words)?;
            added.0.push(words);
        }
        Ok(added)
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        for rule in &self.0 {
            // The namespace ends anyway if this fails; a cut that stays is found as a node that
            // does not get ready.
            let _ = iptables("-D", rule);
        }
    }
}

fn iptables(action: &str, rule: &[String]) -> anyhow::Result<()> {
    let output = Command::new("iptables")
        .args(["-w", action])
        .args(rule)
        .output()
        .context("cannot run iptables: apt-get install iptables")?;
    ensure!(
        output.status.success(),
        "iptables {action} {}: {}",
        rule.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Brings up the loopback interface of a new namespace.
pub fn bring_up() -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .output()
        .context("cannot run ip: apt-get install iproute2")?;
    ensure!(
        output.status.success(),
        "ip link set lo up: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
