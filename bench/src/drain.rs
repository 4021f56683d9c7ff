//! Many sessions with queued messages, whose clients all come back at once.
//!
//! One message goes to many sessions, so that filling is quick. Each client then reads and
//! acknowledges until it has every message once; when its connection breaks or is refused it
//! tries again every 50 ms.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout_at},
};

use crate::{
    client::Client,
    histogram::Histogram,
    packet::{self, Packet, Stamp, Template},
};

/// Handshakes at one time while nothing is measured.
const AT_ONCE: usize = 200;
/// Publishers that fill, and how much each may have unacknowledged.
const FILLERS: u32 = 6;
const WINDOW: u32 = 8;
/// How long to wait before the next attempt, and when to give up.
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Told in each message, so that those of another run are known.
    pub(crate) run: u32,
    pub(crate) sessions: u32,
    /// Messages for each session.
    pub(crate) queued: u32,
    /// Sessions that get the same messages.
    pub(crate) share: u32,
    pub(crate) payload_bytes: usize,
    /// Clients take them in turn.
    pub(crate) nodes: [SocketAddr; 3],
}

/// Times since the first attempt to connect.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) connack: Histogram,
    /// When a client had all its messages.
    pub(crate) drained: Histogram,
    pub(crate) seconds: f64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Attempts beyond the first of each client, all together.
    pub(crate) attempts: u64,
}

impl Plan {
    fn node(&self, number: u32) -> SocketAddr {
        let [a, b, c] = self.nodes;
        match number % 3 {
            0 => a,
            1 => b,
            _ => c,
        }
    }

    fn topic(&self, group: u32) -> String {
        format!("drain/{group}")
    }

    fn groups(&self) -> u32 {
        self.sessions.div_ceil(self.share)
    }

    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.sessions) * u64::from(self.queued)
    }
}

fn client_id(number: u32) -> String {
    format!("drain-{number}")
}

/// Makes the sessions, without connection.
pub(crate) async fn prepare(plan: Plan) -> anyhow::Result<()> {
    each(plan, move |number| async move {
        let connect = packet::connect(&client_id(number), false);
        let mut client = Client::open(plan.node(number), &connect).await?;
        let subscribe = packet::subscribe(&plan.topic(number / plan.share), 1);
        client.ask(&subscribe, packet::SUBACK).await?;
        client.close().await
    })
    .await
    .context("making the sessions")
}

/// Ends the sessions.
pub(crate) async fn forget(plan: Plan) -> anyhow::Result<()> {
    each(plan, move |number| async move {
        let connect = packet::connect(&client_id(number), true);
        Client::open(plan.node(number), &connect)
            .await?
            .close()
            .await
    })
    .await
    .context("ending the sessions")
}

