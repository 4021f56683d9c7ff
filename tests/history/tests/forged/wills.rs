//! Wills, owners, retained messages, what is stuck.

use history::{Happened, Kind, Retain, Side};

use crate::forge::{Forge, HOUR, received};

/// A watcher of Wills, and a client that has one.
fn watched(expiry: u64, delay: u64) -> Forge {
    let mut forge = Forge::new();
    forge
        .subscriber("w", "will/+", 1)
        .connect_with_will("c", expiry, delay);
    forge
}

impl Forge {
    fn will_comes(&mut self) -> &mut Self {
        self.note("w", received("will/c:1", "will/c", 1, Retain::No))
    }
}

#[test]
fn the_will_of_a_lost_connection_comes() {
    for by in [Side::ClientAbruptly, Side::Server] {
        watched(0, 0)
            .close("c", by)
            .is_guilty_of(&[Kind::MissingWill]);
        watched(0, 0).close("c", by).will_comes().is_innocent();
    }
    watched(0, 0).is_innocent();
}

#[test]
fn no_will_is_due_without_watcher_or_connection() {
    Forge::new()
        .connect_with_will("c", 0, 0)
        .subscriber("w", "will/+", 1)
        .close("c", Side::Server)
        .is_innocent();
    Forge::new()
        .subscriber("w", "will/+", 1)
        .dial_with("c", true, 0, Some(crate::forge::will("c", 0)))
        .refuse("c", 0)
        .close("c", Side::ClientAbruptly)
        .is_innocent();
}

#[test]
fn disconnect_deletes_the_will() {
    watched(0, 0).close("c", Side::ClientNormally).is_innocent();
    watched(0, 0)
        .close("c", Side::ClientNormally)
        .will_comes()
        .is_guilty_of(&[Kind::UndueWill]);
}

#[test]
fn a_fault_may_swallow_a_disconnect() {
    watched(0, 0)
        .fault("reset", true)
        .close("c", Side::ClientNormally)
        .will_comes()
        .is_innocent();
    watched(0, 0)
        .close("c", Side::ClientNormally)
        .fault("kill a", true)
        .will_comes()
        .is_innocent();
    watched(0, 0)
        .fault("reset", true)
        .fault("reset", false)
        .wait(20)
        .close("c", Side::ClientNormally)
        .will_comes()
        .is_guilty_of(&[Kind::UndueWill]);
}

#[test]
fn a_takeover_may_be_faster_than_a_disconnect() {
    let closed = Happened::Closed {
        by: Side::ClientNormally,
        reason: None,
    };
    watched(0, 0)
        .dial("c", 0)
        .on("c", 1, closed.clone())
        .accept("c", false)
        .will_comes()
        .is_innocent();
    let after = |time| {
        let mut forge = watched(0, 0);
        forge
            .on("c", 1, closed.clone())
            .wait(time)
            .dial("c", 0)
            .accept("c", false)
            .will_comes();
        forge
    };
    after(0).is_innocent();
    after(6).is_guilty_of(&[Kind::UndueWill]);
}

#[test]
fn a_refused_connection_has_no_will() {
    let mut forge = Forge::new();
    forge
        .subscriber("w", "will/+", 1)
        .dial_with("c", true, 0, Some(crate::forge::will("c", 0)))
        .refuse("c", 0x87)
        .will_comes()
        .is_guilty_of(&[Kind::UndueWill]);
}

#[test]
fn a_connection_without_will_has_none() {
    let mut forge = Forge::new();
    forge
        .subscriber("w", "will/+", 1)
        .connect("c", 0)
        .close("c", Side::Server)
        .will_comes()
        .is_guilty_of(&[Kind::Phantom]);
}

#[test]
fn a_will_comes_once() {
    let twice = || {
        let mut forge = watched(0, 0);
        forge.close("c", Side::Server).will_comes();
        forge
    };
    twice().will_comes().is_guilty_of(&[Kind::DoubleWill]);
    twice().resume("w").will_comes().is_innocent();
    twice().fault("kill a", true).will_comes().is_innocent();
}

