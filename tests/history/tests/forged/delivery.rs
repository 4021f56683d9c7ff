//! Loss, gaps, duplicates, order, phantoms, QoS.

use history::{Happened, Kind, Retain, Rules, Side, check};

use crate::forge::{Forge, HOUR, received};

/// A persistent subscriber, and a publisher with one acknowledged message.
fn published(qos: u8, granted: u8) -> Forge {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t/+", granted)
        .connect("p", 0)
        .publish("p:1", "t/a", qos);
    forge
}

#[test]
fn an_acknowledged_message_that_never_comes_is_lost() {
    published(1, 1).is_guilty_of(&[Kind::Loss]);
    published(1, 1).receive("s", "p:1", 1).is_innocent();
    published(2, 1).is_guilty_of(&[Kind::Loss]);
    published(2, 2).receive("s", "p:1", 2).is_innocent();
}

#[test]
fn a_retained_delivery_is_not_the_one_that_was_promised() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t", 1)
        .connect("p", 0)
        .retain("p:1", "t", 1)
        .subscribe("s", "t", 1)
        .receive_retained("s", "p:1", 1);
    forge.is_guilty_of(&[Kind::Loss]);
    forge.receive("s", "p:1", 1).is_innocent();
}

#[test]
fn nothing_is_promised_with_qos_0() {
    published(0, 1).is_innocent();
    published(1, 0).is_innocent();
}

#[test]
fn nothing_is_promised_without_acknowledgement() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t", 1)
        .connect("p", 0)
        .send("p:1", "t", 1)
        .acknowledge_with("p:1", 0x97)
        .is_innocent();
}

#[test]
fn nothing_is_promised_for_what_was_sent_before_suback() {
    let mut forge = Forge::new();
    forge
        .connect("s", HOUR)
        .ask("s", "t", 1)
        .connect("p", 0)
        .send("p:1", "t", 1)
        .grant("s", "t", 1)
        .acknowledge("p:1")
        .is_innocent();
}

#[test]
fn nothing_is_promised_to_a_refused_subscription() {
    let mut forge = Forge::new();
    forge
        .connect("s", HOUR)
        .ask("s", "t", 1)
        .grant("s", "t", 0x87)
        .connect("p", 0)
        .publish("p:1", "t", 1)
        .is_innocent();
}

#[test]
fn unsubscribing_ends_the_promise() {
    published(1, 1).unsubscribe("s", "t/+").is_innocent();
    published(1, 1)
        .unsubscribe("s", "t/b")
        .is_guilty_of(&[Kind::Loss]);
    published(1, 1).subscribe("s", "t/+", 0).is_innocent();
    published(1, 1)
        .subscribe("s", "t/+", 2)
        .is_guilty_of(&[Kind::Loss]);
}

#[test]
fn a_session_keeps_what_came_while_its_client_was_away() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t", 1)
        .close("s", Side::ClientAbruptly)
        .connect("p", 0)
        .publish("p:1", "t", 1);
    forge.is_innocent(); // It waits in the queue.
    forge.resume("s");
    forge.is_guilty_of(&[Kind::Loss]);
    forge.receive("s", "p:1", 1).is_innocent();
}

#[test]
fn clean_start_ends_the_promise() {
    let mut forge = published(1, 1);
    forge
        .close("s", Side::ClientAbruptly)
        .dial_with("s", true, HOUR, None)
        .accept("s", false)
        .subscribe("s", "t/+", 1)
        .is_innocent();
}

#[test]
fn an_unanswered_clean_start_makes_the_session_doubtful() {
    let away = |clean_start| {
        let mut forge = published(1, 1);
        forge
            .close("s", Side::ClientAbruptly)
            .dial_with("s", clean_start, HOUR, None)
            .close("s", Side::ClientAbruptly)
            .resume("s");
        forge
    };
    away(true).is_innocent();
    away(false).is_guilty_of(&[Kind::Loss]);
}

#[test]
fn an_unanswered_clean_start_may_be_handled_late_but_not_for_ever() {
    let late = |wait| {
        let mut forge = Forge::new();
        forge
            .dial_with("s", true, HOUR, None)
            .close("s", Side::ClientAbruptly)
            .subscriber("s", "t", 1)
            .connect("p", 0)
            .publish("p:1", "t", 1)
            .close("s", Side::Server)
            .wait(wait)
            .resume("s");
        forge
    };
    late(0).is_innocent();
    late(10).is_guilty_of(&[Kind::Loss]);
}

