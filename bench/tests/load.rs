//! `causeway-bench load` against a broker of a few lines that is honest, or loses, repeats and swaps messages, or refuses: what
//! the program says of it must be what it did, message by message.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic; the lints do not see that this is one"
)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// How a broker treats the messages of each publisher.
#[derive(Clone, Copy, Default)]
struct Manners {
    /// The code of its CONNACK.
    connack: u8,
    /// Every so-many-th message; 0: none.
    lose: u64,
    repeat: u64,
    swap: u64,
}

#[derive(Default)]
struct Broker {
    manners: Manners,
    subscribers: Mutex<Vec<(Vec<u8>, TcpStream)>>,
    lost: AtomicU64,
    repeated: AtomicU64,
    swapped: AtomicU64,
}

/// First byte, body, and the whole packet.
struct Packet {
    first: u8,
    body: Vec<u8>,
    whole: Vec<u8>,
}

fn read(stream: &mut TcpStream) -> std::io::Result<Packet> {
    let mut whole = vec![0; 2];
    stream.read_exact(&mut whole)?;
    let mut length = usize::from(whole[1] & 0x7f);
    let mut shift = 7;
    while whole.last().unwrap() & 0x80 != 0 {
        let mut next = [0];
        stream.read_exact(&mut next)?;
        length |= usize::from(next[0] & 0x7f) << shift;
        shift += 7;
        whole.push(next[0]);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    whole.extend_from_slice(&body);
    Ok(Packet {
        first: whole[0],
        body,
        whole,
    })
}

/// A string with its length before it, at `at`.
fn string(body: &[u8], at: usize) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    body[at + 2..at + 2 + length].to_vec()
}

impl Broker {
    fn start(manners: Manners) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Arc::new(Self {
            manners,
            ..Self::default()
        });
        let own = Arc::clone(&broker);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (broker, stream) = (Arc::clone(&own), stream.unwrap());
                // It ends with the connection.
                thread::spawn(move || drop(broker.serve(stream)));
            }
        });
        (broker, address)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut count, mut held) = (0, None);
        loop {
            let packet = read(&mut stream)?;
            match packet.first >> 4 {
                1 => stream.write_all(&[0x20, 2, 0, self.manners.connack])?,
                8 => {
                    let filter = string(&packet.body, 2);
                    let subscriber = (filter, stream.try_clone()?);
                    self.subscribers.lock().unwrap().push(subscriber);
                    stream.write_all(&[0x90, 3, packet.body[0], packet.body[1], 0])?;
                }
                3 => {
                    count += 1;
                    self.publish(&packet, count, &mut held)?;
                    if packet.first & 6 == 2 {
                        let at = 2 + string(&packet.body, 0).len();
                        stream.write_all(&[0x40, 2, packet.body[at], packet.body[at + 1]])?;
                    }
                }
                4 => {} // the subscriber has it
                _ => return Ok(()),
            }
        }
    }

    /// Passes on what is left of the `count`-th message of a publisher.
    fn publish(
        &self,
        packet: &Packet,
        count: u64,
        held: &mut Option<Vec<u8>>,
    ) -> std::io::Result<()> {
        let topic = string(&packet.body, 0);
        let is_turn = |every: u64| every > 0 && count.is_multiple_of(every);
        let manners = self.manners;
        if is_turn(manners.lose) {
            self.lost.fetch_add(1, SeqCst);
            return Ok(());
        }
        if is_turn(manners.swap) && held.is_none() {
            *held = Some(packet.whole.clone());
            return Ok(());
        }
        let mut copies = vec![packet.whole.clone()];
        if let Some(held) = held.take() {
            self.swapped.fetch_add(1, SeqCst);
            copies.push(held);
        } else if is_turn(manners.repeat) {
            self.repeated.fetch_add(1, SeqCst);
            copies.push(packet.whole.clone());
        }
        let mut subscribers = self.subscribers.lock().unwrap();
        for (_, stream) in subscribers
            .iter_mut()
            .filter(|(filter, _)| *filter == topic)
        {
            stream.write_all(&copies.concat())?;
        }
        Ok(())
    }
}