#[test]
fn with_qos_2_a_fault_excuses_no_second_will() {
    let will = history::WillPlan {
        qos: 2,
        ..crate::forge::will("c", 0)
    };
    let twice = received("will/c:1", "will/c", 2, Retain::No);
    let mut forge = Forge::new();
    forge
        .subscriber("w", "will/+", 2)
        .dial_with("c", true, 0, Some(will))
        .accept("c", false)
        .fault("kill a", true)
        .close("c", Side::Server)
        .note("w", twice.clone())
        .is_innocent();
    forge
        .resume("w")
        .note("w", twice)
        .is_guilty_of(&[Kind::DoubleWill]);
}

#[test]
fn a_will_comes_after_its_connection() {
    watched(0, 0).will_comes().is_guilty_of(&[Kind::EarlyWill]);
    watched(0, 0)
        .will_comes()
        .ping("c")
        .close("c", Side::Server)
        .is_guilty_of(&[Kind::EarlyWill]);
    // The server may have closed the connection before the client saw it.
    watched(0, 0)
        .will_comes()
        .close("c", Side::Server)
        .is_innocent();
    watched(0, 0)
        .will_comes()
        .close("c", Side::ClientAbruptly)
        .is_guilty_of(&[Kind::EarlyWill]);
    watched(0, 0)
        .fault("kill a", true)
        .will_comes()
        .close("c", Side::ClientAbruptly)
        .is_innocent();
    // A node that is cut off answers on.
    watched(0, 0)
        .fault("cut a", true)
        .will_comes()
        .ping("c")
        .close("c", Side::ClientAbruptly)
        .is_innocent();
    watched(0, 0)
        .fault("cut a", true)
        .will_comes()
        .subscribe("c", "t", 1)
        .close("c", Side::ClientAbruptly)
        .is_guilty_of(&[Kind::EarlyWill]);
    watched(0, 0)
        .dial("c", 0)
        .will_comes()
        .accept("c", false)
        .is_innocent();
}

#[test]
fn an_attempt_that_was_given_up_may_take_over_late() {
    let late = |time, by| {
        let mut forge = Forge::new();
        forge
            .subscriber("w", "will/+", 1)
            .dial("c", 0)
            .close("c", Side::ClientAbruptly)
            .wait(time)
            .connect_with_will("c", 0, 0);
        let will = received("will/c:2", "will/c", 1, Retain::No);
        if by == Side::ClientNormally {
            forge.close("c", by).note("w", will);
        } else {
            forge.note("w", will).close("c", by);
        }
        forge
    };
    late(0, Side::ClientAbruptly).is_innocent();
    late(6, Side::ClientAbruptly).is_guilty_of(&[Kind::EarlyWill]);
    late(0, Side::ClientNormally).is_innocent();
    late(6, Side::ClientNormally).is_guilty_of(&[Kind::UndueWill]);
}

#[test]
fn a_takeover_makes_the_will_due() {
    let takeover = || {
        let mut forge = watched(HOUR, 0);
        forge.resume("c");
        forge
    };
    takeover().is_guilty_of(&[Kind::MissingWill]);
    takeover().will_comes().is_innocent();
}

#[test]
fn a_new_connection_cancels_a_delayed_will() {
    let back = |away, will: bool| {
        let mut forge = watched(HOUR, 20);
        forge
            .close("c", Side::ClientAbruptly)
            .wait(away)
            .resume("c");
        if will {
            forge.will_comes();
        }
        forge
    };
    back(10, false).is_innocent();
    back(10, true).is_guilty_of(&[Kind::UndueWill]);
    back(25, true).is_innocent();
    back(25, false).is_innocent(); // Within will_grace.
    back(31, false).is_guilty_of(&[Kind::MissingWill]);
}

#[test]
fn clean_start_ends_the_delay() {
    let again = |clean_start, fault| {
        let mut forge = watched(HOUR, 20);
        forge.close("c", Side::ClientAbruptly);
        if fault {
            forge.fault("kill a", true).fault("kill a", false);
        }
        forge
            .dial_with("c", clean_start, HOUR, None)
            .accept("c", !clean_start);
        forge
    };
    again(true, false).is_guilty_of(&[Kind::MissingWill]);
    again(true, true).is_innocent();
    again(false, false).is_innocent();
}

