//! Session Present.

use history::{Kind, Side};

use crate::forge::{Forge, HOUR};

#[test]
fn a_session_that_cannot_have_expired_is_there() {
    let again = |time, clean_start, present| {
        let mut forge = Forge::new();
        forge
            .connect("s", HOUR)
            .close("s", Side::ClientAbruptly)
            .wait(time)
            .dial_with("s", clean_start, HOUR, None)
            .accept("s", present);
        forge
    };
    again(1, false, true).is_innocent();
    again(1, false, false).is_guilty_of(&[Kind::SessionLost]);
    again(HOUR, false, false).is_innocent();
    again(1, true, false).is_innocent();
    again(1, true, true).is_guilty_of(&[Kind::SessionKept]);
}

#[test]
fn a_session_without_expiry_need_not_be_there() {
    Forge::new()
        .dial_with("s", false, 0, None)
        .accept("s", false)
        .close("s", Side::Server)
        .dial("s", HOUR)
        .accept("s", false)
        .is_innocent();
}

#[test]
fn an_attempt_without_answer_may_have_ended_it() {
    let again = |clean_start, expiry, refused| {
        let mut forge = Forge::new();
        forge
            .connect("s", HOUR)
            .close("s", Side::ClientAbruptly)
            .dial_with("s", clean_start, expiry, None)
            .refuse("s", refused)
            .close("s", Side::ClientAbruptly)
            .wait(2)
            .dial("s", HOUR)
            .accept("s", false);
        forge
    };
    again(true, HOUR, 0).is_innocent();
    again(false, 0, 0).is_innocent();
    again(false, 1, 0).is_innocent();
    again(false, HOUR, 0).is_guilty_of(&[Kind::SessionLost]);
    again(true, HOUR, 0x88).is_guilty_of(&[Kind::SessionLost]);
}

#[test]
fn handshakes_that_overlap_are_not_judged() {
    let twice = |overlapping: bool| {
        let mut forge = Forge::new();
        forge
            .connect("s", HOUR)
            .close("s", Side::Server)
            .wait(2 * HOUR);
        forge.dial("s", HOUR);
        let what = history::Happened::Connected {
            session_present: false,
        };
        if overlapping {
            forge.dial("s", HOUR).on("s", 2, what);
        } else {
            forge.on("s", 2, what).dial("s", HOUR);
        }
        forge.accept("s", false);
        forge
    };
    twice(true).is_innocent();
    twice(false).is_guilty_of(&[Kind::SessionLost]);
}
