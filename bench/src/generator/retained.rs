//! Scenario R1: many retained messages, then one subscriber to all of them.

use std::time::Duration;

use super::{
    BATCH_BYTES, Broker, PATIENCE, Problems, at,
    engine::{Engine, Handler},
    ledger::mark,
    sender::Sender,
    standstill::Standstill,
};
use crate::{
    cpu::Usage,
    packet::{self, Packet, Template},
    report::Figures,
};

/// How long the delivery may stand still.
const DRAIN: Duration = Duration::from_secs(5);
const TOPICS_PER_BRANCH: usize = 1000;

/// Retained messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retained {
    pub(crate) topics: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) publishers: usize,
    /// Unacknowledged messages of each.
    pub(crate) unacknowledged: u16,
}

/// Publishers have the first places; the subscriber follows.
#[derive(Debug)]
struct Run<'a> {
    plan: &'a Retained,
    broker: &'a Broker,
    senders: Vec<Sender>,
    ready: usize,
    answered: bool,
    seen: Vec<u64>,
    arrived: u64,
    repeated: u64,
    alien: u64,
    unflagged: u64,
    first: u64,
    last: u64,
    problems: Problems,
}

impl Retained {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If a connection fails, or publishing stands still.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        broker.reset_peak();
        let mut engine = Engine::new()?;
        let mut run = Run {
            plan: self,
            broker,
            senders: Vec::new(),
            ready: 0,
            answered: false,
            seen: Vec::new(),
            arrived: 0,
            repeated: 0,
            alien: 0,
            unflagged: 0,
            first: 0,
            last: 0,
            problems: Problems::default(),
        };
        run.connect(&mut engine)?;
        let empty_kb = broker.resident_kb();
        let (begin, before) = (engine.now(), broker.meter.read());
        run.publish(&mut engine)?;
        let set_seconds = (engine.now() - begin) as f64 / 1e9;
        let set = broker.meter.read().since(&before);
        run.pause(&mut engine, Duration::from_secs(1))?;
        let full_kb = broker.resident_kb();

        let (begin, before) = (engine.now(), broker.meter.read());
        run.subscribe(&mut engine)?;
        let got = broker.meter.read().since(&before);
        let peak = broker.peak_kb();
        engine.disconnect(self.publishers);
        if broker.tidy {
            run.remove(&mut engine)?;
        }
        engine.disconnect_all();
        let mut figures = run.figures((&set, set_seconds), &got, begin);
        let [peak_all, peak_largest] = peak;
        figures.0.extend([
            ("kb_per_topic", (full_kb - empty_kb) / self.topics as f64),
            ("rss_peak_kb", peak_all),
            ("rss_largest_kb", peak_largest),
        ]);
        Ok(figures)
    }
}

