//! The load of the scenarios S, C, O, R and H: one thread, any number of connections, packets of
//! MQTT 3.1.1 made by hand.
//!
//! Every scenario takes a [`Broker`], which it knows nothing of but where it is, and returns
//! [`Figures`]. Closed loops hold a number of messages under way, so that a broker is saturated
//! and no queue of it overflows; open loops count a message from when it was due.

mod engine;
mod handshakes;
mod idle;
mod ledger;
mod link;
mod offline;
mod retained;
mod sender;
mod standstill;
mod traffic;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub(crate) use self::{
    handshakes::Handshakes,
    idle::Idle,
    link::Tls,
    offline::Offline,
    retained::Retained,
    traffic::{Pace, Pattern, Traffic},
};
use crate::{
    cpu::{Meter, Usage},
    memory,
    packet::{self, Credentials, Packet},
    report::Figures,
};

/// Connections from one source address: few enough that the kernel's search for a free port stays
/// cheaper than what the broker does.
const PER_SOURCE: usize = 5000;
/// How long connecting may stand still.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that may wait for one socket.
const BATCH_BYTES: usize = 64 * 1024;

/// Where the load goes, as whom, and whose CPU time and memory are measured.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    /// Publishers connect to these in turn.
    pub(crate) publish_at: Vec<SocketAddr>,
    /// Subscribers and sessions connect to these in turn.
    pub(crate) subscribe_at: Vec<SocketAddr>,
    /// Connections of C1 and H connect to these in turn.
    pub(crate) connect_at: Vec<SocketAddr>,
    /// Each gets one subscriber to a topic that nobody publishes to.
    pub(crate) bystanders_at: Vec<SocketAddr>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls: Option<Tls>,
    pub(crate) meter: Meter,
    /// Begins all client identifiers and topics.
    pub(crate) prefix: String,
    /// Sessions and retained messages are removed in the end, because the broker goes on.
    pub(crate) tidy: bool,
}

impl Broker {
    fn put_connect(&self, out: &mut Vec<u8>, name: &str, clean_session: bool) {
        let client_id = format!("{}{name}", self.prefix);
        packet::put_connect(out, &client_id, clean_session, self.credentials.as_ref());
    }

    /// The largest resident set of each broker since [`Broker::reset_peak`], in kB: of all
    /// together, and of the largest.
    fn peak_kb(&self) -> [f64; 2] {
        let peaks = || {
            self.meter
                .brokers()
                .iter()
                .filter_map(|id| memory::peak_bytes(*id))
        };
        match peaks().max() {
            Some(largest) => [kb(peaks().sum()), kb(largest)],
            None => [f64::NAN; 2],
        }
    }

    fn reset_peak(&self) {
        for id in self.meter.brokers() {
            memory::reset_peak(*id);
        }
    }

    fn resident_kb(&self) -> f64 {
        if !self.meter.has_brokers() {
            return f64::NAN;
        }
        kb(self
            .meter
            .brokers()
            .iter()
            .filter_map(|id| memory::resident_bytes(*id))
            .sum())
    }

    /// CPU of the brokers and of their helpers per `count`, in microseconds; NaN if not measured.
    fn costs(&self, usage: &Usage, count: f64) -> [f64; 2] {
        let per = |seconds: f64| {
            if count > 0.0 {
                seconds * 1e6 / count
            } else {
                f64::NAN
            }
        };
        let known = |is: bool, cost: f64| if is { cost } else { f64::NAN };
        [
            known(self.meter.has_brokers(), per(usage.brokers)),
            known(self.meter.has_helpers(), per(usage.database)),
        ]
    }
}

fn kb(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn at(hosts: &[SocketAddr], number: usize) -> anyhow::Result<SocketAddr> {
    let place = number.checked_rem(hosts.len());
    let host = place.and_then(|place| hosts.get(place));
    host.copied().context("no host to connect to")
}

/// The source address of the so-many-th connection, if all go out from a loopback address.
fn source(hosts: &[SocketAddr], number: usize) -> Option<IpAddr> {
    let loopback = hosts.iter().all(|host| match host.ip() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(_) => false,
    });
    let place = number / PER_SOURCE;
    let address = Ipv4Addr::new(127, 1, (place / 250) as u8, (place % 250 + 2) as u8);
    loopback.then_some(IpAddr::V4(address))
}

/// What went wrong, the first of it in words.
#[derive(Debug, Default)]
struct Problems {
    first: Vec<String>,
    count: u64,
}

impl Problems {
    fn add(&mut self, problem: String) {
        self.count += 1;
        if self.first.len() < 3 {
            self.first.push(problem);
        }
    }

    /// # Errors
    ///
    /// If there was any.
    fn none(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.count == 0, "{}", self.first.join("; "));
        Ok(())
    }

    /// Takes down what a CONNACK, SUBACK or acknowledgement refuses.
    fn check(&mut self, who: &str, packet: &Packet<'_>) -> bool {
        let problem = match packet.kind() {
            packet::CONNACK if !packet.is_success() => refusal(packet),
            packet::SUBACK if !packet.is_success() => "SUBSCRIBE was refused".to_owned(),
            _ => return true,
        };
        self.add(format!("{who}: {problem}"));
        false
    }
}

fn refusal(connack: &Packet<'_>) -> String {
    let code = connack.body.get(1).copied().unwrap_or(u8::MAX);
    let meaning = match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorized",
        _ => "unknown",
    };
    format!("the broker refused CONNECT with code {code} ({meaning})")
}

/// Runs `load` in a thread of its own, whose timers are more exact than those of the processes
/// that this program starts must be.
pub(crate) fn in_thread(
    load: impl FnOnce() -> anyhow::Result<Figures> + Send,
) -> anyhow::Result<Figures> {
    std::thread::scope(|scope| scope.spawn(load).join())
        .map_err(|_| anyhow::anyhow!("the load panicked"))?
}

/// Raises the limit of open files as far as it goes, for us and what we start.
///
/// # Errors
///
/// If fewer than `wanted` files can be open.
pub(crate) fn allow_files(wanted: u64) -> anyhow::Result<()> {
    let (mut now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        now = most;
    }
    if now < wanted {
        // Root may.
        setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).with_context(|| {
            format!("{wanted} open files are needed and {now} allowed (ulimit -n)")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_from_loopback_have_many_sources() {
        let hosts = ["127.0.0.1:1".parse().unwrap()];
        assert_eq!(source(&hosts, 0), Some("127.1.0.2".parse().unwrap()));
        assert_eq!(source(&hosts, 4999), source(&hosts, 0));
        assert_eq!(source(&hosts, 5000), Some("127.1.0.3".parse().unwrap()));
        assert_eq!(source(&["192.0.2.1:1".parse().unwrap()], 9), None);
    }

    #[test]
    fn a_refusal_names_its_code() {
        let packet = Packet {
            first: 0x20,
            body: &[0, 5],
        };
        let mut problems = Problems::default();
        assert!(problems.none().is_ok());
        assert!(!problems.check("127.0.0.1:1", &packet));
        let text = problems.none().unwrap_err().to_string();
        assert_eq!(
            text,
            "127.0.0.1:1: the broker refused CONNECT with code 5 (not authorized)"
        );
    }

    #[test]
    fn hosts_are_taken_in_turn() {
        let hosts: Vec<SocketAddr> = ["127.0.0.1:1", "127.0.0.1:2"]
            .map(|host| host.parse().unwrap())
            .to_vec();
        assert_eq!(at(&hosts, 3).unwrap().port(), 2);
        assert!(at(&[], 0).is_err());
    }
}
