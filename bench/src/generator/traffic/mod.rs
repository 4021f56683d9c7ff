//! Publishers and subscribers: scenarios S and those made of them.

mod figures;
mod receiving;

use std::time::Duration;

use super::{
    BATCH_BYTES, Broker, PATIENCE, Problems, at,
    engine::Engine,
    ledger::{Every, Group},
    sender::Sender,
    standstill::Standstill,
};
use crate::{histogram::Histogram, packet::Template, report::Figures};

/// Connections on their way at one time, so that no accept queue overflows.
const CONNECTING: usize = 64;
/// From the last SUBACK until the first message.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the drain may stand still.
const DRAIN: Duration = Duration::from_secs(2);
const MOST_UNACKNOWLEDGED: u16 = 10_000;
/// How long a poll waits when nothing else says.
const TURN: u64 = 5_000_000;
const STALL_CHECK: u64 = 50_000_000;

/// Who gets whose messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Publisher i to subscriber i.
    Pairs,
    /// Each publisher its topic, every subscriber all of them by a wildcard.
    FanIn,
    /// One topic, all to all.
    FanOut,
    /// As fan-in, with the subscribers in one shared subscription.
    Shared,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As fast as possible with so many messages of each publisher under way: not delivered to
    /// every subscriber, or not acknowledged.
    Window(usize),
    /// So many messages per second of all publishers together, whatever the broker does.
    Rate(f64),
}

/// A load of messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) pattern: Pattern,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    pub(crate) pace: Pace,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

impl Traffic {
    fn topic(&self, prefix: &str, publisher: usize) -> String {
        match self.pattern {
            Pattern::FanOut => format!("{prefix}/all"),
            _ => format!("{prefix}/{publisher}/v"),
        }
    }

    fn filter(&self, prefix: &str, subscriber: usize) -> String {
        match self.pattern {
            Pattern::FanOut => format!("{prefix}/all"),
            Pattern::Pairs => format!("{prefix}/{subscriber}/v"),
            Pattern::FanIn => format!("{prefix}/+/v"),
            Pattern::Shared => format!("$share/group/{prefix}/+/v"),
        }
    }