fn bench(address: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway-bench"))
        .args([
            "load",
            "--hosts",
            address,
            "--warm-up",
            "0.1",
            "--seconds",
            "0.4",
        ])
        .args(arguments)
        .output()
        .unwrap()
}

fn figure(output: &Output, name: &str) -> f64 {
    let line = String::from_utf8(output.stdout.clone()).unwrap();
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    let end = rest.find([',', '}']).unwrap();
    rest[..end].parse().unwrap()
}

fn complaints(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_honest_broker_is_blamed_for_nothing() {
    for scenario in ["S1", "S2"] {
        let (_, address) = Broker::start(Manners::default());
        let output = bench(&address.to_string(), &["--scenario", scenario]);
        assert!(output.status.success(), "{}", complaints(&output));
        assert_eq!(complaints(&output), "");
        for name in [
            "lost",
            "dups",
            "out_of_order",
            "alien",
            "failures",
            "forgiven",
        ] {
            assert_eq!(figure(&output, name), 0.0, "{name}");
        }
        assert!(figure(&output, "delivered") > 100.0);
        assert_eq!(figure(&output, "delivered"), figure(&output, "expected"));
    }
}

#[test]
fn every_message_lost_repeated_or_swapped_is_counted() {
    let (broker, address) = Broker::start(Manners {
        lose: 101,
        repeat: 53,
        swap: 71,
        ..Manners::default()
    });
    let output = bench(&address.to_string(), &["--scenario", "S2"]);
    assert!(output.status.success());
    let did = [&broker.lost, &broker.repeated, &broker.swapped].map(|count| count.load(SeqCst));
    assert!(did.iter().all(|count| *count > 0), "{did:?}");
    // A message held back when its publisher stopped is lost too.
    let held = figure(&output, "lost") - did[0] as f64;
    assert!(
        (0.0..=10.0).contains(&held),
        "{held} more lost than {}",
        did[0]
    );
    assert_eq!(figure(&output, "dups"), did[1] as f64);
    assert_eq!(figure(&output, "out_of_order"), did[2] as f64);
    assert!(complaints(&output).contains("FAULTS in S2: "));
}

#[test]
fn an_open_loop_sends_as_fast_as_it_says_and_all_is_acknowledged() {
    let (_, address) = Broker::start(Manners::default());
    let output = bench(&address.to_string(), &["--scenario", "S7"]);
    assert_eq!(figure(&output, "unacked"), 0.0);
    assert_eq!(figure(&output, "lost"), 0.0);
    // 0.5 s of 5,000 messages/s; what is due later than that is not sent.
    let sent = figure(&output, "expected");
    assert!((2000.0..=3500.0).contains(&sent), "{sent}");
}

#[test]
fn a_refusal_and_an_absent_broker_are_named() {
    let (_, address) = Broker::start(Manners {
        connack: 5,
        ..Manners::default()
    });
    let address = address.to_string();
    let output = bench(&address, &["--scenario", "S1"]);
    assert_eq!(output.status.code(), Some(1));
    let text = complaints(&output);
    assert!(
        text.contains(&address) && text.contains("code 5 (not authorized)"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);

    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = bench(
        &free.to_string(),
        &["--scenario", "C1", "--connections", "10"],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = complaints(&output);
    assert!(
        text.contains(&free.to_string()) && text.contains("refused"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_asked_for_ends_with_status_2() {
    for (arguments, named) in [
        (&["--scenario", "N2"][..], "N2"),
        (&["--scenario", "H1"], "--tls"),
        (&["--scenario", "S9"], "S9"),
        (&["--scenario", "S1", "--pid", "4294967295"], "4294967295"),
        (&["--scenario", "S1", "--password", "p"], "--user"),
    ] {
        let output = bench("127.0.0.1:1", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(complaints(&output).contains(named), "{arguments:?}");
    }
}
