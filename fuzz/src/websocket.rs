//! The frames of WebSocket clients as `node` decodes them, beside an oracle.
//!
//! An input is a byte that says in what pieces the frames arrive, and the frames.

use crate::pieces::pieces;

#[expect(dead_code, reason = "the file of a program that uses more of it")]
#[path = "../../node/src/connection/websocket/frame.rs"]
mod of_the_node;

use of_the_node::{Frames, MOST_OWN_HEADER_BYTES, Outgoing, Violation, header};

/// What a stream of frames comes to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    payload: Vec<u8>,
    /// The last ping of all.
    ping: Option<Vec<u8>>,
    close: Option<Vec<u8>>,
    violation: Option<Violation>,
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut frames = Frames::default();
    let mut outcome = Outcome::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        match frames.decode(&mut piece) {
            Ok(decoded) => {
                outcome.payload.extend_from_slice(&piece[..decoded.payload]);
                outcome.ping = decoded.ping.or(outcome.ping);
                if decoded.close.is_some() {
                    outcome.close = decoded.close;
                    break;
                }
            }
            Err(violation) => {
                assert!((1000..5000).contains(&violation.code()));
                // What came before the fault in the same piece is lost with the connection.
                outcome.violation = Some(violation);
                break;
            }
        }
    }
    outcome
}

/// Section 5.2 of RFC 6455, one frame after the other; the second value says whether the stream is
/// one that a client may send, as far as it has come.
fn oracle(stream: &[u8]) -> (Outcome, bool) {
    let mut outcome = Outcome::default();
    let mut rest = stream;
    let mut inside = false;
    while let [first, second, tail @ ..] = rest {
        let (is_last, opcode, masked) = (first >> 7 == 1, first & 15, second >> 7 == 1);
        let is_control = opcode > 7;
        let is_legal = first >> 4 & 7 == 0
            && masked
            && matches!(opcode, 0 | 2 | 8..=10)
            && !(is_control && (!is_last || second & 127 > 125))
            && !(opcode == 2 && inside)
            && (opcode != 0 || inside);
        if !is_legal {
            return (outcome, false);
        }
        let digits = match second & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if tail.len() < digits + 4 {
            break;
        }
        let (number, tail) = tail.split_at(digits);
        let mut length = u64::from(second & 127);
        if digits > 0 {
            length = number
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let shortest = if digits == 2 { 126 } else { 65_536 };
            if length < shortest || length >> 63 == 1 {
                return (outcome, false);
            }
        }
        let (mask, tail) = tail.split_at(4);
        let count = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(tail.len());
        let payload: Vec<u8> = tail[..count]
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ mask[index % 4])
            .collect();
        let is_whole = count as u64 == length;
        match opcode {
            8 if is_whole => {
                outcome.close = Some(payload);
                return (outcome, true);
            }
            9 if is_whole => outcome.ping = Some(payload),
            0 | 2 => {
                outcome.payload.extend(payload);
                inside = !is_last;
            }
            _ => {}
        }
        rest = &tail[count..];
    }
    (outcome, true)
}

/// Whole or in pieces, the same frames are the same payload; and what the node writes is a frame.
pub fn check(input: &[u8]) {
    let [seed, stream @ ..] = input else {
        return;
    };
    let whole = decode(std::iter::once(stream));
    let parts = decode(pieces(*seed, stream));
    let (expected, is_legal) = oracle(stream);
    assert_eq!(whole.violation, parts.violation);
    assert_eq!(whole.violation.is_none(), is_legal, "{stream:02x?}");
    if is_legal {
        assert_eq!(whole, expected);
        assert_eq!(parts, expected);
    } else {
        // Byte by byte nothing is lost of what came before the fault.
        let bytes = decode(stream.chunks(1));
        assert_eq!(
            (bytes.payload, bytes.ping, bytes.close),
            (expected.payload, expected.ping, expected.close)
        );
    }
    check_header(stream.len() * 300);
}

/// Section 5.2 read back.
fn check_header(length: usize) {
    let (bytes, count) = header(Outgoing::Binary, length);
    assert!(count <= MOST_OWN_HEADER_BYTES);
    assert_eq!(bytes[0], 0x82);
    let told = match bytes[1] {
        126 => usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        127 => u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize,
        short => usize::from(short),
    };
    let digits = match length {
        0..=125 => 0,
        126..=65_535 => 2,
        _ => 8,
    };
    assert_eq!((told, count), (length, 2 + digits));
}
