//! `causeway-history FILE`.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

fn run(name: &str, text: &str) -> (Option<i32>, String, String) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_causeway-history"))
        .arg(&file)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const STUCK: &str = "causeway history 1
1 p 1 connect clean_start=yes expiry=0 will=- will_qos=0 will_delay=0
2 p 1 connected session_present=no
3 p 1 publish message=p:1 topic=t qos=1 retain=no repeated=no
";

#[test]
fn a_guilty_history_is_shown_and_exits_with_1() {
    let (code, out, _) = run("guilty", &format!("{STUCK}60 \\e 0 settled\n"));
    assert_eq!(code, Some(1));
    assert!(
        out.starts_with("stuck at p, message p:1: never acknowledged"),
        "{out}"
    );
    assert!(
        out.contains("[2] 3.000000000 p 1 publish message=p:1"),
        "{out}"
    );
    assert!(out.ends_with("guilty; stuck: 1\n"), "{out}");
}

#[test]
fn an_innocent_history_exits_with_0() {
    let text = format!("{STUCK}4 p 1 acknowledged message=p:1 reason=0\n60 \\e 0 settled\n");
    let (code, out, _) = run("innocent", &text);
    assert_eq!(code, Some(0));
    assert!(out.ends_with("innocent\n"), "{out}");
}

#[test]
fn what_is_no_history_exits_with_2() {
    let (code, out, errors) = run("torn", &format!("{STUCK}4 p 1 acknow"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        errors.ends_with("line 5: `acknow` is nothing that happens\n"),
        "{errors}"
    );
}
