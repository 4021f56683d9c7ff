//! PINGREQ and PINGRESP (sections 3.12 and 3.13).

use mqtt::{Packet, ReasonCode, Side};

use crate::notation::packet;
use crate::*;

pub fn vectors() -> Vec<Vector> {
    ALL.into_iter()
        .flat_map(|version| {
            [
                exact(Side::Server, version, vec![0xC0, 0], Packet::PingReq),
                exact(Side::Client, version, vec![0xD0, 0], Packet::PingResp),
            ]
        })
        .collect()
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

/// B3
#[test]
fn a_ping_has_no_body() {
    for version in ALL {
        let malformed = ReasonCode::MalformedPacket;
        refuse(
            Side::Server,
            version,
            &packet(0xC0, "00"),
            malformed,
            "bytes after",
        );
        refuse(
            Side::Client,
            version,
            &packet(0xD0, "00"),
            malformed,
            "bytes after",
        );
    }
}
