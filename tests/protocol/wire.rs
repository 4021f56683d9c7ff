//! Packets byte by byte, for what the client of the harness would not send.

use mqtt::ProtocolVersion;

use crate::Raw;

/// A packet with the Remaining Length that its parts have.
pub fn frame(first_byte: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![first_byte];
    packet.extend(variable(body.len()));
    packet.extend(body);
    packet
}

fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7F).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Bytes with their length in front of them: a string, or what should be one.
pub fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

/// Properties with their length in front of them; nothing before MQTT 5.
pub fn properties(version: ProtocolVersion, bytes: &[u8]) -> Vec<u8> {
    match version {
        ProtocolVersion::V5 => [variable(bytes.len()), bytes.to_vec()].concat(),
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => Vec::new(),
    }
}

/// CONNECT without properties and with a keep-alive of a minute.
pub fn connect(version: ProtocolVersion, flags: u8, payload: &[u8]) -> Vec<u8> {
    connect_with(version, flags, &[], payload)
}

/// CONNECT with properties, where the version has them.
pub fn connect_with(version: ProtocolVersion, flags: u8, of: &[u8], payload: &[u8]) -> Vec<u8> {
    let name = field(version.protocol_name().as_bytes());
    let properties = properties(version, of);
    let rest = [version.level(), flags, 0, 60];
    frame(0x10, &[&name, &rest, &properties, payload])
}

impl Raw {
    /// A connection whose CONNECT, with Clean Start, was accepted.
    pub async fn connected(
        address: std::net::SocketAddr,
        version: ProtocolVersion,
        client_id: &str,
    ) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(&connect(version, 2, &field(client_id.as_bytes())))
            .await;
        let connack = raw.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
        raw
    }

    /// The next packet of the server, fixed header included.
    pub async fn packet(&mut self) -> Vec<u8> {
        let mut packet = self.read(2).await;
        let mut length = usize::from(packet[1] & 0x7F);
        let mut shift = 7;
        while packet[packet.len() - 1] & 0x80 != 0 {
            let next = self.read(1).await[0];
            length |= usize::from(next & 0x7F) << shift;
            shift += 7;
            packet.push(next);
        }
        packet.extend(self.read(length).await);
        packet
    }
}