impl Run<'_> {
    fn topic(&self, at: usize) -> String {
        let (branch, leaf) = (at / TOPICS_PER_BRANCH, at % TOPICS_PER_BRANCH);
        format!("{}/kept/{branch}/{leaf}", self.broker.prefix)
    }

    fn connect(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let tls = self.broker.tls.as_ref();
        for number in 0..self.plan.publishers {
            let template = Template::new("", 1, self.plan.payload_bytes);
            let limit = self.plan.unacknowledged;
            let mut sender = Sender::new(number as u32, 1, template, 1, limit);
            sender.place = engine.connect(at(&self.broker.publish_at, number)?, None, tls)?;
            self.senders.push(sender);
        }
        engine.connect(at(&self.broker.subscribe_at, 0)?, None, tls)?;
        let deadline = engine.now() + PATIENCE.as_nanos() as u64;
        while self.ready < engine.len() {
            engine.poll(20_000_000, self)?;
            self.problems.none()?;
            anyhow::ensure!(engine.now() < deadline, "not all connections came up");
        }
        Ok(())
    }

    fn pause(&mut self, engine: &mut Engine, length: Duration) -> anyhow::Result<()> {
        let end = engine.now() + length.as_nanos() as u64;
        while engine.now() < end {
            engine.poll(20_000_000, self)?;
        }
        self.problems.none()
    }

    fn publish(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let step = self.senders.len().max(1);
        let mut next: Vec<usize> = (0..step).collect();
        let mut standstill = Standstill::new(engine.now());
        loop {
            let mut senders = std::mem::take(&mut self.senders);
            for (sender, next) in senders.iter_mut().zip(&mut next) {
                let (place, now) = (sender.place, engine.now());
                if engine.is_blocked(place) {
                    continue;
                }
                let Some(out) = engine.out(place) else {
                    continue;
                };
                while *next < self.plan.topics && sender.has_room() && out.len() < BATCH_BYTES {
                    let topic = self.topic(*next);
                    let template = Template::new(&topic, 1, self.plan.payload_bytes).retained();
                    sender.put_as(&template, out, (*next as u32, 0), now);
                    *next += step;
                }
            }
            self.senders = senders;
            for place in 0..self.senders.len() {
                engine.flush(place, self);
            }
            self.problems.none()?;
            let sent: u64 = self
                .senders
                .iter()
                .map(|sender| u64::from(sender.sent))
                .sum();
            let waiting: u64 = self
                .senders
                .iter()
                .map(|sender| sender.unacknowledged as u64)
                .sum();
            if sent >= self.plan.topics as u64 && waiting == 0 {
                return Ok(());
            }
            let still = standstill.lasts(sent + waiting, engine.now());
            anyhow::ensure!(still < PATIENCE, "publishing stands still");
            engine.poll(5_000_000, self)?;
        }
    }

    fn subscribe(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let filter = format!("{}/kept/#", self.broker.prefix);
        if let Some(out) = engine.out(self.plan.publishers) {
            out.extend_from_slice(&packet::subscribe(&filter, 0));
        }
        engine.flush(self.plan.publishers, self);
        let mut standstill = Standstill::new(engine.now());
        while self.arrived < self.plan.topics as u64 {
            engine.poll(20_000_000, self)?;
            self.problems.none()?;
            if standstill.lasts(self.arrived, engine.now()) > DRAIN {
                break;
            }
        }
        Ok(())
    }

    /// Removes the retained messages and waits until the broker has taken notice.
    fn remove(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let deadline = engine.now() + PATIENCE.as_nanos() as u64;
        let mut next = 0;
        let mut asked = false;
        while !self.answered && engine.now() < deadline {
            let Some(out) = engine.out(0) else {
                break;
            };
            while next < self.plan.topics && out.len() < BATCH_BYTES {
                packet::put_removal(out, &self.topic(next));
                next += 1;
            }
            if next == self.plan.topics && !asked {
                out.extend_from_slice(&packet::PINGREQ);
                asked = true;
            }
            if !engine.is_blocked(0) {
                engine.flush(0, self);
            }
            let wait = if asked || engine.is_blocked(0) {
                5_000_000
            } else {
                0
            };
            engine.poll(wait, self)?;
        }
        Ok(())
    }

    fn figures(&self, (set, set_seconds): (&Usage, f64), got: &Usage, begin: u64) -> Figures {
        let (topics, arrived) = (self.plan.topics as f64, self.arrived as f64);
        let [set_us, set_helper_us] = self.broker.costs(set, topics);
        let [got_us, got_helper_us] = self.broker.costs(got, arrived);
        let since = |time: u64| time.saturating_sub(begin) as f64 / 1e6;
        Figures(vec![
            ("delivered", arrived),
            ("lost", topics - arrived),
            ("dups", self.repeated as f64),
            ("not_flagged", self.unflagged as f64),
            ("alien", self.alien as f64),
            ("set_per_s", topics / set_seconds),
            ("first_ms", since(self.first)),
            ("deliver_ms", since(self.last)),
            ("delivered_per_s", arrived * 1e3 / since(self.last)),
            ("cpu_us_per_set", set_us),
            ("aux_us_per_set", set_helper_us),
            ("cpu_us_per_msg", got_us),
            ("aux_us_per_msg", got_helper_us),
            (
                "other_cores",
                (set.others + got.others) / (set.seconds + got.seconds),
            ),
        ])
    }

    fn message(&mut self, packet: &Packet<'_>, now: u64) {
        let topic = packet.publish().map(|(_, stamp)| stamp.publisher as usize);
        let Some(topic) = topic.filter(|topic| *topic < self.plan.topics) else {
            self.alien += 1;
            return;
        };
        if !packet.is_retained() {
            self.unflagged += 1;
        }
        if !mark(&mut self.seen, topic) {
            self.repeated += 1;
            return;
        }
        if self.first == 0 {
            self.first = now;
        }
        self.last = now;
        self.arrived += 1;
    }

    fn name(&self, place: usize) -> String {
        match place < self.plan.publishers {
            true => format!("publisher {place}"),
            false => "subscriber".to_owned(),
        }
    }
}

impl Handler for Run<'_> {
    fn opened(&mut self, place: usize, out: &mut Vec<u8>) {
        self.broker.put_connect(out, &format!("r{place}"), true);
    }

    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, out: &mut Vec<u8>) {
        packet::put_answer(out, &packet);
        match packet.kind() {
            packet::PUBLISH if place == self.plan.publishers => self.message(&packet, now),
            packet::PUBACK => {
                let packet_id = packet.packet_id().unwrap_or_default();
                let sender = self.senders.get_mut(place);
                if sender
                    .and_then(|sender| sender.acknowledged(packet_id, now))
                    .is_none()
                {
                    self.alien += 1;
                }
            }
            packet::CONNACK | packet::SUBACK => {
                let name = self.name(place);
                let accepted = self.problems.check(&name, &packet);
                self.ready += usize::from(accepted && packet.kind() == packet::CONNACK);
            }
            packet::PINGRESP => self.answered = true,
            _ => {}
        }
    }

    fn closed(&mut self, place: usize, why: &str) {
        let name = self.name(place);
        self.problems.add(format!("{name}: {why}"));
    }
}