#[test]
fn an_expired_session_promises_nothing() {
    let away = |time, present| {
        let mut forge = published(1, 1);
        forge
            .close("s", Side::ClientAbruptly)
            .wait(time)
            .dial("s", HOUR)
            .accept("s", present);
        forge
    };
    away(HOUR + 1, false).is_innocent();
    away(HOUR - 1, false).is_guilty_of(&[Kind::SessionLost]);
    away(HOUR - 1, true).is_guilty_of(&[Kind::Loss]);
}

#[test]
fn a_clean_session_is_promised_what_comes_while_its_connection_lives() {
    let clean = || {
        let mut forge = Forge::new();
        forge
            .connect("s", 0)
            .subscribe("s", "t", 1)
            .connect("p", 0)
            .publish("p:1", "t", 1);
        forge
    };
    clean().is_guilty_of(&[Kind::Loss]);
    clean().receive("s", "p:1", 1).is_innocent();
    clean().close("s", Side::Server).is_innocent();
}

#[test]
fn a_gap_is_found_though_the_connection_ended() {
    let gap = || {
        let mut forge = Forge::new();
        forge
            .connect("s", 0)
            .subscribe("s", "t", 1)
            .connect("p", 0)
            .publish("p:1", "t", 1)
            .publish("p:2", "t", 1);
        forge
    };
    gap()
        .receive("s", "p:2", 1)
        .close("s", Side::Server)
        .is_guilty_of(&[Kind::Gap]);
    gap()
        .receive("s", "p:1", 1)
        .close("s", Side::Server)
        .is_innocent();
    gap()
        .receive("s", "p:1", 1)
        .receive("s", "p:2", 1)
        .close("s", Side::Server)
        .is_innocent();
}

#[test]
fn what_was_missed_between_two_clean_connections_is_no_gap() {
    let mut forge = Forge::new();
    forge
        .connect("s", 0)
        .subscribe("s", "t", 1)
        .close("s", Side::Server)
        .connect("p", 0)
        .publish("p:1", "t", 1)
        .connect("s", 0)
        .subscribe("s", "t", 1)
        .publish("p:2", "t", 1)
        .receive("s", "p:2", 1)
        .is_innocent();
}

#[test]
fn another_topic_or_qos_is_no_gap() {
    let mut forge = Forge::new();
    forge
        .connect("s", 0)
        .subscribe("s", "#", 2)
        .connect("p", 0)
        .publish("p:1", "a", 1)
        .publish("p:2", "b", 1)
        .publish("p:3", "b", 2)
        .receive("s", "p:3", 2)
        .close("s", Side::Server)
        .is_innocent();
}

#[test]
fn a_message_that_was_sent_again_later_is_no_gap() {
    let gap = |again: bool| {
        let mut forge = Forge::new();
        forge
            .connect("s", 0)
            .subscribe("s", "t", 1)
            .connect("p", 0)
            .send("p:1", "t", 1);
        if !again {
            forge.acknowledge("p:1");
        }
        forge
            .close("p", Side::Server)
            .connect("p", 0)
            .publish("p:2", "t", 1);
        if again {
            forge.send_again("p:1").acknowledge("p:1");
        }
        forge.receive("s", "p:2", 1).close("s", Side::Server);
        forge
    };
    gap(true).is_innocent();
    gap(false).is_guilty_of(&[Kind::Gap]);
}

fn delivered(qos: u8) -> Forge {
    let mut forge = published(qos, qos);
    forge.receive("s", "p:1", qos);
    forge
}

#[test]
fn qos_2_comes_once() {
    delivered(2).is_innocent();
    delivered(2)
        .receive("s", "p:1", 2)
        .is_guilty_of(&[Kind::Duplicate]);
    delivered(2)
        .close("s", Side::Server)
        .resume("s")
        .receive("s", "p:1", 2)
        .is_guilty_of(&[Kind::Duplicate]);
}

#[test]
fn a_fault_is_no_excuse_for_a_qos_2_duplicate() {
    let mut forge = delivered(2);
    forge
        .fault("kill a", true)
        .receive("s", "p:1", 2)
        .is_guilty_of(&[Kind::Duplicate]);
}

