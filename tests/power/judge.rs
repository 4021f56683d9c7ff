//! What must be there after a node has come back, held against what its clients were promised.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use harness::{Client, MessageExt as _, SILENCE, TestNode, message};
use mqtt::{Ack, Packet, PacketId, Publish, Qos, ReasonCode};

use crate::crowd::{Half, Held, Published, Record, complete, persistent};

/// How long something that is owed may take.
const OWED: Duration = Duration::from_secs(3);

/// Everything that is wrong, in words; empty if nothing is.
#[derive(Debug, Default)]
pub struct Verdict {
    pub wrong: Vec<String>,
}

/// Messages `NAME:0` to `NAME:{count - 1}`: exactly once and in order with QoS 2, and otherwise each before the
/// later ones. `may_follow`: one more may have come.
struct Expected<'a> {
    name: &'a str,
    qos: Qos,
    count: u32,
    may_follow: bool,
}

impl<'a> Expected<'a> {
    fn new(name: &'a str, qos: Qos, count: u32) -> Self {
        Self {
            name,
            qos,
            count,
            may_follow: false,
        }
    }
}

impl Verdict {
    fn note(&mut self, wrong: impl Into<String>) {
        self.wrong.push(wrong.into());
    }

    /// What `who` has heard must be what is `expected`.
    fn compare(&mut self, who: &str, expected: Expected<'_>, texts: &[String]) {
        let Expected {
            name,
            qos,
            count,
            may_follow,
        } = expected;
        let mut seen: HashMap<u32, u32> = HashMap::new();
        let mut next = 0;
        for text in texts {
            let Some(number) = text
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(':'))
            else {
                continue;
            };
            let number: u32 = number.parse().unwrap();
            let times = seen.entry(number).or_default();
            *times += 1;
            if *times > 1 && qos == Qos::ExactlyOnce {
                self.note(format!("{who}: {text} came again"));
            }
            if *times == 1 && number < next {
                self.note(format!("{who}: {text} came after {name}:{}", next - 1));
            }
            next = next.max(number + 1);
        }
        let missing: Vec<u32> = (0..count)
            .filter(|number| !seen.contains_key(number))
            .collect();
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let number = missing.len();
            self.note(format!(
                "{who}: {number} messages lost, {name}:{first} to {name}:{last}"
            ));
        }
        let most = count + u32::from(may_follow);
        if let Some(unknown) = seen.keys().find(|number| **number >= most) {
            self.note(format!("{who}: {name}:{unknown} was never sent"));
        }
    }

    fn resumed(&mut self, who: &str, client: &Client) {
        if !client.session_present() {
            self.note(format!("{who}: its session is lost"));
        }
    }
}

/// Goes through everything that `record` says was promised.
pub async fn judge(node: &TestNode, record: Record) -> Verdict {
    let mut verdict = Verdict::default();
    let Record {
        published,
        present,
        held,
        half,
        wills,
        subscribed,
    } = record;
    let sent: u32 = published.iter().map(|one| one.sent).sum();
    retained(&mut verdict, node, &published).await;
    let mut counts = Vec::new();
    for one in published {
        counts.push((one.name, one.qos, one.sent));
        let mut client = persistent(node, one.name)
            .resume(one.session)
            .connect()
            .await;
        verdict.resumed(one.name, &client);
        client.settle().await;
    }
    let holds = u32::try_from(held.sent.len()).unwrap();
    release(&mut verdict, node, held).await;
    let halves = counts
        .iter()
        .find(|(name, ..)| *name == "b")
        .map_or(0, |count| count.2);
    finish_halves(&mut verdict, node, half, halves).await;
    late(&mut verdict, node, subscribed).await;

    let (mut texts, session) = present;
    let mut client = persistent(node, "present").resume(session).connect().await;
    verdict.resumed("present", &client);
    collect(&mut client, &mut texts, sent).await;
    for (name, qos, count) in &counts {
        verdict.compare("present", Expected::new(name, *qos, *count), &texts);
    }

    let mut texts = Vec::new();
    let mut client = persistent(node, "away").connect().await;
    verdict.resumed("away", &client);
    collect(&mut client, &mut texts, sent + holds + wills).await;
    for (name, qos, count) in &counts {
        verdict.compare("away", Expected::new(name, *qos, *count), &texts);
    }
    let held = Expected::new("held", Qos::ExactlyOnce, holds);
    verdict.compare("away", held, &texts);
    // One more client may have been let in without hearing of it. Wills have no order among clients.
    let mut of_wills: Vec<_> = texts
        .into_iter()
        .filter(|text| text.starts_with("will:"))
        .collect();
    of_wills.sort_by_key(|text| (text.len(), text.clone()));
    let will = Expected {
        may_follow: true,
        ..Expected::new("will", Qos::ExactlyOnce, wills)
    };
    verdict.compare("away", will, &of_wills);
    verdict
}

