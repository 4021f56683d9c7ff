//! Frames of RFC 6455 as a client sends them.
//!
//! Works in place on whatever pieces come: the payload of data frames is unmasked and moved to the
//! front, so neither the size of a frame nor that of a message costs memory. Never panics.

/// Largest payload of a control frame.
pub(super) const MOST_CONTROL_BYTES: usize = 125;
/// Longest header: two bytes, a length of eight and the mask.
const MOST_HEADER_BYTES: usize = 14;

/// Longest header of a frame from the server.
pub(super) const MOST_OWN_HEADER_BYTES: usize = 10;

/// The frames of a server; the value is the opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// MQTT [MQTT-6.0.0-1].
    Binary = 2,
    /// The end.
    Close = 8,
    /// The answer to a ping.
    Pong = 10,
}

/// What a client has done that the protocol does not allow. The code for its close frame is in
/// [`Violation::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// Not a frame that a client may send.
    #[error("broken WebSocket frame: {0}")]
    Protocol(&'static str),
    /// MQTT is in binary frames only [MQTT-6.0.0-1].
    #[error("a WebSocket text frame: MQTT packets are sent in binary frames")]
    Text,
}

impl Violation {
    /// The status code of RFC 6455, section 7.4.1.
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::Text => 1003,
        }
    }
}

/// A control frame that has come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    /// Wants its payload back.
    Ping(Vec<u8>),
    /// Nothing follows.
    Close(Vec<u8>),
}

/// What one call of [`Frames::decode`] has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    /// So many bytes of payload are at the front of the piece.
    pub(super) payload: usize,
    /// The last ping in the piece: older ones need no answer (section 5.5.3).
    pub(super) ping: Option<Vec<u8>>,
    /// The close frame; what comes after it does not count.
    pub(super) close: Option<Vec<u8>>,
}