#[test]
fn a_new_session_may_get_a_qos_2_message_again() {
    delivered(2)
        .close("s", Side::Server)
        .dial_with("s", true, HOUR, None)
        .accept("s", false)
        .subscribe("s", "t/+", 2)
        .receive("s", "p:1", 2)
        .is_innocent();
}

#[test]
fn a_qos_2_message_published_again_in_another_session_may_come_again() {
    let again = |expiry, present| {
        let mut forge = Forge::new();
        forge
            .subscriber("s", "t", 2)
            .connect("p", expiry)
            .send("p:1", "t", 2)
            .receive("s", "p:1", 2)
            .close("p", Side::Server)
            .dial("p", expiry)
            .accept("p", present)
            .send_again("p:1")
            .acknowledge("p:1")
            .complete("p:1")
            .receive("s", "p:1", 2);
        forge
    };
    again(0, false).is_innocent();
    again(HOUR, true).is_guilty_of(&[Kind::Duplicate]);
}

#[test]
fn what_is_read_from_an_old_connection_during_a_takeover_is_no_duplicate() {
    let takeover = |connection| {
        let mut forge = published(2, 2);
        forge
            .resume("s")
            .receive("s", "p:1", 2)
            .on("s", connection, received("p:1", "t/a", 2, Retain::No))
            .on(
                "s",
                1,
                Happened::Closed {
                    by: Side::Server,
                    reason: Some(0x8E),
                },
            );
        forge
    };
    takeover(1).is_innocent();
    takeover(2).is_guilty_of(&[Kind::Duplicate]);
}

#[test]
fn a_qos_1_duplicate_needs_a_cause() {
    delivered(1)
        .receive("s", "p:1", 1)
        .is_guilty_of(&[Kind::UncausedDuplicate]);
    let verdict = delivered(1).receive("s", "p:1", 1).verdict();
    assert_eq!(verdict.counts.duplicates_without_cause, 1);
}

#[test]
fn causes_of_qos_1_duplicates() {
    let innocent = |forge: &mut Forge| {
        forge.is_innocent();
        assert_eq!(forge.verdict().counts.duplicates_with_cause, 1);
    };
    innocent(delivered(1).resume("s").receive("s", "p:1", 1));
    innocent(
        delivered(1)
            .connect("p", 0)
            .send_again("p:1")
            .receive("s", "p:1", 1),
    );
    innocent(delivered(1).fault("stop a", true).receive("s", "p:1", 1));
    innocent(
        delivered(1)
            .fault("stop a", true)
            .fault("stop a", false)
            .wait(9)
            .receive("s", "p:1", 1),
    );
    delivered(1)
        .fault("stop a", true)
        .fault("stop a", false)
        .wait(11)
        .receive("s", "p:1", 1)
        .is_guilty_of(&[Kind::UncausedDuplicate]);
}

#[test]
fn retained_deliveries_are_no_duplicates() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t", 2)
        .connect("p", 0)
        .retain("p:1", "t", 2)
        .receive("s", "p:1", 2)
        .subscribe("s", "t", 2)
        .receive_retained("s", "p:1", 2)
        .is_innocent();
}

fn two(first: &str, second: &str) -> Forge {
    let mut forge = published(1, 1);
    forge
        .publish("p:2", "t/a", 1)
        .receive("s", first, 1)
        .receive("s", second, 1);
    forge
}

