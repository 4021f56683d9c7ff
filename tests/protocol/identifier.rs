//! Client Identifiers (section 3.1.3.1).

use std::collections::HashSet;

use harness::{Site, everywhere};
use mqtt::{ProtocolVersion, Qos, ReasonCode};

use crate::VERSIONS;

const ALLOWED: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Who the server would be if it counted: the next names after `name`.
fn next_names(name: &str) -> Vec<String> {
    let start = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u64 = name[start.len()..].parse().unwrap_or(0);
    (1..=3)
        .map(|more| format!("{start}{}", number.wrapping_add(more)))
        .collect()
}

async fn nameless(site: &Site) -> (String, harness::Client) {
    let client = site.builder("").persistent(100).connect().await;
    (client.assigned_client_id().unwrap(), client)
}

everywhere! {
    /// [MQTT-3.1.3-5] [MQTT3-3.1.3-5]
    async fn identifiers_of_1_to_23_letters_and_digits_are_accepted(site) {
        for version in VERSIONS {
            for client_id in [&ALLOWED[..1], &ALLOWED[..23], &ALLOWED[23..46], &ALLOWED[39..62]] {
                let mut client = site.builder(client_id).version(version).connect().await;
                client.ping().await;
                client.disconnect().await;
            }
        }
    }

    /// MQTT 3.1, section 3.1: 1 to 23 characters, or return code 2. Later versions set no limit.
    async fn an_identifier_of_mqtt_3_1_has_at_most_23_characters(site) {
        let longest = "é".repeat(23);
        let longer = "é".repeat(24);
        for version in VERSIONS {
            site.builder(&longest).version(version).connect().await.disconnect().await;
            let outcome = site.builder(&longer).version(version).try_connect().await;
            if version == ProtocolVersion::V3_1 {
                let reason = outcome.unwrap_err().reason_code();
                assert_eq!(reason, ReasonCode::ClientIdentifierNotValid);
            } else {
                outcome.unwrap().disconnect().await;
            }
        }
    }

    /// Identifiers are compared letter by letter.
    /// [MQTT-3.1.3-2]
    async fn similar_identifiers_are_different_clients(site) {
        let mut clients = Vec::new();
        for client_id in ["same", "Same", "same ", " same", "s\u{e1}me", "sa\u{301}me"] {
            clients.push(site.client(client_id).await);
        }
        for client in &mut clients {
            client.ping().await; // nobody was taken over
        }
    }

    /// An identifier that the server gives is nobody else's, whoever tries to be there first.
    /// [MQTT-3.2.2-16]
    async fn an_assigned_identifier_cannot_be_taken_beforehand(site) {
        let mut guesses = HashSet::new();
        for _ in 0..site.nodes().len() {
            guesses.extend(next_names(&nameless(site).await.0));
        }
        for guess in &guesses {
            let mut thief = site.builder(guess).persistent(100).connect().await;
            thief.subscribe("trap", Qos::AtLeastOnce).await;
            thief.disconnect().await;
        }
        for _ in 0..2 * site.nodes().len() {
            let (name, client) = nameless(site).await;
            assert!(!guesses.contains(&name), "{name} was to be expected");
            assert!(!client.session_present());
        }
    }
}