/// Where in the stream of frames the next byte is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What has come of a header.
    header: [u8; MOST_HEADER_BYTES],
    header_length: usize,
    /// Payload still to come of the present frame.
    remaining: u64,
    mask: [u8; 4],
    /// Which byte of the mask is next.
    mask_at: usize,
    /// The payload of a control frame, if that is what the present frame is.
    control: Option<(Opcode, Vec<u8>)>,
    /// Whether the last data frame was not the end of its message.
    is_continued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl Frames {
    /// Takes a piece of the stream.
    ///
    /// # Errors
    ///
    /// [`Violation`]; then the connection is to be closed.
    pub(super) fn decode(&mut self, piece: &mut [u8]) -> Result<Decoded, Violation> {
        let mut decoded = Decoded::default();
        let mut at = 0;
        while at < piece.len() {
            if self.remaining == 0 {
                at += self.take_header(piece.get(at..).unwrap_or_default())?;
            } else {
                at += self.take_payload(piece, at, &mut decoded);
            }
            // A frame without payload is complete with its header.
            if self.remaining == 0
                && self.header_length == 0
                && let Some(control) = self.complete()
            {
                match control {
                    Control::Ping(payload) => decoded.ping = Some(payload),
                    Control::Close(payload) => {
                        decoded.close = Some(payload);
                        return Ok(decoded);
                    }
                }
            }
        }
        Ok(decoded)
    }

    /// Takes bytes of a header; returns how many.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut taken = 0;
        for byte in bytes {
            if let Some(slot) = self.header.get_mut(self.header_length) {
                *slot = *byte;
            }
            self.header_length += 1;
            taken += 1;
            if self.header_length == 2 {
                self.check_start()?;
            }
            if self.header_length >= 2 && self.header_length == self.expected_header() {
                self.begin()?;
                break;
            }
        }
        Ok(taken)
    }

    /// How long the header will be, by its first two bytes.
    const fn expected_header(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    /// What the first two bytes may not be.
    fn check_start(&self) -> Result<Opcode, Violation> {
        let [first, second, ..] = self.header;
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits are set"));
        }
        let Some(opcode) = Opcode::new(first & 0x0f) else {
            return Err(Violation::Protocol("unknown opcode"));
        };
        let is_last = first & 0x80 != 0;
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("not masked"));
        }
        if opcode.is_control() && (!is_last || usize::from(second & 0x7f) > MOST_CONTROL_BYTES) {
            return Err(Violation::Protocol(
                "a control frame that is fragmented or too long",
            ));
        }
        match opcode {
            Opcode::Text => Err(Violation::Text),
            Opcode::Binary if self.is_continued => Err(Violation::Protocol(
                "a new message inside of a fragmented one",
            )),
            Opcode::Continuation if !self.is_continued => {
                Err(Violation::Protocol("nothing to continue"))
            }
            Opcode::Continuation | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => {
                Ok(opcode)
            }
        }
    }

    /// The header is complete.
    fn begin(&mut self) -> Result<(), Violation> {
        let opcode = self.check_start()?;
        let [
            first,
            second,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
            b8,
            b9,
            m0,
            m1,
            m2,
            m3,
        ] = self.header;
        (self.remaining, self.mask) = match second & 0x7f {
            126 => (u16::from_be_bytes([b2, b3]).into(), [b4, b5, b6, b7]),
            127 => (
                u64::from_be_bytes([b2, b3, b4, b5, b6, b7, b8, b9]),
                [m0, m1, m2, m3],
            ),
            short => (short.into(), [b2, b3, b4, b5]),
        };
        let is_shortest = match second & 0x7f {
            126 => self.remaining > 125,
            127 => self.remaining > u64::from(u16::MAX) && self.remaining >> 63 == 0,
            _ => true,
        };
        if !is_shortest {
            return Err(Violation::Protocol(
                "a length that is not in its shortest form",
            ));
        }
        self.header_length = 0;
        self.mask_at = 0;
        if opcode.is_control() {
            self.control = Some((opcode, Vec::new()));
        } else {
            self.is_continued = first & 0x80 == 0;
        }
        Ok(())
    }

    /// Takes payload from `at`; returns how many bytes.
    fn take_payload(&mut self, piece: &mut [u8], at: usize, decoded: &mut Decoded) -> usize {
        let available = piece.len().saturating_sub(at);
        let count = usize::try_from(self.remaining).map_or(available, |left| left.min(available));
        let mask = self.rotated_mask();
        if let Some(payload) = piece.get_mut(at..at + count) {
            unmask(payload, mask);
            match &mut self.control {
                Some((_, bytes)) => bytes.extend_from_slice(payload),
                None => {
                    piece.copy_within(at..at + count, decoded.payload);
                    decoded.payload += count;
                }
            }
        }
        self.mask_at = (self.mask_at + count) % 4;
        self.remaining -= u64::try_from(count).unwrap_or(0);
        count
    }

    /// The mask from the next byte on.
    const fn rotated_mask(&self) -> [u8; 4] {
        let [a, b, c, d] = self.mask;
        match self.mask_at {
            1 => [b, c, d, a],
            2 => [c, d, a, b],
            3 => [d, a, b, c],
            _ => [a, b, c, d],
        }
    }

    /// The control frame that is complete now, if the present frame is one that matters.
    fn complete(&mut self) -> Option<Control> {
        match self.control.take()? {
            (Opcode::Ping, payload) => Some(Control::Ping(payload)),
            (Opcode::Close, payload) => Some(Control::Close(payload)),
            _ => None,
        }
    }
}

/// Eight bytes at a time; the compiler makes vectors of it.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = payload.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The header of a frame from the server, which is never masked.
pub(super) fn header(kind: Outgoing, length: usize) -> ([u8; MOST_OWN_HEADER_BYTES], usize) {
    let mut header = [0; MOST_OWN_HEADER_BYTES];
    let [first, second, rest @ ..] = &mut header;
    *first = 0x80 | kind as u8;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if usize::from(short) <= MOST_CONTROL_BYTES => {
            *second = short;
            (header, 2)
        }
        (_, Ok(medium)) => {
            *second = 126;
            for (slot, byte) in rest.iter_mut().zip(medium.to_be_bytes()) {
                *slot = byte;
            }
            (header, 4)
        }
        _ => {
            *second = 127;
            let long = u64::try_from(length).unwrap_or(u64::MAX);
            for (slot, byte) in rest.iter_mut().zip(long.to_be_bytes()) {
                *slot = byte;
            }
            (header, 10)
        }
    }
}
