//! Histories as text.

use history::{Happened, History, ReadError, Retain, Side, WillPlan};

use crate::forge::{Forge, HOUR, id, received, seconds};

fn everything() -> History {
    let mut forge = Forge::new();
    let will = WillPlan {
        topic: "w \\ ill/-".to_owned(),
        qos: 2,
        delay: seconds(3),
    };
    forge
        .dial_with("a b", false, HOUR, Some(will))
        .accept("a b", true)
        .subscribe("a b", "$share/g/+/#", 2)
        .unsubscribe("a b", "$share/g/+/#")
        .send("a b:1", "ä\n\t\u{2028}=", 2)
        .acknowledge_with("a b:1", 0x97)
        .complete("a b:1")
        .note(
            "a b",
            received("x:y:18446744073709551615", "-", 2, Retain::Yes),
        )
        .ping("a b")
        .close("a b", Side::ClientAbruptly)
        .connect("-", 0)
        .close("-", Side::ClientNormally)
        .dial("", HOUR)
        .refuse("", 0x88)
        .note(
            "",
            Happened::Closed {
                by: Side::Server,
                reason: Some(0x8E),
            },
        )
        .fault("kill a; b", true)
        .fault("kill a; b", false)
        .retain("p:2", "", 0)
        .on("", 0, Happened::Settled);
    forge.history()
}

fn written(history: &History) -> String {
    let mut text = Vec::new();
    history.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let history = everything();
    let text = written(&history);
    let read = History::read(text.as_bytes()).unwrap();
    assert_eq!(read.entries, history.entries);
    assert_eq!(written(&read), text);
    assert_eq!(text.lines().count(), history.entries.len() + 1);
}

#[test]
fn a_line_is_what_its_documentation_says() {
    let mut forge = Forge::new();
    forge.connect("meter", HOUR).send("meter:1", "plant/7", 1);
    assert_eq!(
        written(&forge.history()),
        "causeway history 1\n\
         0.010000000 meter 1 connect clean_start=no expiry=3600.000000000 will=- will_qos=0 \
         will_delay=0.000000000\n\
         0.020000000 meter 1 connected session_present=no\n\
         0.030000000 meter 1 publish message=meter:1 topic=plant/7 qos=1 retain=no repeated=no\n"
    );
    assert_eq!(id("meter:1").to_string(), "meter:1");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    assert!(matches!(History::read(&b""[..]), Err(ReadError::Header)));
    assert!(matches!(
        History::read(&b"causeway history 2\n"[..]),
        Err(ReadError::Header)
    ));
    for (line, problem) in [
        ("x", "`x` is no time"),
        ("1.0", "client is missing"),
        ("1.0 \\x 1 ping", "`\\x` is no client"),
        ("1.0 a b ping", "`b` is no number of a connection"),
        ("1.0 a 1", "what happened is missing"),
        ("1.0 a 1 jump", "`jump` is nothing that happens"),
        ("1.0 a 1 ping ping", "`ping` is too much"),
        ("1.0 a 1 subscribe filter=a", "qos is missing"),
        ("1.0 a 1 subscribe qos=1", "expected `filter=`"),
        ("1.0 a 1 subscribe filter=a qos=x", "`x` is no value of qos"),
        ("1.0 a 1 completed message=7", "`7` is no value of message"),
        ("1.0000000000 a 1 ping", "`1.0000000000` is no time"),
    ] {
        let text = format!("causeway history 1\n\n{line}\n");
        let error = History::read(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("line 3: {problem}"));
    }
}

#[test]
fn a_torn_line_is_refused_wherever_it_is_torn() {
    for line in written(&everything()).lines().skip(1) {
        for (end, _) in line.char_indices().skip(1) {
            let text = format!("causeway history 1\n{}", &line[..end]);
            if let Ok(read) = History::read(text.as_bytes()) {
                // A shorter number or name is as good; it reads as it was written.
                assert_eq!(read.entries.len(), 1);
            }
        }
    }
}