#[test]
fn a_client_that_is_back_before_its_node_is_found_dead_may_cancel_its_will() {
    let back = |away| {
        let mut forge = watched(HOUR, 0);
        forge
            .fault("kill a", true)
            .close("c", Side::Server)
            .fault("kill a", false)
            .wait(away)
            .resume("c");
        forge
    };
    back(5).is_innocent();
    back(11).is_guilty_of(&[Kind::MissingWill]);
}

#[test]
fn a_connection_that_was_taken_over_is_not_served() {
    let takeover = |late: bool| {
        let mut forge = Forge::new();
        forge.connect("c", HOUR);
        if late {
            forge
                .resume("c")
                .on("c", 1, Happened::Ping)
                .on("c", 1, Happened::Pong);
        } else {
            forge
                .on("c", 1, Happened::Ping)
                .resume("c")
                .on("c", 1, Happened::Pong);
        }
        forge
    };
    takeover(true).is_guilty_of(&[Kind::TwoOwners]);
    takeover(false).is_innocent();
}

#[test]
fn a_node_that_is_cut_off_answers_pings_and_nothing_else() {
    let takeover = |cut: &[bool], pause: u64, what: [Happened; 2]| {
        let mut forge = Forge::new();
        forge.connect("c", HOUR);
        for begins in cut {
            forge.fault("cut", *begins);
        }
        let [request, answer] = what;
        forge
            .resume("c")
            .wait(pause)
            .on("c", 1, request)
            .on("c", 1, answer);
        forge
    };
    let ping = || [Happened::Ping, Happened::Pong];
    takeover(&[], 0, ping()).is_guilty_of(&[Kind::TwoOwners]);
    takeover(&[true], 0, ping()).is_innocent();
    takeover(&[true, false], 0, ping()).is_innocent();
    takeover(&[true, false], 60, ping()).is_guilty_of(&[Kind::TwoOwners]);
    let subscribe = || {
        let filter = || "t".to_owned();
        let (qos, reason) = (1, 1);
        [
            Happened::Subscribe {
                filter: filter(),
                qos,
            },
            Happened::Subscribed {
                filter: filter(),
                reason,
            },
        ]
    };
    takeover(&[true], 0, subscribe()).is_guilty_of(&[Kind::TwoOwners]);
    takeover(&[true, false], 0, subscribe()).is_guilty_of(&[Kind::TwoOwners]);
}

#[test]
fn a_refusal_is_no_service() {
    let old = |reason| {
        let mut forge = Forge::new();
        let publish = Happened::Publish {
            message: crate::forge::id("c:1"),
            topic: "t".to_owned(),
            qos: 1,
            retain: Retain::No,
            is_repeated: false,
        };
        let acknowledged = Happened::Acknowledged {
            message: crate::forge::id("c:1"),
            reason,
        };
        forge
            .connect("c", HOUR)
            .resume("c")
            .on("c", 1, publish)
            .on("c", 1, acknowledged);
        forge
    };
    old(0x88).is_innocent();
    old(0).is_guilty_of(&[Kind::TwoOwners]);
}

#[test]
fn of_two_handshakes_that_overlap_either_may_win() {
    let both = |served: &[u32]| {
        let mut forge = Forge::new();
        let accepted = Happened::Connected {
            session_present: false,
        };
        forge
            .dial("c", 0)
            .dial("c", 0)
            .on("c", 1, accepted.clone())
            .on("c", 2, accepted);
        for connection in served {
            forge
                .on("c", *connection, Happened::Ping)
                .on("c", *connection, Happened::Pong);
        }
        forge
    };
    both(&[1]).is_innocent();
    both(&[2]).is_innocent();
    both(&[1, 2]).is_guilty_of(&[Kind::TwoOwners]);
}

fn retained() -> Forge {
    let mut forge = Forge::new();
    forge
        .connect("p", 0)
        .retain("p:1", "t/a", 1)
        .retain("p:2", "t/a", 1);
    forge.connect("s", 0).subscribe("s", "t/+", 1);
    forge
}

#[test]
fn a_new_subscription_gets_the_last_retained_message() {
    retained().is_guilty_of(&[Kind::RetainedMissing]);
    retained().receive_retained("s", "p:2", 1).is_innocent();
    retained()
        .receive_retained("s", "p:1", 1)
        .is_guilty_of(&[Kind::RetainedOld]);
    retained().close("s", Side::Server).is_innocent();
    retained()
        .wait(6)
        .close("s", Side::Server)
        .is_guilty_of(&[Kind::RetainedMissing]);
    retained().unsubscribe("s", "t/+").is_innocent();
}

