//! Load for MQTT brokers, and what it costs them.
//!
//! `compare` starts mosquitto, one node and a cluster in turn and writes the table of
//! `docs/benchmark.md`; `load` puts the same scenarios on a broker that runs already; `cluster` measures what
//! crossing a cluster adds, and what happens when a node dies. Packets are made by hand (MQTT
//! 3.1.1), so that what measures the broker shares no code with it.

mod any_broker;
mod bed;
mod catalogue;
mod census;
mod client;
mod cluster;
mod compare;
mod connection;
mod cpu;
mod drain;
mod failover;
mod generator;
mod growth;
mod histogram;
mod load;
mod memory;
mod node;
mod packet;
mod peer;
mod postgres;
mod process;
mod publisher;
mod report;
mod scenario;
mod scratch;
mod storm;
mod subscriber;
mod tunnel;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

const HELP: &str = "\
Scenarios:
  S1  1 publisher to 1 subscriber, QoS 0, 16 B          2,000 messages under way
  S2  10 pairs, QoS 0, 256 B                            200 of each pair
  S3  1 publisher to 500 subscribers, QoS 0, 64 B       20 (10,000 deliveries)
  S4  100 publishers to 1 wildcard subscriber, QoS 1    2 of each publisher
  S5  10 pairs, QoS 1, 256 B                            100 of each pair
  S6  10 pairs, QoS 2, 256 B                            10 of each pair
  S7  10 pairs, QoS 1, 64 B: latency                    5,000 messages/s, whatever the broker does
  S8  10 publishers to a shared group of 10, QoS 1      40 of each publisher
  C1  17,000 idle connections                           100 handshakes at a time
  O1  100 persistent sessions, 200 messages each while away, then all reconnect
  R1  50,000 retained messages, then one subscriber to all of them
  T5, T7  S5 and S7 by TLS 1.3;  H1, H2  full and resumed TLS handshakes with CONNECT
  N2, N4, N8  S5 across two nodes of a cluster of 2, 4 and 8;  I3  three idle nodes   (compare only)

Units: CPU is the broker's, user and system, of all threads, in microseconds per message
delivered (cpu_us_per_msg). aux_us_per_msg is that of a database, gen_us_per_msg our own.
Latency (lat_*) is in milliseconds; at full speed it only restates how many messages
are under way, so use S7. Memory is in kB of 1,024 bytes: rss_peak_kb is the largest resident set.

Examples:
  causeway-bench                                        everything, 3 rounds, with a table
  causeway-bench compare --quick                        the same in less than three minutes
  causeway-bench compare --only S5,S7 --rounds 5
  causeway-bench load --hosts 127.0.0.1:1883 --scenario S5 --pid $(pidof mosquitto)
  causeway-bench load --hosts broker:8883 --tls --tls-name broker --ca ca.pem --user me --password secret --scenario T7
  causeway-bench load --pub-hosts a:1883 --sub-hosts b:1883 --scenario S2 --json results.jsonl
  causeway-bench cluster --only latency,storm --rounds 1
  causeway-bench growth subscriptions                   a cluster with much of everything

Exit status: 0 if all was measured, 1 if it could not be, 2 if the arguments are wrong.
Messages lost, repeated or out of order are shown with the figures, on standard error too.";

/// Puts load on MQTT brokers and measures what it costs them: CPU per message, latency, memory.
/// Without a subcommand it does what `compare` does
#[derive(Debug, Parser)]
#[command(name = "causeway-bench", version, after_help = HELP, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: compare::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(compare::Arguments),
    Load(any_broker::Arguments),
    Cluster(cluster::Arguments),
    Growth(growth::Arguments),
}

fn main() -> ExitCode {
    let CommandLine { command, compare } = CommandLine::parse();
    let result = match command.unwrap_or(Command::Compare(compare)) {
        Command::Compare(arguments) => arguments.run(),
        Command::Load(arguments) => arguments.run(),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Growth(arguments) => growth::run(&arguments),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    match error.downcast::<clap::Error>() {
        Ok(error) => {
            // Nobody may listen any more.
            let _ = error.format(&mut CommandLine::command()).print();
            ExitCode::from(2)
        }
        Err(error) => {
            report::tell(&format!("causeway-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn refused(line: &str) -> clap::Error {
        CommandLine::try_parse_from(line.split(' ')).unwrap_err()
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
        for scenario in catalogue::Scenario::ALL {
            assert!(HELP.contains(scenario.name()), "{scenario} is in the help");
        }
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let error = refused("causeway-bench load --scenario S9");
        assert_eq!(error.kind(), ErrorKind::InvalidValue);
        assert!(error.to_string().contains("'S9'"));
        let error = refused("causeway-bench load --scenario S1 --hosts nowhere");
        assert!(error.to_string().contains("'nowhere'"));
        let error = refused("causeway-bench load --scenario S1 --seconds 0");
        assert!(error.to_string().contains("--seconds"));
        let error = refused("causeway-bench load");
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        let error = refused("causeway-bench load --scenario T5 --tls");
        assert!(error.to_string().contains("--ca"));
        let error = refused("causeway-bench --only latency");
        assert!(error.to_string().contains("'latency'"));
    }

    #[test]
    fn without_a_subcommand_it_compares() {
        let line = CommandLine::try_parse_from(["causeway-bench", "--only", "s5,C1"]).unwrap();
        assert!(line.command.is_none());
    }
}
