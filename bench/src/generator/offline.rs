//! Scenario O1: messages for persistent sessions whose clients are away, then all come back.

use std::time::Duration;

use super::{
    BATCH_BYTES, Broker, PATIENCE, Problems, at,
    engine::{Engine, Handler},
    ledger::{Every, Verdict},
    sender::Sender,
    standstill::Standstill,
};
use crate::{
    cpu::Usage,
    histogram::Histogram,
    packet::{self, Packet, Template},
    report::Figures,
};

/// Connections on their way at one time.
const CONNECTING: usize = 50;
/// How long the drain may stand still.
const DRAIN: Duration = Duration::from_secs(5);
/// Between the phases.
const PAUSE: Duration = Duration::from_millis(500);
/// What the broker does after the last delivery belongs to the drain.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// Sessions, and messages for each of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offline {
    pub(crate) sessions: usize,
    /// For each of them, QoS 1.
    pub(crate) messages: u32,
    pub(crate) payload_bytes: usize,
    pub(crate) publishers: usize,
    /// Unacknowledged messages of each.
    pub(crate) unacknowledged: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Subscribe,
    Publish,
    Drain,
    Remove,
}

/// Sessions have the first places, in order; the publishers follow.
#[derive(Debug)]
struct Run<'a> {
    plan: &'a Offline,
    broker: &'a Broker,
    phase: Phase,
    senders: Vec<Sender>,
    /// Publisher and the numbers of its session's messages: what came.
    ledger: Every,
    done: usize,
    present: usize,
    leaving: Vec<usize>,
    arrived: u64,
    repeated: u64,
    late: u64,
    alien: u64,
    last: u64,
    acknowledgement: Histogram,
    problems: Problems,
}

impl Offline {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If a connection fails, or publishing stands still.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        broker.reset_peak();
        let mut engine = Engine::new()?;
        let mut run = Run::new(self, broker);
        run.connect_sessions(&mut engine)?;
        std::thread::sleep(PAUSE);

        run.phase = Phase::Publish;
        run.connect_publishers(&mut engine)?;
        let (begin, before) = (engine.now(), broker.meter.read());
        run.publish(&mut engine)?;
        let publish_seconds = (engine.now() - begin) as f64 / 1e9;
        let published = broker.meter.read().since(&before);
        for place in self.sessions..engine.len() {
            engine.disconnect(place);
        }
        std::thread::sleep(PAUSE);

        run.phase = Phase::Drain;
        let (begin, before) = (engine.now(), broker.meter.read());
        run.connect_sessions(&mut engine)?;
        run.drain(&mut engine)?;
        let drain_seconds = run.last.saturating_sub(begin) as f64 / 1e9;
        let drained = broker.meter.read().since(&before);
        let peak = broker.peak_kb();
        engine.disconnect_all();
        if broker.tidy {
            run.phase = Phase::Remove;
            run.connect_sessions(&mut engine)?;
        }
        Ok(run.figures(
            (&published, publish_seconds),
            (&drained, drain_seconds),
            peak,
        ))
    }
}

impl<'a> Run<'a> {
    fn new(plan: &'a Offline, broker: &'a Broker) -> Self {
        Self {
            plan,
            broker,
            phase: Phase::Subscribe,
            senders: Vec::new(),
            ledger: Every::new(plan.sessions, 1),
            done: 0,
            present: 0,
            leaving: Vec::new(),
            arrived: 0,
            repeated: 0,
            late: 0,
            alien: 0,
            last: 0,
            acknowledgement: Histogram::default(),
            problems: Problems::default(),
        }
    }

    fn topic(&self, session: usize) -> String {
        format!("{}/away/{session}", self.broker.prefix)
    }