/// Does `work` for the number of every session, for some of them at one time.
async fn each<F>(plan: Plan, work: impl Fn(u32) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in 0..plan.sessions {
        let permit = Arc::clone(&turn).acquire_owned().await?;
        let work = work(number);
        tasks.spawn(async move {
            let done = work.await;
            drop(permit);
            done
        });
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Publishes what each session is to have, and returns when all of it is acknowledged.
pub(crate) async fn fill(plan: Plan) -> anyhow::Result<()> {
    let mut fillers = JoinSet::new();
    for number in 0..FILLERS {
        fillers.spawn(filler(plan, number));
    }
    while let Some(filler) = fillers.join_next().await {
        filler?.context("filling the queues")?;
    }
    Ok(())
}

async fn filler(plan: Plan, filler: u32) -> anyhow::Result<()> {
    let connect = packet::connect(&format!("drain-filler-{filler}"), true);
    let mut client = Client::open(plan.node(filler), &connect).await?;
    let topics: Vec<Template> = (0..plan.groups())
        .filter(|group| group % FILLERS == filler)
        .map(|group| Template::new(&plan.topic(group), 1, plan.payload_bytes))
        .collect();
    let mut waiting = 0;
    let mut packet_id: u16 = 0;
    for number in 0..plan.queued {
        let stamp = Stamp {
            publisher: plan.run,
            number,
            due: 0,
        };
        for topic in &topics {
            packet_id = packet_id % u16::MAX + 1;
            topic.put(&mut client.out, packet_id, stamp);
            waiting += 1;
            while waiting >= WINDOW {
                waiting -= acknowledged(&mut client).await?;
            }
        }
    }
    while waiting > 0 {
        waiting -= acknowledged(&mut client).await?;
    }
    client.close().await
}

async fn acknowledged(client: &mut Client) -> anyhow::Result<u32> {
    let mut count = 0;
    let open = client
        .turn(|packet, _| count += u32::from(packet.kind() == packet::PUBACK))
        .await?;
    anyhow::ensure!(open, "the broker closed");
    Ok(count)
}

/// Connects all clients and returns when each has what waited for it, or after five minutes.
pub(crate) async fn drain(plan: Plan) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..plan.sessions {
        clients.spawn(client(plan, number, begin));
    }
    let mut outcome = Outcome::default();
    let mut held = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client?;
        if let Some(connack) = client.connack {
            outcome.connack.add(connack);
        }
        if let Some(drained) = client.drained {
            outcome.drained.add(drained);
        }
        outcome.lost += client.seen.missing();
        outcome.repeated += client.seen.repeated;
        outcome.attempts += client.attempts;
        held.push(client.connection);
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    Ok(outcome)
}

/// What one client has of its messages.
#[derive(Debug)]
struct Seen {
    run: u32,
    got: Vec<bool>,
    distinct: usize,
    repeated: u64,
}

impl Seen {
    fn new(plan: &Plan) -> Self {
        Self {
            run: plan.run,
            got: vec![false; plan.queued as usize],
            distinct: 0,
            repeated: 0,
        }
    }

    fn packet(&mut self, packet: Packet<'_>, out: &mut Vec<u8>) {
        let message = packet
            .publish()
            .filter(|_| packet.kind() == packet::PUBLISH);
        let Some((packet_id, stamp)) = message else {
            return;
        };
        packet::put_puback(out, packet_id);
        match self.got.get_mut(stamp.number as usize) {
            Some(got) if stamp.publisher == self.run && !*got => {
                *got = true;
                self.distinct += 1;
            }
            _ => self.repeated += 1,
        }
    }

    fn missing(&self) -> u64 {
        (self.got.len() - self.distinct) as u64
    }
}

/// One client; times in nanoseconds, `None` if it did not come so far.
struct Progress {
    connack: Option<u64>,
    drained: Option<u64>,
    seen: Seen,
    /// Attempts that failed.
    attempts: u64,
    /// Held until all are drained.
    connection: Option<Client>,
}

async fn client(plan: Plan, number: u32, begin: Instant) -> Progress {
    let mut progress = Progress {
        connack: None,
        drained: None,
        seen: Seen::new(&plan),
        attempts: 0,
        connection: None,
    };
    let work = async {
        while attempt(&plan, number, begin, &mut progress).await.is_err() {
            progress.attempts += 1;
            sleep(PAUSE).await;
        }
    };
    // What is missing then is told by `progress`.
    let _ = timeout_at(tokio::time::Instant::from_std(begin + LIMIT), work).await;
    progress
}

/// Connects, reads and acknowledges until nothing is missing.
async fn attempt(
    plan: &Plan,
    number: u32,
    begin: Instant,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let since = || begin.elapsed().as_nanos() as u64;
    let connect = packet::connect(&client_id(number), false);
    let mut connection = Client::open(plan.node(number), &connect).await?;
    progress.connack.get_or_insert_with(since);
    let seen = &mut progress.seen;
    while seen.missing() > 0 {
        let open = connection
            .turn(|packet, out| seen.packet(packet, out))
            .await?;
        anyhow::ensure!(open || seen.missing() == 0, "the broker closed");
    }
    progress.drained = Some(since());
    connection.flush().await?;
    progress.connection = Some(connection);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let node = SocketAddr::from(([127, 0, 0, 1], 1883));
        Plan {
            run: 7,
            sessions: 25,
            queued: 2,
            share: 10,
            payload_bytes: 64,
            nodes: [node; 3],
        }
    }

    #[test]
    fn the_last_group_may_be_smaller() {
        let plan = plan();
        assert_eq!(plan.groups(), 3);
        assert_eq!((plan.sessions - 1) / plan.share, 2);
        assert_eq!(plan.entries(), 50);
    }

    #[test]
    fn a_message_of_another_run_and_a_second_one_do_not_count() {
        let mut seen = Seen::new(&plan());
        let mut out = Vec::new();
        for (run, number) in [(7, 1), (6, 0), (7, 1), (7, 2)] {
            let stamp = Stamp {
                publisher: run,
                number,
                due: 0,
            };
            let mut message = Vec::new();
            Template::new("drain/0", 1, 64).put(&mut message, 5, stamp);
            let mut input = message.as_slice();
            seen.packet(packet::take(&mut input).unwrap().unwrap(), &mut out);
        }
        assert_eq!((seen.missing(), seen.repeated), (1, 3));
        assert_eq!(out, [0x40, 2, 0, 5].repeat(4));
    }
}