    /// How many deliveries one message leads to.
    fn copies(&self) -> u64 {
        match self.pattern {
            Pattern::Pairs | Pattern::Shared => 1,
            Pattern::FanIn | Pattern::FanOut => self.subscribers as u64,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// If not all connections come up. What goes wrong later is in the figures.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        broker.reset_peak();
        let mut engine = Engine::new()?;
        let mut run = Run::new(self, broker);
        run.connect_subscribers(&mut engine)?;
        run.connect_publishers(&mut engine)?;
        run.pause(&mut engine, SETTLE)?;

        run.begun_at = engine.now();
        run.sends = true;
        run.pause(&mut engine, self.warm_up)?;
        let before = broker.meter.read();
        run.measures = true;
        run.pause(&mut engine, self.measured)?;
        run.measures = false;
        let after = broker.meter.read();
        run.sends = false;
        let drain_seconds = run.drain(&mut engine)?;
        let peak = broker.peak_kb();
        engine.disconnect_all();
        for problem in &run.problems.first {
            crate::report::tell(problem);
        }
        Ok(run.figures(&before, &after, peak, drain_seconds))
    }
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Subscriber(usize),
    Publisher(usize),
    Bystander(usize),
}

/// What was seen in the measured time, and in all.
#[derive(Debug, Default)]
struct Seen {
    delivery: Histogram,
    acknowledgement: Histogram,
    lag: Histogram,
    sent: u64,
    delivered: u64,
    bytes: u64,
    repeated: u64,
    late: u64,
    alien: u64,
    forgiven: u64,
}

#[derive(Debug)]
struct Run<'a> {
    plan: &'a Traffic,
    broker: &'a Broker,
    roles: Vec<Role>,
    senders: Vec<Sender>,
    every: Every,
    group: Group,
    subscribed: usize,
    seen: Seen,
    problems: Problems,
    begun_at: u64,
    /// Messages of the schedule that were sent, and whose turn it is.
    scheduled: u64,
    turn: usize,
    check_at: u64,
    sends: bool,
    measures: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Traffic, broker: &'a Broker) -> Self {
        // Each subscriber of a pair knows one publisher.
        let known = match plan.pattern {
            Pattern::Pairs => 1,
            _ => plan.publishers,
        };
        let members = match plan.pattern {
            Pattern::Shared => plan.subscribers,
            _ => 0,
        };
        Self {
            plan,
            broker,
            roles: Vec::new(),
            senders: Vec::new(),
            every: Every::new(plan.subscribers, known),
            group: Group::new(members, plan.publishers),
            subscribed: 0,
            seen: Seen::default(),
            problems: Problems::default(),
            begun_at: 0,
            scheduled: 0,
            turn: 0,
            check_at: 0,
            sends: false,
            measures: false,
        }
    }

    fn connect_subscribers(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let aside = self.broker.bystanders_at.len();
        let all = aside + self.plan.subscribers;
        let mut next = 0;
        self.until(engine, |run, engine| {
            while next < all && next - run.subscribed < CONNECTING {
                let (role, host) = match next.checked_sub(aside) {
                    None => (Role::Bystander(next), at(&run.broker.bystanders_at, next)?),
                    Some(own) => (Role::Subscriber(own), at(&run.broker.subscribe_at, own)?),
                };
                run.roles.push(role);
                engine.connect(host, None, run.broker.tls.as_ref())?;
                next += 1;
            }
            Ok(run.subscribed == all)
        })
    }

    fn connect_publishers(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let limit = match self.plan.pace {
            Pace::Window(window) => u16::try_from(window).unwrap_or(MOST_UNACKNOWLEDGED),
            Pace::Rate(_) => MOST_UNACKNOWLEDGED,
        };
        for number in 0..self.plan.publishers {
            let topic = self.plan.topic(&self.broker.prefix, number);
            let template = Template::new(&topic, self.plan.qos, self.plan.payload_bytes);
            let copies = self.plan.copies();
            let mut sender = Sender::new(number as u32, self.plan.qos, template, copies, limit);
            let host = at(&self.broker.publish_at, number)?;
            self.roles.push(Role::Publisher(number));
            sender.place = engine.connect(host, None, self.broker.tls.as_ref())?;
            self.senders.push(sender);
        }
        self.until(engine, |run, _| {
            Ok(run.senders.iter().all(|sender| sender.ready))
        })
    }

    /// Polls until `done`.
    ///
    /// # Errors
    ///
    /// If anything goes wrong before, or after a minute.
    fn until(
        &mut self,
        engine: &mut Engine,
        mut done: impl FnMut(&mut Self, &mut Engine) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = engine.now() + PATIENCE.as_nanos() as u64;
        while !done(self, engine)? {
            self.problems.none()?;
            anyhow::ensure!(engine.now() < deadline, "not all connections came up");
            engine.poll(TURN, self)?;
        }
        self.problems.none()
    }

    /// Polls for so long, and sends if it is time to.
    fn pause(&mut self, engine: &mut Engine, length: Duration) -> anyhow::Result<()> {
        let end = engine.now() + length.as_nanos() as u64;
        loop {
            let now = engine.now();
            if now >= end {
                return Ok(());
            }
            let wait = match (self.sends, self.plan.pace) {
                (false, _) => TURN,
                (true, Pace::Window(window)) => self.send_window(engine, window, now),
                (true, Pace::Rate(rate)) => self.send_due(engine, rate, now),
            };
            engine.poll(wait.min(end - now), self)?;
        }
    }

    /// Sends what the window allows; returns how long nothing else is to do.
    fn send_window(&mut self, engine: &mut Engine, window: usize, now: u64) -> u64 {
        let check = now > self.check_at;
        if check {
            self.check_at = now + STALL_CHECK;
        }
        let mut wait = TURN;
        for at in 0..self.senders.len() {
            let Some(sender) = self.senders.get_mut(at) else {
                break;
            };
            let place = sender.place;
            let pending = engine.pending_bytes(place);
            if sender.gone || (engine.is_blocked(place) && pending > BATCH_BYTES) {
                continue;
            }
            if check {
                self.seen.forgiven += sender.forgive(now);
            }
            let (credit, room) = (sender.credit(window), sender.room(pending));
            if credit > room {
                wait = 0;
            }
            let Some(out) = engine.out(place).filter(|_| credit > 0) else {
                continue;
            };
            for _ in 0..credit.min(room) {
                if sender.put(out, now, now) && self.measures {
                    self.seen.sent += 1;
                }
            }
            if !engine.is_blocked(place) {
                engine.flush(place, self);
            }
        }
        // A full socket wakes us by itself.
        if self.senders.iter().all(|sender| sender.is_stuck(engine)) {
            wait = TURN;
        }
        wait
    }

    /// Sends what is due; returns how long until the next is.
    fn send_due(&mut self, engine: &mut Engine, rate: f64, now: u64) -> u64 {
        let due = (now.saturating_sub(self.begun_at) as f64 * rate / 1e9) as u64;
        let mut touched = Vec::new();
        while self.scheduled < due {
            let Some(sender) = self.senders.get_mut(self.turn) else {
                break;
            };
            if !sender.gone {
                let place = sender.place;
                if engine.pending_bytes(place) > 4 * BATCH_BYTES || !sender.has_room() {
                    break;
                }
                let when = self.begun_at + (self.scheduled as f64 * 1e9 / rate) as u64;
                if let Some(out) = engine.out(place) {
                    // A late sender counts as latency.
                    sender.put(out, when.min(now), now);
                }
                if self.measures {
                    self.seen.sent += 1;
                    self.seen.lag.add(now.saturating_sub(when));
                }
                touched.push(place);
            }
            self.scheduled += 1;
            self.turn = (self.turn + 1) % self.senders.len().max(1);
        }
        for place in touched {
            if !engine.is_blocked(place) && engine.pending_bytes(place) > 0 {
                engine.flush(place, self);
            }
        }
        let next = self.begun_at + ((self.scheduled + 1) as f64 * 1e9 / rate) as u64;
        next.saturating_sub(engine.now()).clamp(1000, TURN)
    }

    /// Waits until everything under way has arrived, or stands still. Returns the seconds.
    fn drain(&mut self, engine: &mut Engine) -> anyhow::Result<f64> {
        let begin = engine.now();
        let mut standstill = Standstill::new(begin);
        loop {
            self.pause(engine, Duration::from_millis(5))?;
            let unacknowledged = self.unacknowledged();
            let now = engine.now();
            let done = self.delivered() >= self.expected() && unacknowledged == 0;
            let state = self.delivered().wrapping_add(unacknowledged);
            let stands_still = standstill.lasts(state, now) > DRAIN;
            // Copies may come a little later.
            if (done && now - begin > 30_000_000) || stands_still {
                return Ok((now - begin) as f64 / 1e9);
            }
        }
    }

    fn unacknowledged(&self) -> u64 {
        let here = self.senders.iter().filter(|sender| !sender.gone);
        here.map(|sender| sender.unacknowledged as u64).sum()
    }

    fn delivered(&self) -> u64 {
        self.senders.iter().map(|sender| sender.delivered).sum()
    }

    fn expected(&self) -> u64 {
        let sent = self.senders.iter().map(|sender| u64::from(sender.sent));
        sent.sum::<u64>() * self.plan.copies()
    }
}