#[test]
fn a_fault_may_delay_retained_messages() {
    retained()
        .fault("stop db", true)
        .wait(6)
        .close("s", Side::Server)
        .is_innocent();
    retained()
        .fault("stop db", true)
        .is_guilty_of(&[Kind::RetainedMissing]);
}

#[test]
fn what_was_not_acknowledged_before_need_not_come() {
    let mut forge = Forge::new();
    forge
        .connect("p", 0)
        .retain("p:1", "t", 1)
        .send_retained("p:2", "t")
        .connect("s", 0)
        .subscribe("s", "t", 1)
        .acknowledge("p:2");
    forge
        .clone()
        .receive("s", "p:2", 1)
        .receive_retained("s", "p:1", 1)
        .is_innocent();
    forge.receive_retained("s", "p:2", 1).is_innocent();
}

impl Forge {
    /// PUBLISH with RETAIN, without answer.
    fn send_retained(&mut self, message: &str, topic: &str) -> &mut Self {
        self.retain(message, topic, 1);
        self.entries.pop();
        self
    }
}

#[test]
fn qos_0_and_granted_0_promise_no_retained_message() {
    Forge::new()
        .connect("p", 0)
        .retain("p:1", "t", 0)
        .connect("s", 0)
        .subscribe("s", "t", 1)
        .is_innocent();
    Forge::new()
        .connect("p", 0)
        .retain("p:1", "t", 1)
        .connect("s", 0)
        .subscribe("s", "t", 0)
        .is_innocent();
}

#[test]
fn a_shared_subscription_gets_no_retained_message() {
    Forge::new()
        .connect("p", 0)
        .retain("p:1", "t", 1)
        .connect("s", 0)
        .subscribe("s", "$share/g/t", 1)
        .is_innocent();
}

#[test]
fn a_late_answer_to_an_earlier_subscription_may_be_older() {
    let late = |wait| {
        let mut forge = Forge::new();
        forge
            .connect("p", 0)
            .retain("p:1", "t", 1)
            .connect("s", 0)
            .subscribe("s", "t", 1)
            .retain("p:2", "t", 1)
            .receive("s", "p:2", 1)
            .wait(wait)
            .subscribe("s", "t", 1)
            .receive_retained("s", "p:1", 1);
        forge
    };
    late(0).is_innocent();
    late(6).is_guilty_of(&[Kind::RetainedOld]);
}

#[test]
fn a_retained_message_that_was_sent_again_may_be_back() {
    let again = |again: bool| {
        let mut forge = Forge::new();
        forge.connect("p", 0).send_retained("p:1", "t");
        if !again {
            forge.acknowledge("p:1");
        }
        forge.connect("p", 0).retain("p:2", "t", 1);
        if again {
            forge.send_again("p:1").acknowledge("p:1");
        }
        forge
            .connect("s", 0)
            .subscribe("s", "t", 1)
            .receive_retained("s", "p:1", 1);
        forge
    };
    again(true).is_innocent();
    again(false).is_guilty_of(&[Kind::RetainedOld]);
}

#[test]
fn one_topic_has_one_publisher_of_retained_messages() {
    Forge::new()
        .connect("p", 0)
        .retain("p:1", "t", 1)
        .connect("q", 0)
        .retain("q:1", "t", 1)
        .is_guilty_of(&[Kind::Unsound]);
}

#[test]
fn nothing_waits_for_ever_on_an_open_connection() {
    let mut forge = Forge::new();
    forge.connect("p", 0).send("p:1", "t", 1);
    forge.is_guilty_of(&[Kind::Stuck]);
    forge.clone().acknowledge("p:1").is_innocent();
    forge.clone().acknowledge_with("p:1", 0x97).is_innocent();
    forge.close("p", Side::Server).is_innocent();
    let mut forge = Forge::new();
    forge.connect("p", 0).send("p:1", "t", 2).acknowledge("p:1");
    forge.is_guilty_of(&[Kind::Stuck]);
    forge.complete("p:1").is_innocent();
    Forge::new()
        .connect("p", 0)
        .send("p:1", "t", 0)
        .is_innocent();
}
