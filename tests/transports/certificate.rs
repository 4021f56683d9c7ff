//! Certificates of clients.

use harness::Certificates;

use crate::{Python, node, publisher, subscriber};

/// A name and what the client shows.
fn shown(certificates: &Certificates, name: &str) -> [String; 4] {
    [
        "--cert".to_owned(),
        certificates.file(&format!("{name}.pem")),
        "--key".to_owned(),
        certificates.file(&format!("{name}.key")),
    ]
}

/// What each mode makes of each client; TLS 1.3 tells a client without certificate only after the
/// handshake, as alert or by closing.
#[tokio::test]
async fn off_optional_and_required_decide_who_may_connect() {
    let certificates = Certificates::make().await;
    let others = Certificates::make().await;
    let authority = certificates.file("ca.pem");
    certificates.run(&["--client", "lamp", "gone"]).await;
    certificates.run(&["--revoke", "gone"]).await;
    let (lamp, gone) = (shown(&certificates, "lamp"), shown(&certificates, "gone"));
    let foreign = shown(&others, "client");
    let text = |words: &'_ [String; 4]| words.clone().map(|word| word.leak() as &str);
    let none: [&str; 0] = [];
    // Whether each of nobody, lamp, gone, foreign may.
    let modes = [
        ("optional", [true, true, false, false]),
        ("required", [false, true, false, false]),
    ];
    for (mode, may) in modes {
        let node = node(&certificates.client_settings(mode)).await;
        let address = node.listener("tls").await;
        for version in ["1.2", "1.3"] {
            let (lamp, gone, foreign) = (text(&lamp), text(&gone), text(&foreign));
            let clients: [&[&str]; 4] = [&none, &lamp, &gone, &foreign];
            for (client, may) in clients.into_iter().zip(may) {
                let python = Python::new(address, &authority).with(&["--max", version]);
                let answer = python.with(client).connects().await;
                let is_in = answer.ends_with("20020000");
                assert_eq!(is_in, may, "{mode} {version} {client:?}: {answer}");
            }
        }
        let mut reasons = vec!["revoked", "not from tls.client_ca"];
        if mode == "required" {
            reasons.push("has shown no certificate");
        }
        for reason in reasons {
            node.logs(&["TLS handshake failed", reason]).await;
        }
    }
    // Without asking for one, whatever is shown does not matter.
    let node = node(&certificates.settings()).await;
    let python = Python::new(node.listener("tls").await, &authority);
    let answer = python.with(&text(&foreign)).connects().await;
    assert_eq!(answer, "TLSv1.3 None 20020000");
}

#[tokio::test]
async fn mosquitto_shows_a_certificate_whose_common_name_is_known() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.client_settings("required")).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let [c, certificate, k, key] = shown(&certificates, "client");
    let secure = ["--cafile", &authority, &c, &certificate, &k, &key];
    let mut arguments = vec!["-t", "t", "-C", "1", "-F", "<%p>", "-i", "watcher"];
    arguments.extend(secure);
    let subscriber = subscriber(address, &arguments).await;
    let mut arguments = vec!["-t", "t", "-m", "known", "-q", "1"];
    arguments.extend(secure);
    publisher(address, &arguments).success().await;
    assert!(subscriber.success().await.contains("<known>"));
    let words = ["client connected", "watcher", "\"common_name\":\"client\""];
    node.logs(&words).await;
}

/// The common name is also known over WebSocket; a client without certificate has none.
#[tokio::test]
async fn a_client_without_certificate_has_no_common_name() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.client_settings("optional")).await;
    let authority = certificates.file("ca.pem");
    let python = Python::new(node.listener("tls").await, &authority);
    assert_eq!(python.connects().await, "TLSv1.3 None 20020000");
    let line = node.logs(&["client connected"]).await;
    assert!(!line.contains("common_name"), "{line}");
}

/// With users, a certificate is enough: its common name is the user, and nobody asks for a password.
#[tokio::test]
async fn a_certificate_takes_the_place_of_a_password() {
    let certificates = Certificates::make().await;
    let mut settings = certificates.client_settings("optional");
    settings.push("auth.mode=default".to_owned());
    let known = node(&settings).await;
    settings.push("tls.common_name_as_username=false".to_owned());
    let unnamed = node(&settings).await;
    let authority = certificates.file("ca.pem");
    let client = shown(&certificates, "client");
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    // CONNACK 5 of MQTT 3.1.1: not authorized.
    for (node, with, without) in [(&known, "00", "05"), (&unnamed, "05", "05")] {
        let address = node.listener("tls").await;
        let answer = Python::new(address, &authority).connects().await;
        assert_eq!(answer, format!("TLSv1.3 None 200200{without}"));
        let python = Python::new(address, &authority).with(&client);
        let answer = python.connects().await;
        assert_eq!(answer, format!("TLSv1.3 None 200200{with}"));
    }
}

/// A list of another CA says nothing about this one's certificates, so they are refused.
#[tokio::test]
async fn a_certificate_that_no_list_covers_is_refused() {
    let certificates = Certificates::make().await;
    let others = Certificates::make().await;
    let authority = certificates.file("ca.pem");
    let mut settings = certificates.client_settings("required");
    settings.push(format!("tls.crl={}", others.file("crl.pem")));
    let node = node(&settings).await;
    let client = shown(&certificates, "client");
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let python = Python::new(node.listener("tls").await, &authority).with(&client);
    let answer = python.connects().await;
    assert!(!answer.ends_with("20020000"), "{answer}");
    node.logs(&["TLS handshake failed", "has no good list of the issuer"])
        .await;
}

/// make-certs changes nothing that is there, adds names, and takes a certificate back once.
#[tokio::test]
async fn make_certs_can_be_run_again() {
    let certificates = Certificates::make().await;
    let read = |name: &str| std::fs::read(certificates.path(name)).unwrap();
    let names = [
        "ca.pem",
        "ca.key",
        "server.pem",
        "server.key",
        "client.pem",
        "crl.pem",
    ];
    let before = names.map(read);
    assert!(!certificates.run(&[]).await.contains("wrote"));
    assert!(
        !certificates
            .run(&["--client", "client"])
            .await
            .contains("wrote")
    );
    assert_eq!(names.map(read), before);
    certificates.run(&["mqtt.example.com", "192.0.2.7"]).await;
    let after = names.map(read);
    let changed: Vec<&str> = (0..names.len())
        .filter(|at| before[*at] != after[*at])
        .map(|at| names[at])
        .collect();
    assert_eq!(changed, ["server.pem"]);
    for _ in 0..2 {
        certificates.run(&["--revoke", "client"]).await;
    }
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["ca.key", "server.key", "client.key"] {
        let mode = std::fs::metadata(certificates.path(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}