    /// Connects all sessions, again if they were there, and waits until they have what they want.
    fn connect_sessions(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.done = 0;
        let again = engine.len() >= self.plan.sessions;
        let deadline = engine.now() + PATIENCE.as_nanos() as u64;
        let (mut next, tls) = (0, self.broker.tls.clone());
        while self.done < self.plan.sessions {
            while next < self.plan.sessions && next - self.done < CONNECTING {
                let host = at(&self.broker.subscribe_at, next)?;
                if again {
                    engine.reconnect(next, host, None, tls.as_ref())?;
                } else {
                    engine.connect(host, None, tls.as_ref())?;
                }
                next += 1;
            }
            engine.poll(20_000_000, self)?;
            for place in std::mem::take(&mut self.leaving) {
                engine.disconnect(place);
            }
            self.problems.none()?;
            anyhow::ensure!(engine.now() < deadline, "not all sessions came up");
        }
        Ok(())
    }

    fn connect_publishers(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        for number in 0..self.plan.publishers {
            // The topic changes from message to message, so the templates are the sessions'.
            let template = Template::new("", 1, self.plan.payload_bytes);
            let limit = self.plan.unacknowledged;
            let mut sender = Sender::new(number as u32, 1, template, 1, limit);
            let host = at(&self.broker.publish_at, number)?;
            sender.place = engine.connect(host, None, self.broker.tls.as_ref())?;
            self.senders.push(sender);
        }
        let deadline = engine.now() + PATIENCE.as_nanos() as u64;
        while !self.senders.iter().all(|sender| sender.ready) {
            engine.poll(20_000_000, self)?;
            self.problems.none()?;
            anyhow::ensure!(engine.now() < deadline, "not all publishers came up");
        }
        Ok(())
    }

    fn publish(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let payload = self.plan.payload_bytes;
        let template = |session| Template::new(&self.topic(session), 1, payload);
        let templates: Vec<Template> = (0..self.plan.sessions).map(template).collect();
        // Publisher i serves the sessions i, i + publishers, ..., one message to each in turn.
        let step = self.senders.len().max(1);
        let mut progress: Vec<(usize, u32)> = (0..step).map(|first| (first, 0)).collect();
        let mut standstill = Standstill::new(engine.now());
        loop {
            for (sender, (session, number)) in self.senders.iter_mut().zip(&mut progress) {
                let (place, now) = (sender.place, engine.now());
                if engine.is_blocked(place) {
                    continue;
                }
                let Some(out) = engine.out(place) else {
                    continue;
                };
                while *number < self.plan.messages && sender.has_room() && out.len() < BATCH_BYTES {
                    let Some(template) = templates.get(*session) else {
                        break;
                    };
                    sender.put_as(template, out, (*session as u32, *number), now);
                    *session += step;
                    if *session >= self.plan.sessions {
                        *session = sender.number as usize;
                        *number += 1;
                    }
                }
            }
            for at in 0..self.senders.len() {
                engine.flush(self.plan.sessions + at, self);
            }
            self.problems.none()?;
            let (sent, waiting) = (self.sent(), self.unacknowledged());
            if sent >= self.wanted() && waiting == 0 {
                return Ok(());
            }
            let still = standstill.lasts(sent + waiting, engine.now());
            anyhow::ensure!(still < PATIENCE, "publishing stands still");
            engine.poll(5_000_000, self)?;
        }
    }

    fn drain(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let mut standstill = Standstill::new(engine.now());
        while self.arrived < self.wanted() {
            engine.poll(20_000_000, self)?;
            if standstill.lasts(self.arrived + self.repeated, engine.now()) > DRAIN {
                break;
            }
        }
        let end = engine.now() + AFTERWARDS.as_nanos() as u64;
        while engine.now() < end {
            engine.poll(20_000_000, self)?;
        }
        Ok(())
    }

    fn wanted(&self) -> u64 {
        self.plan.sessions as u64 * u64::from(self.plan.messages)
    }

    fn sent(&self) -> u64 {
        self.senders
            .iter()
            .map(|sender| u64::from(sender.sent))
            .sum()
    }

    fn unacknowledged(&self) -> u64 {
        let all = self.senders.iter();
        all.map(|sender| sender.unacknowledged as u64).sum()
    }

