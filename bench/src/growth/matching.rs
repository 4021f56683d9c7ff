//! CPU per message with ever more subscriptions, of which one matches.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    ground::{self, Ground},
    wire::{self, Crowd},
};
use crate::{
    client::{Client, block_on},
    cpu::Meter,
    packet::{self, Stamp, Template},
    report::{Figures, Report, Table},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Numbers of subscriptions.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1000, 100_000])]
    subscriptions: Vec<u32>,
    /// Seconds measured with each.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds, of which the table holds the medians.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// Filters of one client; a node allows 10,000 by default.
const FILTERS: u32 = 1000;
/// Messages under way.
const WINDOW: u64 = 2000;
/// Topics that one publisher uses in turn: 1 is found in its cache, more than the cache holds are not.
const TOPICS: [u32; 2] = [1, 1000];

pub(super) fn run(
    arguments: &Arguments,
    ground: &mut Ground,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut rows = vec![
        ["subscriptions", "one topic, us", "1,000 topics, us"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (run, count) in arguments.subscriptions.iter().enumerate() {
        let (node, _) = ground.node(&format!("a{run}"))?;
        let meter = ground.meter(&[&node]);
        let filters = FILTERS.min(*count);
        let crowd = Crowd {
            name: "growth",
            at: node.address(),
            sessions: count / filters,
            filters,
            clean: true,
        };
        let mut seen = Vec::new();
        block_on(async {
            let _others = crowd.arrive().await?;
            for round in 1..=arguments.rounds {
                let mut figures = vec![("subscriptions", f64::from(*count))];
                for (topics, name) in TOPICS.into_iter().zip(["one_topic_us", "many_topics_us"]) {
                    let measured = Duration::from_secs(arguments.seconds);
                    let cost = publish(node.address(), &meter, topics, measured).await?;
                    figures.push((name, cost));
                }
                let figures = Figures(figures);
                report.round("growth matching", "one node", round, &figures)?;
                seen.push(figures);
            }
            Ok(())
        })?;
        let median = Figures::medians(&seen);
        rows.push(vec![
            count.to_string(),
            format!("{:.2}", median.get("one_topic_us")),
            format!("{:.2}", median.get("many_topics_us")),
        ]);
        ground::stop(node);
    }
    report.table(Table {
        title: "CPU of the node per message of QoS 0 that one of so many subscriptions matches"
            .to_owned(),
        rows,
    });
    Ok(())
}

/// Publishes to `topics` at full speed, and returns microseconds of the node per message.
async fn publish(
    at: SocketAddr,
    meter: &Meter,
    topics: u32,
    measured: Duration,
) -> anyhow::Result<f64> {
    let mut subscriber = Client::open(at, &packet::connect("growth-get", true)).await?;
    let mut publisher = Client::open(at, &packet::connect("growth-put", true)).await?;
    let filter = vec!["d/+/x/mine/#".to_owned()];
    subscriber
        .ask(&wire::subscribe(&filter, 0), packet::SUBACK)
        .await?;
    let templates: Vec<Template> = (0..topics)
        .map(|number| Template::new(&format!("d/{number}/x/mine/state"), 0, 16))
        .collect();
    let mut next = templates.iter().cycle();
    let stamp = Stamp {
        publisher: 0,
        number: 0,
        due: 0,
    };
    let (mut sent, mut received) = (0, 0);
    let warm = Instant::now() + Duration::from_secs(1);
    let mut begin = None;
    loop {
        if begin.is_none() && Instant::now() > warm {
            begin = Some((meter.read(), received));
        }
        if let Some((before, from)) = &begin
            && warm.elapsed() > measured
        {
            let usage = meter.read().since(before);
            return Ok(usage.brokers * 1e6 / f64::from(received - from));
        }
        // In halves of the window, so that neither side waits for the other.
        if u64::from(sent - received) <= WINDOW / 2 {
            for template in next.by_ref().take(WINDOW as usize / 2) {
                template.put(&mut publisher.out, 0, stamp);
                sent += 1;
            }
            publisher.flush().await?;
        }
        let is_open = subscriber
            .turn(|packet, _| received += u32::from(packet.kind() == packet::PUBLISH))
            .await?;
        anyhow::ensure!(is_open, "the broker closed");
    }
}
