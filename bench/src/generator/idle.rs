//! Scenario C1: many connections that do nothing.

use std::time::Duration;

use super::{
    Broker, PATIENCE, PER_SOURCE, Problems, allow_files, at,
    engine::{Engine, Handler},
    source,
    standstill::Standstill,
};
use crate::{
    histogram::Histogram,
    packet::{self, Packet},
    report::Figures,
};

/// Files that are open besides the connections.
const OTHER_FILES: u64 = 200;
/// Until the broker has taken notice of the end of all.
const CLOSING: Duration = Duration::from_millis(1500);

/// Connections that are opened and held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Idle {
    pub(crate) connections: usize,
    /// Handshakes at one time.
    pub(crate) parallel: usize,
    /// From the last CONNACK until the CPU time of the idle broker is read.
    pub(crate) settle: Duration,
    pub(crate) hold: Duration,
}

#[derive(Debug)]
struct Run<'a> {
    broker: &'a Broker,
    begun_at: Vec<u64>,
    up: usize,
    last: u64,
    connack: Histogram,
    problems: Problems,
}

impl Idle {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If not all connections come up, or one ends by itself.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        allow_files(self.connections as u64 + OTHER_FILES)?;
        broker.reset_peak();
        let mut engine = Engine::new()?;
        let mut run = Run {
            broker,
            begun_at: Vec::with_capacity(self.connections),
            up: 0,
            last: 0,
            connack: Histogram::default(),
            problems: Problems::default(),
        };
        let (empty_kb, before) = (broker.resident_kb(), broker.meter.read());
        let begin = engine.now();
        self.connect(&mut run, &mut engine)?;
        let connecting = broker.meter.read().since(&before);
        let seconds = run.last.saturating_sub(begin) as f64 / 1e9;
        run.pause(&mut engine, self.settle)?;
        let idle = broker.meter.read();
        run.pause(&mut engine, self.hold)?;
        let (idle, full_kb) = (broker.meter.read().since(&idle), broker.resident_kb());
        run.problems.none()?;
        engine.disconnect_all();
        std::thread::sleep(CLOSING);

        let count = run.up as f64;
        let [connect_us, helper_us] = broker.costs(&connecting, count);
        let known = |value: f64| if full_kb.is_nan() { f64::NAN } else { value };
        let [peak_all, peak_largest] = broker.peak_kb();
        Ok(Figures(vec![
            ("connected", count),
            ("connects_per_s", count / seconds),
            ("connack_p50_ms", run.connack.quantile_ms(0.5)),
            ("connack_p99_ms", run.connack.quantile_ms(0.99)),
            ("connack_max_ms", run.connack.maximum_ms()),
            ("cpu_us_per_conn", connect_us),
            ("aux_us_per_conn", helper_us),
            ("gen_us_per_conn", connecting.generator * 1e6 / count),
            ("rss_before_kb", empty_kb),
            ("rss_after_kb", full_kb),
            ("rss_closed_kb", broker.resident_kb()),
            ("rss_peak_kb", peak_all),
            ("rss_largest_kb", peak_largest),
            ("kb_per_conn", (full_kb - empty_kb) / count),
            ("idle_cores", known(idle.brokers / idle.seconds)),
            ("idle_aux_cores", known(idle.database / idle.seconds)),
            ("other_cores", connecting.others / connecting.seconds),
        ]))
    }

    fn connect(&self, run: &mut Run<'_>, engine: &mut Engine) -> anyhow::Result<()> {
        let hosts = &run.broker.connect_at;
        let (mut next, mut standstill) = (0, Standstill::new(engine.now()));
        while run.up < self.connections {
            while next < self.connections && next - run.up < self.parallel {
                let from = source(hosts, next / hosts.len().max(1));
                let from = from.filter(|_| self.connections > PER_SOURCE);
                run.begun_at.push(engine.now());
                engine.connect(at(hosts, next)?, from, run.broker.tls.as_ref())?;
                next += 1;
            }
            engine.poll(50_000_000, run)?;
            run.problems.none()?;
            anyhow::ensure!(
                standstill.lasts(run.up as u64, engine.now()) < PATIENCE,
                "only {} of {} connections came up",
                run.up,
                self.connections
            );
        }
        Ok(())
    }
}

impl Run<'_> {
    fn pause(&mut self, engine: &mut Engine, length: Duration) -> anyhow::Result<()> {
        let end = engine.now() + length.as_nanos() as u64;
        while engine.now() < end {
            engine.poll(20_000_000, self)?;
        }
        Ok(())
    }

    fn name(&self, place: usize) -> String {
        let host = at(&self.broker.connect_at, place);
        let host = host.map_or_else(|_| String::new(), |host| host.to_string());
        format!("{host}: connection {place}")
    }
}

impl Handler for Run<'_> {
    fn opened(&mut self, place: usize, out: &mut Vec<u8>) {
        self.broker.put_connect(out, &format!("c{place}"), true);
    }

    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, _: &mut Vec<u8>) {
        let name = self.name(place);
        if self.problems.check(&name, &packet) && packet.kind() == packet::CONNACK {
            let begun_at = self.begun_at.get(place).copied().unwrap_or(now);
            self.connack.add(now.saturating_sub(begun_at));
            self.up += 1;
            self.last = now;
        }
    }

    fn closed(&mut self, place: usize, why: &str) {
        let name = self.name(place);
        self.problems.add(format!("{name}: {why}"));
    }
}
