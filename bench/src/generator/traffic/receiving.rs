//! What comes in while messages are under way: answers, and deliveries that are taken down.

use super::{
    super::{at, engine::Handler, ledger::Verdict},
    Pattern, Role, Run,
};
use crate::packet::{self, Packet};

impl Run<'_> {
    fn message(&mut self, subscriber: usize, packet: &Packet<'_>, now: u64) {
        let Some((_, stamp)) = packet.publish() else {
            self.seen.alien += 1;
            return;
        };
        let publisher = stamp.publisher as usize;
        let verdict = match self.plan.pattern {
            Pattern::Shared => self.group.take(subscriber, publisher, stamp.number),
            Pattern::Pairs if publisher != subscriber => None,
            Pattern::Pairs => self.every.take(subscriber, 0, stamp.number),
            _ => self.every.take(subscriber, publisher, stamp.number),
        };
        let sender = self.senders.get_mut(publisher);
        let (Some(verdict), Some(sender)) = (verdict, sender) else {
            self.seen.alien += 1;
            return;
        };
        match verdict {
            Verdict::New => {}
            Verdict::Late => self.seen.late += 1,
            Verdict::Again => {
                self.seen.repeated += 1;
                return;
            }
        }
        sender.delivered += 1;
        if self.measures {
            self.seen.delivered += 1;
            self.seen.bytes += self.plan.payload_bytes as u64;
            self.seen.delivery.add(now.saturating_sub(stamp.due));
        }
    }

    fn name(&self, place: usize) -> String {
        let (host, name) = match self.roles.get(place) {
            Some(Role::Publisher(at)) => (
                host(&self.broker.publish_at, *at),
                format!("publisher {at}"),
            ),
            Some(Role::Subscriber(at)) => (
                host(&self.broker.subscribe_at, *at),
                format!("subscriber {at}"),
            ),
            Some(Role::Bystander(at)) => (
                host(&self.broker.bystanders_at, *at),
                format!("bystander {at}"),
            ),
            None => (String::new(), "nobody".to_owned()),
        };
        format!("{host}: {name}")
    }

    fn accepted(&mut self, role: Role, kind: u8, out: &mut Vec<u8>) {
        let filter = match role {
            Role::Publisher(publisher) => {
                if let Some(sender) = self.senders.get_mut(publisher) {
                    sender.ready = true;
                }
                return;
            }
            Role::Subscriber(_) | Role::Bystander(_) if kind == packet::SUBACK => {
                self.subscribed += 1;
                return;
            }
            Role::Subscriber(subscriber) => self.plan.filter(&self.broker.prefix, subscriber),
            Role::Bystander(at) => format!("{}/elsewhere/{at}", self.broker.prefix),
        };
        out.extend_from_slice(&packet::subscribe(&filter, self.plan.qos));
    }
}

fn host(hosts: &[std::net::SocketAddr], number: usize) -> String {
    at(hosts, number).map_or_else(|_| String::new(), |host| host.to_string())
}

impl Handler for Run<'_> {
    fn opened(&mut self, place: usize, out: &mut Vec<u8>) {
        let name = match self.roles.get(place) {
            Some(Role::Publisher(at)) => format!("p{at}"),
            Some(Role::Subscriber(at)) => format!("s{at}"),
            Some(Role::Bystander(at)) => format!("b{at}"),
            None => return,
        };
        self.broker.put_connect(out, &name, true);
    }

    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(role) = self.roles.get(place).copied() else {
            return;
        };
        packet::put_answer(out, &packet);
        match (packet.kind(), role) {
            (packet::PUBLISH, Role::Subscriber(subscriber)) => {
                self.message(subscriber, &packet, now)
            }
            (packet::PUBLISH, _) => self.seen.alien += 1,
            (packet::PUBACK | packet::PUBCOMP, Role::Publisher(publisher)) => {
                let packet_id = packet.packet_id().unwrap_or_default();
                let sender = self.senders.get_mut(publisher);
                match sender.and_then(|sender| sender.acknowledged(packet_id, now)) {
                    Some(took) if self.measures => self.seen.acknowledgement.add(took),
                    Some(_) => {}
                    None => self.seen.alien += 1,
                }
            }
            (packet::CONNACK | packet::SUBACK, _) => {
                let name = self.name(place);
                if self.problems.check(&name, &packet) {
                    self.accepted(role, packet.kind(), out);
                }
            }
            _ => {}
        }
    }

    fn closed(&mut self, place: usize, why: &str) {
        if let Some(Role::Publisher(publisher)) = self.roles.get(place)
            && let Some(sender) = self.senders.get_mut(*publisher)
        {
            sender.gone = true;
        }
        self.problems.add(format!("{}: {why}", self.name(place)));
    }
}
