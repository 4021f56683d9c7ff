//! Packets of MQTT 3.1.1, as far as load needs them, written and read by hand: what measures the
//! broker shares no code with it.

use bytes::BufMut as _;

/// The packet types that a server sends and we act upon: the high half of the first byte.
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const PINGRESP: u8 = 13;

/// Bytes of a payload that say who sent it, which one it is, and when.
const STAMP_BYTES: usize = 16;

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// CONNECT without keep-alive.
pub(crate) fn connect(client_id: &str, clean_session: bool) -> Vec<u8> {
    let mut out = vec![0x10];
    put_length(&mut out, 12 + client_id.len());
    put_string(&mut out, "MQTT");
    out.put_slice(&[4, u8::from(clean_session) << 1, 0, 0]);
    put_string(&mut out, client_id);
    out
}

/// Who a client says it is.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
}

/// Appends a CONNECT with a keep-alive of two minutes.
pub(crate) fn put_connect(
    out: &mut Vec<u8>,
    client_id: &str,
    clean_session: bool,
    credentials: Option<&Credentials>,
) {
    let password = credentials.and_then(|who| who.password.as_deref());
    let user = credentials.map(|who| who.user.as_str());
    let mut flags = u8::from(clean_session) << 1;
    flags |= u8::from(user.is_some()) << 7 | u8::from(password.is_some()) << 6;
    let strings = [Some(client_id), user, password];
    let length: usize = strings.iter().flatten().map(|text| 2 + text.len()).sum();
    out.put_u8(0x10);
    put_length(out, 10 + length);
    put_string(out, "MQTT");
    out.put_slice(&[4, flags, 0, 120]);
    for text in strings.into_iter().flatten() {
        put_string(out, text);
    }
}

/// The same with a will of QoS 1 that carries `stamp`.
pub(crate) fn connect_with_will(
    client_id: &str,
    clean_session: bool,
    topic: &str,
    stamp: Stamp,
) -> Vec<u8> {
    let mut out = vec![0x10];
    put_length(&mut out, 16 + client_id.len() + topic.len() + STAMP_BYTES);
    put_string(&mut out, "MQTT");
    out.put_slice(&[4, u8::from(clean_session) << 1 | 0b0000_1100, 0, 0]);
    put_string(&mut out, client_id);
    put_string(&mut out, topic);
    out.put_u16(STAMP_BYTES as u16);
    stamp.put(&mut out);
    out
}

/// SUBSCRIBE to one filter, with packet identifier 1.
pub(crate) fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut out = vec![0x82];
    put_length(&mut out, 5 + filter.len());
    out.put_u16(1);
    put_string(&mut out, filter);
    out.put_u8(qos);
    out
}

/// PINGREQ.
pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];

/// DISCONNECT.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Appends a PUBACK.
pub(crate) fn put_puback(out: &mut Vec<u8>, packet_id: u16) {
    put_acknowledgement(out, PUBACK, packet_id);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn put_acknowledgement(out: &mut Vec<u8>, kind: u8, packet_id: u16) {
    let flags = if kind == PUBREL { 2 } else { 0 };
    out.put_slice(&[kind << 4 | flags, 2]);
    out.put_u16(packet_id);
}

/// Appends what answers `packet` wherever the answer depends on nothing else: the acknowledgement
/// of a message by its receiver, PUBREL after PUBREC, and PUBCOMP after PUBREL.
pub(crate) fn put_answer(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let packet_id = packet.packet_id().unwrap_or_default();
    match (packet.kind(), packet.qos()) {
        (PUBLISH, 1) => put_acknowledgement(out, PUBACK, packet.publish_id().unwrap_or_default()),
        (PUBLISH, 2) => put_acknowledgement(out, PUBREC, packet.publish_id().unwrap_or_default()),
        (PUBREC, _) => put_acknowledgement(out, PUBREL, packet_id),
        (PUBREL, _) => put_acknowledgement(out, PUBCOMP, packet_id),
        _ => {}
    }
}

/// Appends an empty retained message of QoS 0, which removes the one of the topic.
pub(crate) fn put_removal(out: &mut Vec<u8>, topic: &str) {
    out.put_u8(0x31);
    put_length(out, 2 + topic.len());
    put_string(out, topic);
}

/// What each payload begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which publisher, from 0.
    pub(crate) publisher: u32,
    /// Its how many-th message, from 0.
    pub(crate) number: u32,
    /// When it was due, in nanoseconds of the clock of the run.
    pub(crate) due: u64,
}

impl Stamp {
    fn put(self, out: &mut Vec<u8>) {
        out.put_u32(self.publisher);
        out.put_u32(self.number);
        out.put_u64(self.due);
    }
}

/// A PUBLISH of which only packet identifier and stamp change.
#[derive(Debug)]
pub(crate) struct Template {
    head: Vec<u8>,
    tail: Vec<u8>,
    qos: u8,
}

impl Template {
    pub(crate) fn new(topic: &str, qos: u8, payload_bytes: usize) -> Self {
        let payload_bytes = payload_bytes.max(STAMP_BYTES);
        let packet_id_bytes = if qos > 0 { 2 } else { 0 };
        let mut head = vec![0x30 | (qos << 1)];
        put_length(&mut head, 2 + topic.len() + packet_id_bytes + payload_bytes);
        put_string(&mut head, topic);
        Self {
            head,
            tail: vec![b'.'; payload_bytes - STAMP_BYTES],
            qos,
        }
    }