#[test]
fn messages_come_in_the_order_in_which_they_were_sent() {
    two("p:1", "p:2").is_innocent();
    two("p:2", "p:1").is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn order_holds_for_one_topic_and_one_qos() {
    let two = |topic: &str, qos| {
        let mut forge = published(1, 2);
        forge
            .publish("p:2", topic, qos)
            .receive("s", "p:2", qos)
            .receive("s", "p:1", 1);
        forge
    };
    two("t/b", 1).is_innocent();
    two("t/a", 2).is_innocent();
    two("t/a", 1).is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn only_the_first_reception_has_to_be_in_order() {
    two("p:1", "p:2")
        .resume("s")
        .receive("s", "p:1", 1)
        .receive("s", "p:2", 1)
        .is_innocent();
}

#[test]
fn a_publisher_may_overtake_itself_on_a_new_connection() {
    let overtake = |acknowledged: bool| {
        let mut forge = Forge::new();
        forge
            .subscriber("s", "t", 1)
            .connect("p", 0)
            .send("p:1", "t", 1);
        if acknowledged {
            forge.acknowledge("p:1");
        }
        forge
            .close("p", Side::Server)
            .connect("p", 0)
            .publish("p:2", "t", 1)
            .send_again("p:1")
            .acknowledge("p:1")
            .receive("s", "p:2", 1)
            .receive("s", "p:1", 1);
        forge
    };
    overtake(false).is_innocent();
    overtake(true).is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn a_subscription_may_begin_between_two_messages_that_are_sent_again() {
    let again = |before: bool, qos: u8| {
        let mut forge = Forge::new();
        forge.connect("s", 0).connect("p", HOUR).ask("s", "t", qos);
        if before {
            forge.grant("s", "t", qos);
        }
        forge.send("p:1", "t", qos).send("p:2", "t", qos);
        if !before {
            forge.grant("s", "t", qos);
        }
        forge
            .receive("s", "p:2", qos)
            .close("p", Side::Server)
            .resume("p");
        for message in ["p:1", "p:2"] {
            forge.send_again(message).acknowledge(message);
            if qos == 2 {
                forge.complete(message);
            }
        }
        forge.receive("s", "p:1", qos);
        if qos == 1 {
            forge.receive("s", "p:2", 1);
        }
        forge
    };
    for qos in [1, 2] {
        again(false, qos).is_innocent();
        again(true, qos).is_guilty_of(&[Kind::Disorder]);
    }
}

#[test]
fn order_is_that_of_one_session() {
    let again = |expiry| {
        let mut forge = Forge::new();
        forge
            .connect("s", expiry)
            .subscribe("s", "t", 2)
            .connect("p", HOUR)
            .send("p:1", "t", 2)
            .send("p:2", "t", 2)
            .receive("s", "p:2", 2)
            .close("s", Side::Server);
        if expiry == 0 {
            forge.connect("s", 0).subscribe("s", "t", 2);
        } else {
            forge.resume("s");
        }
        forge.close("p", Side::Server).resume("p");
        for message in ["p:1", "p:2"] {
            forge
                .send_again(message)
                .acknowledge(message)
                .complete(message);
        }
        forge.receive("s", "p:1", 2);
        forge
    };
    again(0).is_innocent();
    again(HOUR).is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn a_refused_message_that_is_sent_again_comes_later() {
    let refused = |reason| {
        let mut forge = Forge::new();
        forge
            .subscriber("s", "t", 1)
            .connect("p", 0)
            .send("p:1", "t", 1)
            .acknowledge_with("p:1", reason)
            .publish("p:2", "t", 1)
            .send_again("p:1")
            .acknowledge("p:1")
            .receive("s", "p:2", 1)
            .receive("s", "p:1", 1);
        forge
    };
    refused(0x97).is_innocent();
    refused(0).is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn an_old_connection_may_be_read_late() {
    let takeover = |connection| {
        let mut forge = Forge::new();
        forge
            .subscriber("s", "t", 1)
            .connect("p", 0)
            .publish("p:1", "t", 1)
            .publish("p:2", "t", 1)
            .resume("s")
            .receive("s", "p:2", 1)
            .on("s", connection, received("p:1", "t", 1, Retain::No))
            .on(
                "s",
                1,
                Happened::Closed {
                    by: Side::Server,
                    reason: None,
                },
            );
        forge
    };
    takeover(1).is_innocent();
    takeover(2).is_guilty_of(&[Kind::Disorder]);
}

#[test]
fn nobody_receives_what_nobody_sent() {
    published(1, 1)
        .receive("s", "p:1", 1)
        .receive_on("s", "p:2", "t/a", 1)
        .is_guilty_of(&[Kind::Phantom]);
    published(1, 1)
        .receive("s", "p:1", 1)
        .receive_on("s", "p:2", "t/a", 1)
        .send("p:2", "t/a", 1)
        .acknowledge("p:2")
        .is_guilty_of(&[Kind::Phantom, Kind::Loss]);
}

#[test]
fn a_message_keeps_its_topic_and_its_retain() {
    delivered(1)
        .resume("s")
        .receive_on("s", "p:1", "t/b", 1)
        .is_guilty_of(&[Kind::Phantom]);
    delivered(1)
        .subscribe("s", "t/+", 1)
        .receive_retained("s", "p:1", 1)
        .is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn nobody_receives_what_does_not_match() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t/+", 1)
        .connect("p", 0)
        .publish("p:1", "u", 1);
    forge.is_innocent();
    forge.receive("s", "p:1", 1).is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn after_unsuback_comes_only_what_was_sent_before() {
    let mut before = published(1, 1);
    before
        .unsubscribe("s", "t/+")
        .receive("s", "p:1", 1)
        .is_innocent();
    let after = |acknowledged: bool| {
        let mut forge = Forge::new();
        forge.subscriber("s", "t", 1).connect("p", 0);
        if acknowledged {
            forge.unsubscribe("s", "t");
        } else {
            forge.unask("s", "t");
        }
        forge.publish("p:1", "t", 1).receive("s", "p:1", 1);
        forge
    };
    after(false).is_innocent();
    after(true).is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn a_server_may_deliver_before_suback() {
    let mut forge = Forge::new();
    forge.connect("p", 0).connect("s", HOUR);
    forge
        .clone()
        .ask("s", "t", 1)
        .publish("p:1", "t", 1)
        .receive("s", "p:1", 1)
        .grant("s", "t", 1)
        .is_innocent();
    forge
        .publish("p:1", "t", 1)
        .receive("s", "p:1", 1)
        .subscribe("s", "t", 1)
        .is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn a_subscription_ends_with_its_session() {
    let next = |present| {
        let mut forge = Forge::new();
        forge
            .dial("s", 1)
            .accept("s", false)
            .subscribe("s", "t", 1)
            .close("s", Side::Server)
            .wait(2)
            .dial("s", HOUR)
            .accept("s", present)
            .connect("p", 0)
            .publish("p:1", "t", 1)
            .receive("s", "p:1", 1);
        forge
    };
    next(true).is_innocent();
    next(false).is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn the_qos_of_a_delivery_is_the_lower_of_both() {
    for (published_with, granted, delivered, right) in [
        (1, 2, 1, true),
        (1, 2, 2, false),
        (2, 1, 1, true),
        (2, 1, 2, false),
        (2, 2, 1, false),
        (0, 2, 1, false),
        (1, 0, 0, true),
        (1, 1, 0, false),
    ] {
        let mut forge = published(published_with, granted);
        forge.receive("s", "p:1", delivered);
        if right {
            forge.is_innocent();
        } else {
            forge.is_guilty_of(&[Kind::WrongQos]);
        }
    }
}

#[test]
fn while_a_subscription_is_replaced_either_qos_is_right() {
    let mut forge = Forge::new();
    forge
        .subscriber("s", "t", 1)
        .ask("s", "t", 2)
        .connect("p", 0)
        .publish("p:1", "t", 2)
        .receive("s", "p:1", 1)
        .grant("s", "t", 2)
        .is_innocent();
}

#[test]
fn a_history_must_settle_and_be_sound() {
    let kinds = |forge: &Forge| -> Vec<Kind> {
        let verdict = check(&forge.history(), &Rules::default());
        verdict.violations.iter().map(|found| found.kind).collect()
    };
    assert_eq!(kinds(&Forge::new()), [Kind::Unsettled]);
    let mut stranger = Forge::new();
    stranger
        .on("s", 7, Happened::Pong)
        .is_guilty_of(&[Kind::Unsound]);
    Forge::new()
        .connect("p", 0)
        .publish("p:1", "t", 1)
        .publish("p:1", "u", 1)
        .is_guilty_of(&[Kind::Unsound]);
    Forge::new()
        .connect("p", 0)
        .acknowledge("p:1")
        .is_guilty_of(&[Kind::Unsound]);
}

/// What goes to such sessions is in the memory of its sender, and in a table that a crash empties.
#[test]
fn a_session_that_ends_with_its_connection_may_lose_when_the_database_and_a_node_fail_together() {
    let history = |expiry, faults: &[&str]| {
        let mut forge = Forge::new();
        forge
            .connect("s", expiry)
            .subscribe("s", "t", 1)
            .connect("p", 0)
            .publish("p:1", "t", 1);
        for fault in faults {
            forge.wait(2).fault(fault, true).wait(1).fault(fault, false);
        }
        forge
    };
    history(0, &["crash of the database", "kill a"]).is_innocent();
    history(0, &["kill a", "outage of the database"]).is_innocent();
    history(0, &["crash of the database", "resets"]).is_guilty_of(&[Kind::Loss]);
    history(0, &["kill a", "pause b"]).is_guilty_of(&[Kind::Loss]);
    history(HOUR, &["crash of the database", "kill a"]).is_guilty_of(&[Kind::Loss]);
}
