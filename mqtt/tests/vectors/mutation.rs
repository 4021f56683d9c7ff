//! Legal packets, damaged at random, always in the same way: whatever comes of it, the
//! decoder does not panic, and what it accepts it can write and read again.

use bytes::BytesMut;
use mqtt::{Decoder, Side, encode};

use crate::random::Random;
use crate::*;

const ROUNDS: usize = 200_000;

fn damage(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len().max(1));
    match random.below(8) {
        0..3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        3 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        4 if !bytes.is_empty() => {
            bytes.remove(at);
        }
        5 => bytes.insert(at.min(bytes.len()), random.next() as u8),
        6 => bytes.truncate(at),
        7 => {
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => bytes.push(0),
    }
}

/// Often sets the Remaining Length right again, so that the damage behind it is looked at.
fn repair(bytes: &mut [u8]) {
    let length = bytes.len();
    if let (2..130, Some(second)) = (length, bytes.get_mut(1)) {
        *second = (length - 2) as u8;
    }
}

#[test]
fn damaged_packets_are_refused_or_have_a_meaning() {
    let corpus = corpus();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut accepted, mut refused, mut awaited) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let vector = random.pick(&corpus);
        let other = random.pick(&corpus);
        let mut bytes = vector.bytes.clone();
        for _ in 0..=random.below(3) {
            damage(&mut random, &mut bytes, &other.bytes);
        }
        if random.below(4) != 0 {
            repair(&mut bytes);
        }
        let mut state = decoder(vector.side, vector.version, vector.bytes[0]);
        let mut buffer = BytesMut::from(&bytes[..]);
        match state.decode(&mut buffer) {
            Ok(None) => {
                awaited += 1;
                assert_eq!(buffer[..], bytes[..], "nothing is taken");
            }
            Err(error) => {
                refused += 1;
                assert!(error.reason_code().is_error() && !error.to_string().is_empty());
            }
            Ok(Some(packet)) => {
                accepted += 1;
                let version = state.version().expect("known after a packet");
                let mut written = BytesMut::new();
                encode(&packet, version, &mut written)
                    .unwrap_or_else(|e| panic!("{e}: {packet:?}"));
                let again = decode(vector.side, version, &written);
                assert_eq!(again, Ok(Some(packet)), "{bytes:02x?}");
            }
        }
    }
    // So that the test does not become one of nothing.
    assert!(accepted > ROUNDS / 20 && refused > ROUNDS / 3 && awaited > ROUNDS / 50);
}

/// Bytes without any form.
#[test]
fn noise_is_refused_or_has_a_meaning() {
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    for _ in 0..50_000 {
        let length = random.below(40);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        for side in [Side::Server, Side::Client] {
            let mut decoder = Decoder::new(side, 1000);
            if random.below(2) == 0 {
                decoder.set_version(*random.pick(&ALL));
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        }
    }
}