    /// The same, retained.
    pub(crate) fn retained(mut self) -> Self {
        if let Some(first) = self.head.first_mut() {
            *first |= 1;
        }
        self
    }

    /// Bytes of one message.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + usize::from(self.qos > 0) * 2 + STAMP_BYTES + self.tail.len()
    }

    /// Appends one message. `packet_id` is used above QoS 0 only.
    pub(crate) fn put(&self, out: &mut Vec<u8>, packet_id: u16, stamp: Stamp) {
        out.put_slice(&self.head);
        if self.qos > 0 {
            out.put_u16(packet_id);
        }
        stamp.put(out);
        out.put_slice(&self.tail);
    }
}

/// A packet still in the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
}

/// The stream is not MQTT.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the broker does not send MQTT")
    }
}

impl std::error::Error for Broken {}

/// Takes a whole packet off `input`; `None` leaves it as it is.
pub(crate) fn take<'a>(input: &mut &'a [u8]) -> Result<Option<Packet<'a>>, Broken> {
    let Some((first, mut rest)) = input.split_first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    for place in 0..4 {
        let Some((byte, after)) = rest.split_first() else {
            return Ok(None);
        };
        rest = after;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let Some((body, after)) = rest.split_at_checked(length) else {
                return Ok(None);
            };
            *input = after;
            return Ok(Some(Packet {
                first: *first,
                body,
            }));
        }
    }
    Err(Broken)
}

impl Packet<'_> {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The packet identifier that the body begins with.
    pub(crate) fn packet_id(&self) -> Option<u16> {
        self.body.first_chunk().copied().map(u16::from_be_bytes)
    }

    /// Of a PUBLISH.
    pub(crate) fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    /// Of a PUBLISH.
    pub(crate) fn is_retained(&self) -> bool {
        self.first & 1 != 0
    }

    /// Whether a CONNACK tells of a session that was there.
    pub(crate) fn session_is_present(&self) -> bool {
        self.body.first().is_some_and(|flags| flags & 1 != 0)
    }

    /// Packet identifier of a PUBLISH above QoS 0.
    fn publish_id(&self) -> Option<u16> {
        let (length, rest) = self.body.split_first_chunk()?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
        rest.first_chunk().copied().map(u16::from_be_bytes)
    }

    /// Packet identifier (0 with QoS 0) and stamp of a PUBLISH.
    pub(crate) fn publish(&self) -> Option<(u16, Stamp)> {
        let (length, rest) = self.body.split_first_chunk()?;
        let mut rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
        let mut packet_id = 0;
        if self.first & 6 != 0 {
            let (id, after) = rest.split_first_chunk()?;
            (packet_id, rest) = (u16::from_be_bytes(*id), after);
        }
        let (publisher, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let due = rest.first_chunk()?;
        let stamp = Stamp {
            publisher: u32::from_be_bytes(*publisher),
            number: u32::from_be_bytes(*number),
            due: u64::from_be_bytes(*due),
        };
        Some((packet_id, stamp))
    }

    /// Whether a CONNACK or SUBACK says yes.
    pub(crate) fn is_success(&self) -> bool {
        match self.kind() {
            CONNACK => self.body.get(1) == Some(&0),
            SUBACK => self.body.get(2).is_some_and(|code| *code < 0x80),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for (qos, payload_bytes) in [(0, 0), (1, 64), (1, 300), (2, 20_000)] {
            let stamp = Stamp {
                publisher: 3,
                number: 9,
                due: 12_345,
            };
            let mut out = Vec::new();
            Template::new("a/b", qos, payload_bytes).put(&mut out, 77, stamp);
            let mut input = out.as_slice();
            let packet = take(&mut input).unwrap().unwrap();
            assert!(input.is_empty());
            let packet_id = if qos > 0 { 77 } else { 0 };
            assert_eq!(packet.kind(), PUBLISH);
            assert_eq!(packet.publish(), Some((packet_id, stamp)));
        }
    }

    #[test]
    fn a_connect_with_a_will_is_as_long_as_it_says() {
        let stamp = Stamp {
            publisher: 1,
            number: 2,
            due: 3,
        };
        let whole = connect_with_will("me", true, "w/1", stamp);
        let mut input = whole.as_slice();
        let packet = take(&mut input).unwrap().unwrap();
        assert!(input.is_empty());
        // Clean session, will, QoS 1.
        assert_eq!(packet.body[..10], *b"\0\x04MQTT\x04\x0e\0\0");
        assert_eq!(packet.body[10..21], *b"\0\x02me\0\x03w/1\0\x10");
        assert_eq!(
            packet.body[21..],
            [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]
        );
    }

    #[test]
    fn half_a_packet_is_left_where_it_is() {
        let whole = subscribe("a/#", 1);
        for end in 0..whole.len() {
            let mut input = &whole[..end];
            assert_eq!(take(&mut input).unwrap(), None);
            assert_eq!(input.len(), end);
        }
        assert!(take(&mut &[0x30, 0xff, 0xff, 0xff, 0xff][..]).is_err());
    }
}