/// Takes what comes until there are `expected` different ones, and a moment longer.
async fn collect(client: &mut Client, texts: &mut Vec<String>, expected: u32) {
    let mut different: BTreeSet<String> = texts.iter().cloned().collect();
    loop {
        let is_done = different.len() >= expected as usize;
        let wait = if is_done { SILENCE } else { OWED };
        let Some(publish) = client.recv_within(wait).await else {
            return;
        };
        different.insert(publish.message.text());
        texts.push(publish.message.text());
    }
}

/// The retained message of each publisher is the last one acknowledged, or one sent after it.
async fn retained(verdict: &mut Verdict, node: &TestNode, published: &[Published]) {
    let mut reader = node.client("reader").await;
    reader.subscribe("load/#", Qos::AtLeastOnce).await;
    let mut texts = Vec::new();
    collect(
        &mut reader,
        &mut texts,
        u32::try_from(published.len()).unwrap(),
    )
    .await;
    for Published {
        name,
        sent,
        completed,
        ..
    } in published
    {
        let found = texts
            .iter()
            .find_map(|text| text.strip_prefix(name)?.strip_prefix(':'));
        let found: Option<u32> = found.map(|number| number.parse().unwrap());
        if *completed > 0 && found.is_none_or(|number| number + 1 < *completed || number >= *sent) {
            verdict.note(format!(
                "retained of {name}: {found:?}, acknowledged up to {completed}, sent {sent}"
            ));
        }
    }
}

/// A publisher that has missed every PUBREC repeats its messages, and then releases them.
async fn release(verdict: &mut Verdict, node: &TestNode, held: Held) {
    let mut client = persistent(node, "held").manual().connect().await;
    verdict.resumed("held", &client);
    let dup = client.session_present();
    for publish in &held.sent {
        client
            .send(&Packet::Publish(Publish {
                dup,
                ..publish.clone()
            }))
            .await;
    }
    let identifiers: Vec<PacketId> = held
        .sent
        .iter()
        .filter_map(|publish| publish.packet_id)
        .collect();
    for packet_id in &identifiers {
        match client.packet().await {
            Some(Packet::PubRec(ack))
                if ack.packet_id == *packet_id && !ack.reason_code.is_error() => {}
            other => verdict.note(format!("held: {other:?} and not PUBREC {packet_id:?}")),
        }
    }
    for packet_id in &identifiers {
        let ack = Ack::new(*packet_id, ReasonCode::Success);
        client.send(&Packet::PubRel(ack)).await;
        match client.packet().await {
            Some(Packet::PubComp(ack)) if ack.reason_code == ReasonCode::Success => {}
            other => verdict.note(format!("held: {other:?} and not PUBCOMP {packet_id:?}")),
        }
    }
}

/// A subscriber that was left at PUBREL gets PUBREL again, not the message.
async fn finish_halves(verdict: &mut Verdict, node: &TestNode, half: Half, count: u32) {
    let Half {
        mut texts,
        mut incoming,
        released,
        ..
    } = half;
    let mut owed: BTreeSet<PacketId> = released.into_iter().collect();
    let builder = persistent(node, "half").receive_maximum(crate::crowd::HALF_MAXIMUM);
    let mut client = builder.manual().connect().await;
    verdict.resumed("half", &client);
    let mut different: BTreeSet<String> = texts.iter().cloned().collect();
    loop {
        let is_done = owed.is_empty() && different.len() >= count as usize;
        let wait = if is_done { SILENCE } else { OWED };
        match tokio::time::timeout(wait, client.next_packet()).await {
            Ok(Some(Packet::Publish(publish))) => {
                if publish
                    .packet_id
                    .is_some_and(|packet_id| incoming.insert(packet_id))
                {
                    different.insert(publish.message.text());
                    texts.push(publish.message.text());
                }
                client.acknowledge(&publish).await;
            }
            Ok(Some(Packet::PubRel(ack))) => {
                incoming.remove(&ack.packet_id);
                owed.remove(&ack.packet_id);
                complete(&mut client, ack.packet_id).await;
            }
            Ok(Some(other)) => verdict.note(format!("half: {other:?}")),
            Ok(None) | Err(_) => break,
        }
    }
    if !owed.is_empty() {
        verdict.note(format!("half: no PUBREL again for {owed:?}"));
    }
    let expected = Expected::new("b", Qos::ExactlyOnce, count);
    verdict.compare("half", expected, &texts);
}

/// Subscriptions that were acknowledged are there and get messages.
async fn late(verdict: &mut Verdict, node: &TestNode, subscribed: u32) {
    let mut publisher = node.client("to-late").await;
    for number in 0..subscribed {
        let topic = format!("late/{number}");
        publisher
            .start(message(&topic, "found", Qos::AtLeastOnce))
            .await;
    }
    publisher.settle().await;
    for number in 0..subscribed {
        let name = format!("late-{number}");
        let mut client = persistent(node, &name).connect().await;
        verdict.resumed(&name, &client);
        if client.session_present() && client.recv_within(OWED).await.is_none() {
            verdict.note(format!("{name}: its subscription is lost"));
        }
    }
}