    fn figures(
        &self,
        (published, publish_seconds): (&Usage, f64),
        (drained, drain_seconds): (&Usage, f64),
        peak: [f64; 2],
    ) -> Figures {
        let (sent, arrived) = (self.sent() as f64, self.arrived as f64);
        let [publish_us, publish_helper_us] = self.broker.costs(published, sent);
        let [drain_us, drain_helper_us] = self.broker.costs(drained, arrived);
        let [peak_all, peak_largest] = peak;
        let others = (published.others + drained.others) / (published.seconds + drained.seconds);
        Figures(vec![
            ("sent", sent),
            ("delivered", arrived),
            ("lost", sent - arrived),
            ("dups", self.repeated as f64),
            ("out_of_order", self.late as f64),
            ("alien", self.alien as f64),
            ("failures", self.problems.count as f64),
            ("sessions_present", self.present as f64),
            ("publish_per_s", sent / publish_seconds),
            ("ack_p50_ms", self.acknowledgement.quantile_ms(0.5)),
            ("ack_p99_ms", self.acknowledgement.quantile_ms(0.99)),
            ("drain_s", drain_seconds),
            ("drain_per_s", arrived / drain_seconds),
            ("cpu_us_per_publish", publish_us),
            ("cpu_us_per_drained", drain_us),
            ("aux_us_per_publish", publish_helper_us),
            ("aux_us_per_drained", drain_helper_us),
            ("cpu_us_per_msg", publish_us + drain_us),
            ("rss_peak_kb", peak_all),
            ("rss_largest_kb", peak_largest),
            ("other_cores", others),
        ])
    }

    fn message(&mut self, session: usize, packet: &Packet<'_>, now: u64) {
        let stamp = packet.publish().map(|(_, stamp)| stamp);
        let own = stamp.filter(|stamp| stamp.publisher as usize == session);
        let verdict = own.and_then(|stamp| self.ledger.take(session, 0, stamp.number));
        match verdict {
            Some(Verdict::New) => self.arrived += 1,
            Some(Verdict::Late) => {
                self.arrived += 1;
                self.late += 1;
            }
            Some(Verdict::Again) => self.repeated += 1,
            None => self.alien += 1,
        }
        self.last = now;
    }

    fn name(&self, place: usize) -> String {
        match place.checked_sub(self.plan.sessions) {
            None => format!("session {place}"),
            Some(publisher) => format!("publisher {publisher}"),
        }
    }

    fn accepted(&mut self, place: usize, packet: &Packet<'_>, out: &mut Vec<u8>) {
        if let Some(publisher) = place.checked_sub(self.plan.sessions) {
            if let Some(sender) = self.senders.get_mut(publisher) {
                sender.ready = true;
            }
            return;
        }
        match (self.phase, packet.kind()) {
            (Phase::Subscribe, packet::CONNACK) => {
                out.extend_from_slice(&packet::subscribe(&self.topic(place), 1));
                return;
            }
            (Phase::Drain, _) => self.present += usize::from(packet.session_is_present()),
            _ => self.leaving.push(place),
        }
        self.done += 1;
    }
}

impl Handler for Run<'_> {
    fn opened(&mut self, place: usize, out: &mut Vec<u8>) {
        let (name, clean) = match place.checked_sub(self.plan.sessions) {
            None => (format!("o{place}"), self.phase == Phase::Remove),
            Some(publisher) => (format!("p{publisher}"), true),
        };
        self.broker.put_connect(out, &name, clean);
    }

    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, out: &mut Vec<u8>) {
        packet::put_answer(out, &packet);
        match packet.kind() {
            packet::PUBLISH if place < self.plan.sessions => self.message(place, &packet, now),
            packet::PUBACK => {
                let packet_id = packet.packet_id().unwrap_or_default();
                let publisher = place.checked_sub(self.plan.sessions);
                let sender = publisher.and_then(|at| self.senders.get_mut(at));
                match sender.and_then(|sender| sender.acknowledged(packet_id, now)) {
                    Some(took) => self.acknowledgement.add(took),
                    None => self.alien += 1,
                }
            }
            packet::CONNACK | packet::SUBACK => {
                let name = self.name(place);
                if self.problems.check(&name, &packet) {
                    self.accepted(place, &packet, out);
                }
            }
            _ => {}
        }
    }

    fn closed(&mut self, place: usize, why: &str) {
        let name = self.name(place);
        self.problems.add(format!("{name}: {why}"));
    }
}
