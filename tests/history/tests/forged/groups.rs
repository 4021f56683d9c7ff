//! Shared subscriptions.

use history::{Kind, Side};

use crate::forge::{Forge, HOUR};

const GROUP: &str = "$share/g/t/+";

fn two_members(qos: u8, expiry: u64) -> Forge {
    let mut forge = Forge::new();
    forge
        .connect("a", expiry)
        .subscribe("a", GROUP, qos)
        .connect("b", expiry)
        .subscribe("b", GROUP, qos)
        .connect("p", 0);
    forge
}

#[test]
fn some_member_gets_a_message() {
    for (expiry, qos) in [(0, 1), (HOUR, 1), (0, 2), (HOUR, 2)] {
        let mut forge = two_members(qos, expiry);
        forge.publish("p:1", "t/a", qos);
        forge.is_guilty_of(&[Kind::SharedMiss]);
        forge.clone().receive("b", "p:1", qos).is_innocent();
        forge.receive("a", "p:1", qos).is_innocent();
    }
}

#[test]
fn a_group_is_promised_nothing_with_qos_0_or_before_it_exists() {
    two_members(0, HOUR).publish("p:1", "t/a", 1).is_innocent();
    two_members(1, HOUR).publish("p:1", "t/a", 0).is_innocent();
    Forge::new()
        .connect("p", 0)
        .publish("p:1", "t/a", 1)
        .connect("a", HOUR)
        .subscribe("a", GROUP, 1)
        .is_innocent();
}

#[test]
fn a_member_takes_over_from_one_that_goes() {
    let gone = |qos, back: bool| {
        let mut forge = two_members(qos, 0);
        forge.publish("p:1", "t/a", qos);
        if back {
            forge.ping("a").close("a", Side::Server);
        } else {
            forge.close("b", Side::Server).close("a", Side::Server);
        }
        forge
    };
    gone(1, true).is_guilty_of(&[Kind::SharedMiss]);
    gone(1, false).is_innocent();
    // With QoS 2 the message may be gone with its member.
    gone(2, true).is_innocent();
}

#[test]
fn a_member_that_went_long_before_is_no_excuse() {
    let gone = |time| {
        let mut forge = two_members(2, 0);
        forge
            .close("a", Side::ClientNormally)
            .wait(time)
            .publish("p:1", "t/a", 2);
        forge
    };
    gone(1).is_innocent();
    gone(10).is_guilty_of(&[Kind::SharedMiss]);
}

#[test]
fn members_one_after_the_other_cover_a_message() {
    let relay = |overlapping: bool| {
        let mut forge = Forge::new();
        forge
            .connect("p", 0)
            .connect("a", 0)
            .subscribe("a", GROUP, 1)
            .publish("p:1", "t/a", 1)
            .connect("b", 0);
        if overlapping {
            forge
                .subscribe("b", GROUP, 1)
                .ping("a")
                .close("a", Side::Server);
        } else {
            forge
                .ping("a")
                .close("a", Side::Server)
                .subscribe("b", GROUP, 1);
        }
        forge
    };
    relay(true).is_guilty_of(&[Kind::SharedMiss]);
    relay(false).is_innocent();
}

#[test]
fn what_is_read_late_does_not_show_that_a_connection_lived() {
    let read = |served: bool| {
        let mut forge = Forge::new();
        forge
            .connect("p", 0)
            .connect("a", 0)
            .subscribe("a", GROUP, 1)
            .publish("p:1", "t/a", 1)
            .publish("p:2", "t/a", 1)
            .connect("b", 0)
            .subscribe("b", GROUP, 1)
            .receive("a", "p:2", 1);
        if served {
            forge.ping("a");
        }
        forge.close("a", Side::Server);
        forge
    };
    read(false).is_innocent();
    read(true).is_guilty_of(&[Kind::SharedMiss]);
}

#[test]
fn a_member_that_is_away_may_have_the_message() {
    let away = |back: bool| {
        let mut forge = two_members(1, HOUR);
        forge.close("a", Side::Server).publish("p:1", "t/a", 1);
        if back {
            forge.resume("a");
        }
        forge
    };
    away(false).is_innocent();
    away(true).is_guilty_of(&[Kind::SharedMiss]);
}

#[test]
fn a_member_that_leaves_may_have_had_the_message() {
    two_members(1, HOUR)
        .publish("p:1", "t/a", 1)
        .unsubscribe("a", GROUP)
        .is_innocent();
    two_members(1, HOUR)
        .unsubscribe("a", GROUP)
        .publish("p:1", "t/a", 1)
        .is_guilty_of(&[Kind::SharedMiss]);
}

#[test]
fn only_one_member_gets_a_message() {
    for qos in [1, 2] {
        let mut forge = two_members(qos, HOUR);
        forge
            .publish("p:1", "t/a", qos)
            .receive("a", "p:1", qos)
            .receive("b", "p:1", qos);
        forge.is_guilty_of(&[Kind::SharedDouble]);
        forge.close("a", Side::Server).is_innocent();
    }
}

#[test]
fn a_connection_that_ends_much_later_is_no_excuse() {
    let mut forge = two_members(1, HOUR);
    forge
        .publish("p:1", "t/a", 1)
        .receive("a", "p:1", 1)
        .receive("b", "p:1", 1)
        .wait(6)
        .close("a", Side::Server)
        .is_guilty_of(&[Kind::SharedDouble]);
}

#[test]
fn a_fault_excuses_a_double_of_qos_1_only() {
    let fault = |qos| {
        let mut forge = two_members(qos, HOUR);
        forge
            .publish("p:1", "t/a", qos)
            .fault("kill x", true)
            .receive("a", "p:1", qos)
            .receive("b", "p:1", qos);
        forge
    };
    fault(1).is_innocent();
    fault(2).is_guilty_of(&[Kind::SharedDouble]);
}

#[test]
fn a_message_that_is_sent_again_may_go_to_another_member() {
    let again = |qos, expiry, present| {
        let mut forge = two_members(qos, HOUR);
        forge
            .dial("p", expiry)
            .accept("p", false)
            .send("p:1", "t/a", qos)
            .receive("a", "p:1", qos)
            .close("p", Side::Server)
            .dial("p", expiry)
            .accept("p", present)
            .send_again("p:1")
            .acknowledge("p:1")
            .complete("p:1")
            .receive("b", "p:1", qos);
        forge
    };
    again(1, HOUR, true).is_innocent();
    again(2, 0, false).is_innocent();
    again(2, HOUR, true).is_guilty_of(&[Kind::SharedDouble]);
}

#[test]
fn another_group_gets_its_own() {
    let mut forge = two_members(1, HOUR);
    forge
        .connect("c", HOUR)
        .subscribe("c", "$share/h/t/+", 1)
        .publish("p:1", "t/a", 1)
        .receive("a", "p:1", 1);
    forge.is_guilty_of(&[Kind::SharedMiss]);
    forge.receive("c", "p:1", 1).is_innocent();
}

#[test]
fn members_need_not_get_messages_in_order() {
    two_members(1, HOUR)
        .publish("p:1", "t/a", 1)
        .publish("p:2", "t/a", 1)
        .receive("a", "p:2", 1)
        .receive("a", "p:1", 1)
        .is_innocent();
}
