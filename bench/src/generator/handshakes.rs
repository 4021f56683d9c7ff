//! Scenarios H1 and H2: connections that come and go, as fast as they can.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{ClientConfig, client::Resumption};

use super::{
    Broker, Problems, Tls, at,
    engine::{Engine, Handler},
    source,
};
use crate::{
    histogram::Histogram,
    packet::{self, Packet},
    report::Figures,
};

/// A port rests for a minute after its connection has ended, so sources change so many times as often.
const MORE_SOURCES: usize = 2;

/// Clients that connect, wait for CONNACK, disconnect and connect again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Handshakes {
    pub(crate) clients: usize,
    /// Whether a client's TLS session is resumed by its next connection.
    pub(crate) resumed: bool,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

#[derive(Debug)]
struct Run<'a> {
    broker: &'a Broker,
    begun_at: Vec<u64>,
    ended: Vec<usize>,
    done: u64,
    resumed: u64,
    measures: bool,
    connack: Histogram,
    problems: Problems,
}

impl Handshakes {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If there is no TLS, or a connection fails.
    pub(crate) fn run(&self, broker: &Broker) -> anyhow::Result<Figures> {
        let trust = broker.tls.as_ref();
        let trust = trust.context("handshakes are those of TLS: it must be on")?;
        broker.reset_peak();
        let mut engine = Engine::new()?;
        let mut load = Load {
            // Each client knows its own sessions only, or none.
            configs: (0..self.clients).map(|_| self.own(trust)).collect(),
            connections: 0,
        };
        let mut run = Run {
            broker,
            begun_at: vec![0; self.clients],
            ended: Vec::new(),
            done: 0,
            resumed: 0,
            measures: false,
            connack: Histogram::default(),
            problems: Problems::default(),
        };
        for client in 0..self.clients {
            load.connect(&mut run, &mut engine, client)?;
        }
        load.turn(&mut run, &mut engine, self.warm_up)?;
        let before = broker.meter.read();
        run.measures = true;
        load.turn(&mut run, &mut engine, self.measured)?;
        let usage = broker.meter.read().since(&before);
        engine.disconnect_all();

        let count = run.done as f64;
        let [broker_us, helper_us] = broker.costs(&usage, count);
        let [peak_all, peak_largest] = broker.peak_kb();
        Ok(Figures(vec![
            ("measured_s", usage.seconds),
            ("handshakes_per_s", count / usage.seconds),
            ("resumed_share", run.resumed as f64 / count),
            ("connack_p50_ms", run.connack.quantile_ms(0.5)),
            ("connack_p99_ms", run.connack.quantile_ms(0.99)),
            ("cpu_us_per_handshake", broker_us),
            ("aux_us_per_handshake", helper_us),
            ("gen_us_per_handshake", usage.generator * 1e6 / count),
            ("broker_cores", usage.brokers / usage.seconds),
            ("gen_cores", usage.generator / usage.seconds),
            ("other_cores", usage.others / usage.seconds),
            ("rss_peak_kb", peak_all),
            ("rss_largest_kb", peak_largest),
        ]))
    }

    fn own(&self, tls: &Tls) -> Tls {
        let mut config = ClientConfig::clone(&tls.config);
        config.resumption = match self.resumed {
            true => Resumption::in_memory_sessions(8),
            false => Resumption::disabled(),
        };
        Tls {
            config: Arc::new(config),
            name: tls.name.clone(),
        }
    }
}

/// The connections that are opened.
struct Load {
    configs: Vec<Tls>,
    connections: usize,
}

impl Load {
    fn connect(
        &mut self,
        run: &mut Run<'_>,
        engine: &mut Engine,
        client: usize,
    ) -> anyhow::Result<()> {
        let hosts = &run.broker.connect_at;
        let to = at(hosts, client)?;
        let from = source(hosts, self.connections * MORE_SOURCES);
        let config = self.configs.get(client);
        if client < engine.len() {
            engine.reconnect(client, to, from, config)?;
        } else {
            engine.connect(to, from, config)?;
        }
        if let Some(begun_at) = run.begun_at.get_mut(client) {
            *begun_at = engine.now();
        }
        self.connections += 1;
        Ok(())
    }

    fn turn(
        &mut self,
        run: &mut Run<'_>,
        engine: &mut Engine,
        length: Duration,
    ) -> anyhow::Result<()> {
        let end = engine.now() + length.as_nanos() as u64;
        while engine.now() < end {
            engine.poll(20_000_000, run)?;
            run.problems.none()?;
            for client in std::mem::take(&mut run.ended) {
                if run.measures {
                    run.done += 1;
                    run.resumed += u64::from(engine.is_resumed(client));
                }
                engine.disconnect(client);
                self.connect(run, engine, client)?;
            }
        }
        Ok(())
    }
}

impl Handler for Run<'_> {
    fn opened(&mut self, place: usize, out: &mut Vec<u8>) {
        self.broker.put_connect(out, &format!("h{place}"), true);
    }

    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, _: &mut Vec<u8>) {
        let name = format!("client {place}");
        if self.problems.check(&name, &packet) && packet.kind() == packet::CONNACK {
            if self.measures {
                let begun_at = self.begun_at.get(place).copied().unwrap_or(now);
                self.connack.add(now.saturating_sub(begun_at));
            }
            self.ended.push(place);
        }
    }

    fn closed(&mut self, place: usize, why: &str) {
        self.problems.add(format!("client {place}: {why}"));
    }
}
