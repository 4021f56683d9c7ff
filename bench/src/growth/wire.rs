//! Packets beyond those that the other scenarios need, and filters in great numbers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::BufMut as _;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    client::Client,
    packet::{self, DISCONNECT},
};

pub(super) const UNSUBACK: u8 = 11;

/// Filters in one SUBSCRIBE.
const FILTERS: usize = 200;
/// How long one answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Clients that are served at one time while everything is built up.
const AT_ONCE: usize = 100;

fn put_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.put_u8(first);
    let mut length = body.len();
    while length > 0x7f {
        out.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_slice(body);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// SUBSCRIBE to several filters, with packet identifier 1.
pub(super) fn subscribe(filters: &[String], qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        put_text(filter, &mut body);
        body.put_u8(qos);
    }
    let mut out = Vec::new();
    put_packet(0x82, &body, &mut out);
    out
}

/// UNSUBSCRIBE from one filter, with packet identifier 1.
pub(super) fn unsubscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    put_text(filter, &mut body);
    let mut out = Vec::new();
    put_packet(0xa2, &body, &mut out);
    out
}

/// A retained PUBLISH of QoS 1.
pub(super) fn put_retained(topic: &str, packet_id: u16, payload: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    put_text(topic, &mut body);
    body.put_u16(packet_id);
    body.put_slice(payload);
    put_packet(0x33, &body, out);
}

/// The `number`-th filter of a device: every second one has wildcards.
pub(super) fn filter(number: u32) -> String {
    if number.is_multiple_of(2) {
        format!("plant/{}/device/{number}/state", number % 1000)
    } else {
        format!("d/+/x/{number}/#")
    }
}

/// Many sessions with filters of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) name: &'static str,
    pub(super) at: SocketAddr,
    pub(super) sessions: u32,
    pub(super) filters: u32,
    pub(super) clean: bool,
}

impl Crowd {
    /// `sessions` that outlive their connections, with `filters` each.
    pub(super) const fn persistent(at: SocketAddr, sessions: u32, filters: u32) -> Self {
        Self {
            name: "growth",
            at,
            sessions,
            filters,
            clean: false,
        }
    }

    pub(super) fn client_id(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    /// Connects all and subscribes. Clean ones stay, the others go.
    pub(super) async fn arrive(self) -> anyhow::Result<Vec<Client>> {
        let turn = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        for number in 0..self.sessions {
            let turn = Arc::clone(&turn);
            under_way.spawn(async move {
                let _permit = turn.acquire().await?;
                let arrival = timeout(PATIENCE * 4, self.subscribe(number));
                arrival.await.context("a session is not taken in")?
            });
        }
        let mut clients = Vec::new();
        while let Some(client) = under_way.join_next().await {
            clients.extend(client??);
        }
        Ok(clients)
    }

    async fn subscribe(self, number: u32) -> anyhow::Result<Option<Client>> {
        let connect = packet::connect(&self.client_id(number), self.clean);
        let mut client = Client::open(self.at, &connect).await?;
        let from = number * self.filters;
        let filters: Vec<String> = (from..from + self.filters).map(filter).collect();
        for some in filters.chunks(FILTERS) {
            client.ask(&subscribe(some, 1), packet::SUBACK).await?;
        }
        if self.clean {
            return Ok(Some(client));
        }
        client.out.extend_from_slice(&DISCONNECT);
        client.flush().await?;
        // The node closes when everything of the session is stored.
        while client.turn(|_, _| ()).await.unwrap_or(false) {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscribe_to_many_filters_is_as_long_as_it_says() {
        let filters: Vec<String> = (0..FILTERS as u32).map(filter).collect();
        let whole = subscribe(&filters, 1);
        let mut input = whole.as_slice();
        let packet = packet::take(&mut input).unwrap().unwrap();
        assert!(input.is_empty());
        assert_eq!(packet.kind(), 8);
        let texts: usize = filters.iter().map(|filter| filter.len() + 3).sum();
        assert_eq!(packet.body.len(), texts + 2);
    }

    #[test]
    fn a_retained_message_is_as_long_as_it_says() {
        let mut out = Vec::new();
        put_retained("a/b", 7, &[1; 200], &mut out);
        let mut input = out.as_slice();
        let packet = packet::take(&mut input).unwrap().unwrap();
        assert!(input.is_empty());
        assert_eq!((packet.first, packet.body.len()), (0x33, 2 + 3 + 2 + 200));
    }
}
