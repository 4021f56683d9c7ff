#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::{
    WebSocket,
    frame::{Decoded, Frames, Violation},
};

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

/// Messages in one to four frames of all lengths, with pings among them: the bytes on the wire,
/// the payload in them, and the last ping.
fn conversation(random: &mut Random) -> (Vec<u8>, Vec<u8>, Option<Vec<u8>>) {
    let (mut wire, mut payload, mut ping) = (Vec::new(), Vec::new(), None);
    for _ in 0..8 {
        let frames = 1 + random.below(4);
        for number in 0..frames {
            let lengths = [0, 1, 7, 125, 126, 127, 1000, 65_535, 65_536, 70_000];
            let length = lengths[random.below(lengths.len())];
            let piece = random.bytes(length);
            let opcode = if number == 0 { 2 } else { 0 };
            let last = if number + 1 == frames { 0x80 } else { 0 };
            let mask = u32::try_from(random.next() >> 32).unwrap().to_be_bytes();
            wire.extend(frame(last | opcode, &piece, mask));
            payload.extend(piece);
            if random.below(3) == 0 {
                let length = random.below(126);
                let piece = random.bytes(length);
                wire.extend(frame(0x89, &piece, mask));
                wire.extend(frame(0x8a, b"an answer to nothing", mask));
                ping = Some(piece);
            }
        }
    }
    (wire, payload, ping)
}

#[test]
fn frames_mean_the_same_in_whatever_pieces_they_come() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..12 {
        let (wire, expected, expected_ping) = conversation(&mut random);
        let largest = [1, 3, 17, 1000, 16 * 1024, usize::MAX][random.below(6)];
        let (mut frames, mut payload, mut ping) = (Frames::default(), Vec::new(), None);
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let length = (1 + random.below(largest)).min(rest.len());
            let mut piece = rest[..length].to_vec();
            rest = &rest[length..];
            let decoded = frames.decode(&mut piece).unwrap();
            payload.extend_from_slice(&piece[..decoded.payload]);
            ping = decoded.ping.or(ping);
        }
        assert!(payload == expected && ping == expected_ping);
    }
}

/// Whatever comes, it is payload, a violation or a close, and never more than came.
#[test]
fn random_bytes_never_panic() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut refused = 0;
    for round in 0..40_000 {
        let (mut frames, mut total, mut taken) = (Frames::default(), 0, 0);
        let length = 1 + random.below(200);
        let mut bytes = random.bytes(length);
        if round % 2 == 0 {
            // A good start, so that more than the first byte is looked at.
            bytes[0] = [0x82, 0x02, 0x89, 0x88, 0x8a][random.below(5)];
            if let Some(second) = bytes.get_mut(1) {
                *second |= 0x80;
            }
        }
        for piece in bytes.chunks_mut(1 + random.below(40)) {
            total += piece.len();
            match frames.decode(piece) {
                Ok(decoded) => {
                    assert!(decoded.payload <= piece.len());
                    taken += decoded.payload;
                    if decoded.close.is_some() {
                        break;
                    }
                }
                Err(Violation::Protocol(_) | Violation::Text) => {
                    refused += 1;
                    break;
                }
            }
        }
        assert!(taken <= total);
    }
    assert!(refused > 10_000, "only {refused} were refused");
}

#[test]
fn nothing_counts_after_a_close_frame() {
    let mut wire = frame(0x82, b"before", [1, 2, 3, 4]);
    wire.extend(frame(0x88, b"\x03\xe8bye", [5, 6, 7, 8]));
    wire.extend(frame(0x82, b"after", [0; 4]));
    let decoded = Frames::default().decode(&mut wire).unwrap();
    let expected = Decoded {
        payload: 6,
        ping: None,
        close: Some(b"\x03\xe8bye".to_vec()),
    };
    assert_eq!(decoded, expected);
    assert_eq!(&wire[..6], b"before");
}

/// One frame of the server: its first byte and its payload; nothing at the end.
async fn read_frame(client: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = client.read_u8().await.ok()?;
    let second = client.read_u8().await.unwrap();
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let length = match second {
        126 => u64::from(client.read_u16().await.unwrap()),
        127 => client.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut bytes).await.unwrap();
    Some((first, bytes))
}

/// Through a pipe that takes a few bytes at a time: headers are cut, and put together again.
#[tokio::test]
async fn frames_stay_whole_through_a_narrow_pipe() {
    for width in [1, 2, 3, 5, 11, 64, 1000] {
        let (server, mut client) = duplex(width);
        let sent = Random(0x5851_f42d_4c95_7f2d).bytes(150_000);
        let expected = sent.clone();
        let serve = async move {
            let mut socket = WebSocket::new(server);
            socket.write_all(&sent).await.unwrap();
            socket.shutdown().await.unwrap();
        };
        let read = async {
            let mut payload = Vec::new();
            while let Some((0x82, bytes)) = read_frame(&mut client).await {
                payload.extend(bytes);
            }
            payload
        };
        let ((), payload) = tokio::join!(serve, read);
        assert!(payload == expected, "other payload at width {width}");
    }
}

/// Pings that come while a frame is half written are answered after it; the last frame is the
/// answer to the client's close.
#[tokio::test]
async fn pings_in_the_middle_of_a_frame_wait_for_its_end() {
    for width in [1, 3, 64, 1000] {
        let (server, client) = duplex(width);
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let sent = Random(0x5851_f42d_4c95_7f2d).bytes(150_000);
        let expected = sent.clone();
        let (mut reader, mut writer) = tokio::io::split(WebSocket::new(server));
        let serve = async {
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.flush().await.unwrap();
            };
            let mut received = Vec::new();
            let (_, read) = tokio::join!(write, reader.read_to_end(&mut received));
            read.unwrap();
            writer.shutdown().await.unwrap();
            received
        };
        let converse = async {
            let (mut payload, mut pongs) = (Vec::new(), Vec::new());
            to_server
                .write_all(&frame(0x89, &[7], [9, 8, 7, 6]))
                .await
                .unwrap();
            loop {
                let (first, bytes) = read_frame(&mut from_server).await.unwrap();
                match first {
                    0x82 => payload.extend(bytes),
                    0x8a => pongs.extend(bytes),
                    0x88 => return (payload, pongs, bytes),
                    other => panic!("frame {other:02x}"),
                }
                if payload.len() == expected.len() {
                    let close = frame(0x88, &[0x03, 0xe9], [1, 2, 3, 4]);
                    to_server.write_all(&close).await.unwrap();
                }
            }
        };
        let (received, (payload, pongs, close)) = tokio::join!(serve, converse);
        assert!(
            received.is_empty() && payload == expected,
            "at width {width}"
        );
        assert_eq!((pongs, close), (vec![7], vec![0x03, 0xe9]));
    }
}
