//! Who takes part: about thirty clients that exchange some thousand messages a second.

use std::{sync::Arc, time::Duration};

use mqtt::{
    ProtocolVersion::{self, V3_1_1, V5},
    Qos::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
};

use crate::{
    client::{
        Client, Stage, Status,
        part::{
            Habit,
            Keep::{self, Clean, Persistent},
            Part, Publishing, Route, Testament,
        },
    },
    random::Random,
    schedule::NODES,
};

/// A client that lives.
#[derive(Debug)]
pub struct Member {
    pub part: Arc<Part>,
    pub status: Arc<Status>,
}

/// Lets all clients live.
pub fn enter(stage: &Arc<Stage>, random: &Random) -> Vec<Member> {
    let mut members = Vec::new();
    for (index, part) in parts().into_iter().enumerate() {
        let mut random = random.branch(index as u64 + 1);
        let route = match random.below(5) {
            0 | 1 => Route::Direct(random.below(NODES)),
            _ => Route::Balanced,
        };
        let client = Client::new(Arc::clone(stage), part.at(route), random);
        members.push(Member {
            part: client.part(),
            status: client.status(),
        });
        tokio::spawn(client.live());
    }
    members
}

fn parts() -> Vec<Part> {
    let mut parts = publishers();
    parts.extend(subscribers());
    parts.extend(retainers());
    parts.extend(groups());
    parts.extend(mortals());
    parts.extend(doubles());
    parts
}

fn publishing(topics: &[String], qos: Qos, per_second: u32) -> Publishing {
    Publishing {
        topics: topics.to_vec(),
        qos,
        is_retained: false,
        per_second,
        window: 40,
    }
}

/// Each publishes to two topics of its own.
fn publisher(name: &str, version: ProtocolVersion, qos: Qos, per_second: u32) -> Part {
    let topics = [format!("load/{name}/0"), format!("load/{name}/1")];
    let keep = if qos == AtMostOnce { Clean } else { Persistent };
    let mut part = Part::new(name, version, keep);
    // Soon used again, so that a server that mixes them up is found.
    if qos == ExactlyOnce {
        part.packet_ids = 100;
    }
    part.publishing(publishing(&topics, qos, per_second))
}

fn publishers() -> Vec<Part> {
    vec![
        publisher("p1", V3_1_1, AtMostOnce, 20),
        publisher("p2", V5, AtMostOnce, 20),
        publisher("p3", V3_1_1, AtLeastOnce, 30),
        publisher("p4", V5, AtLeastOnce, 40),
        publisher("p5", V3_1_1, ExactlyOnce, 30),
        publisher("p6", V5, ExactlyOnce, 40),
    ]
}

fn subscribers() -> Vec<Part> {
    let mut narrow = Part::new("narrow", V5, Persistent)
        .subscribed("load/p5/#", ExactlyOnce)
        .subscribed("load/p6/#", ExactlyOnce);
    narrow.receive_maximum = Some(10);
    vec![
        narrow,
        Part::new("stored-1", V5, Persistent).subscribed("load/#", AtLeastOnce),
        Part::new("stored-2", V3_1_1, Persistent).subscribed("load/#", ExactlyOnce),
        Part::new("clean-1", V3_1_1, Clean).subscribed("load/#", AtLeastOnce),
        Part::new("clean-2", V5, Clean)
            .subscribed("load/p4/#", ExactlyOnce)
            .subscribed("load/p6/#", ExactlyOnce),
        Part::new("waver-1", V5, Persistent)
            .subscribed("load/p4/#", AtLeastOnce)
            .with_habit(Habit::Wavering),
        Part::new("waver-2", V3_1_1, Clean)
            .subscribed("load/p6/#", ExactlyOnce)
            .with_habit(Habit::Wavering),
        Part::new("wills", V5, Persistent).subscribed("will/#", ExactlyOnce),
    ]
}

/// Publishers of one retained topic each, one who sees all of it, and some who look now and then.
fn retainers() -> Vec<Part> {
    let retainer = |name: &str, version, qos| {
        let mut publishing = publishing(&[format!("retained/{name}")], qos, 10);
        publishing.is_retained = true;
        Part::new(name, version, Persistent).publishing(publishing)
    };
    let probe = |name: &str, version, qos| {
        let part = Part::new(name, version, Clean).subscribed("retained/#", qos);
        part.with_habit(Habit::Probe)
    };
    vec![
        retainer("r1", V3_1_1, AtLeastOnce),
        retainer("r2", V5, ExactlyOnce),
        Part::new("retained", V5, Persistent).subscribed("retained/#", ExactlyOnce),
        probe("probe-1", V5, AtLeastOnce),
        probe("probe-2", V3_1_1, ExactlyOnce),
    ]
}

/// Two groups that share the same topics.
fn groups() -> Vec<Part> {
    let sender = |name: &str, version, qos| {
        let topics = [format!("shared/{name}")];
        Part::new(name, version, Persistent).publishing(publishing(&topics, qos, 25))
    };
    let member = |group: &str, number: usize, keep: Keep, qos| {
        let version = if number == 1 { V3_1_1 } else { V5 };
        Part::new(format!("{group}-{number}"), version, keep)
            .subscribed(format!("$share/{group}/shared/#"), qos)
    };
    let mut parts = vec![
        sender("g1", V5, AtLeastOnce),
        sender("g2", V3_1_1, ExactlyOnce),
    ];
    for number in 1..=3 {
        parts.push(member("crew", number, Persistent, ExactlyOnce));
        parts.push(member("gang", number, Clean, AtLeastOnce));
    }
    parts
}

/// Clients with a Will that do not live long.
fn mortals() -> Vec<Part> {
    let mortal = |name: &str, version, keep, qos, delay| {
        let mut part = Part::new(name, version, keep).with_habit(Habit::Mortal);
        part.testament = Some(Testament {
            qos,
            delay: Duration::from_secs(delay),
        });
        part
    };
    vec![
        mortal("w1", V3_1_1, Clean, AtLeastOnce, 0),
        mortal("w2", V5, Persistent, ExactlyOnce, 0),
        mortal("w3", V5, Persistent, AtLeastOnce, 1),
        mortal("w4", V5, Persistent, ExactlyOnce, 2),
    ]
}

/// Clients that connect while they are connected.
fn doubles() -> Vec<Part> {
    // What they have sent to a node that cannot commit it, they soon send again elsewhere.
    let rover =
        |name, version| publisher(name, version, ExactlyOnce, 20).with_habit(Habit::Nomadic);
    vec![
        publisher("t1", V5, AtLeastOnce, 20)
            .subscribed("load/p3/#", AtLeastOnce)
            .with_habit(Habit::Doubled),
        publisher("t2", V3_1_1, ExactlyOnce, 20)
            .subscribed("load/p5/#", ExactlyOnce)
            .with_habit(Habit::Doubled),
        rover("rover-1", V5),
        rover("rover-2", V3_1_1),
        rover("rover-3", V5),
        Part::new("nomad-1", V5, Persistent)
            .subscribed("load/p6/#", ExactlyOnce)
            .subscribed("load/p4/#", AtLeastOnce)
            .with_habit(Habit::Nomadic),
        Part::new("nomad-2", V3_1_1, Persistent)
            .subscribed("load/p3/#", AtLeastOnce)
            .subscribed("load/p5/#", ExactlyOnce)
            .with_habit(Habit::Nomadic),
    ]
}
