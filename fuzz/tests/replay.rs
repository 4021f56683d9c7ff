//! Every input of `seeds/`, to start from or once a failure, passes its check.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, path::PathBuf};

use checks::{TARGETS, decoder, seeds};
use mqtt::{PacketType, ProtocolVersion, Side};

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target)
        .with_extension("txt");
    let text = std::fs::read_to_string(&path).unwrap();
    seeds::parse(&text).unwrap_or_else(|line| panic!("{} line {line}", path.display()))
}

#[test]
fn every_seed_passes_its_check() {
    for (target, check) in TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() > 5, "{target} has few seeds");
        for input in inputs {
            let result = std::panic::catch_unwind(|| check(&input));
            assert!(result.is_ok(), "{target}: {}", seeds::line(&input));
        }
    }
}

/// The search starts from every kind of packet, so that it need not find out their forms.
#[test]
fn the_seeds_have_every_packet_of_every_version() {
    let found: BTreeSet<_> = inputs("decoder")
        .iter()
        .filter_map(|input| decoder::first_packet(input))
        .map(|(side, version, packet)| (side == Side::Server, version as u8, packet))
        .collect();
    use PacketType as P;
    let both = [P::Publish, P::PubAck, P::PubRec, P::PubRel, P::PubComp];
    let to_server = [P::Connect, P::Subscribe, P::Unsubscribe, P::PingReq];
    let to_client = [P::ConnAck, P::SubAck, P::UnsubAck, P::PingResp];
    for version in [
        ProtocolVersion::V3_1,
        ProtocolVersion::V3_1_1,
        ProtocolVersion::V5,
    ] {
        let is_5 = version == ProtocolVersion::V5;
        for (is_server, of_side) in [(true, to_server), (false, to_client)] {
            let mut expected = [&both[..], &of_side].concat();
            if is_5 {
                expected.extend([P::Auth, P::Disconnect]);
            } else if is_server {
                expected.push(P::Disconnect);
            }
            for packet in expected {
                assert!(
                    found.contains(&(is_server, version as u8, packet)),
                    "{packet} {version:?} server: {is_server}"
                );
            }
        }
    }
}

/// A check that cannot fail finds nothing.
#[test]
fn a_line_that_is_no_input_is_told() {
    assert_eq!(seeds::parse("00ff # two bytes\n# none\n\n0"), Err(4));
    assert_eq!(
        seeds::parse("00ff # two bytes\n# none\n\n0a"),
        Ok(vec![vec![0, 255], vec![10]])
    );
}
