//! New certificates without a lost connection.

use std::{fs, net::SocketAddr};

use harness::{Certificates, TestNode, Tool};

use crate::{Python, node, publisher, subscriber};

/// The certificate that is shown, as PEM.
async fn shown(address: SocketAddr) -> String {
    let address = address.to_string();
    let arguments = ["s_client", "-connect", &address];
    let output = Tool::start("openssl", &arguments, "apt-get install openssl");
    let output = output.success().await;
    let start = output.find("-----BEGIN").expect("a certificate");
    let end = output.find("-----END").expect("its end");
    output[start..end].to_owned()
}

/// Puts another server certificate of the same CA into place.
async fn renew(certificates: &Certificates) {
    fs::remove_file(certificates.path("server.pem")).unwrap();
    fs::remove_file(certificates.path("server.key")).unwrap();
    certificates.run(&[]).await;
}

/// A node that shows `certificates`, and a client that is connected to it.
async fn connected(certificates: &Certificates) -> (TestNode, SocketAddr, Tool) {
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let arguments = ["--cafile", &authority, "-t", "t", "-q", "1", "-F", "<%p>"];
    let subscriber = subscriber(address, &arguments).await;
    (node, address, subscriber)
}

/// The client has been there all the time and still gets its messages.
async fn still_connected(certificates: &Certificates, address: SocketAddr, subscriber: &Tool) {
    let authority = certificates.file("ca.pem");
    let arguments = ["--cafile", &authority, "-t", "t", "-m", "after", "-q", "1"];
    publisher(address, &arguments).success().await;
    subscriber.says("<after>").await;
    assert_eq!(subscriber.output().matches("received CONNACK").count(), 1);
}

#[tokio::test]
async fn sighup_puts_new_certificates_into_force_without_a_lost_connection() {
    let certificates = Certificates::make().await;
    let (node, address, subscriber) = connected(&certificates).await;
    let before = shown(address).await;
    renew(&certificates).await;
    node.signal("HUP");
    node.logs(&["certificates reloaded"]).await;
    assert_ne!(shown(address).await, before);
    still_connected(&certificates, address, &subscriber).await;
}

#[tokio::test]
async fn changed_files_come_into_force_by_themselves() {
    let certificates = Certificates::make().await;
    let (node, address, subscriber) = connected(&certificates).await;
    let before = shown(address).await;
    renew(&certificates).await;
    node.logs(&["certificates reloaded"]).await;
    assert_ne!(shown(address).await, before);
    still_connected(&certificates, address, &subscriber).await;
}

#[tokio::test]
async fn broken_files_leave_the_old_certificates_in_force() {
    let certificates = Certificates::make().await;
    let (mut node, address, subscriber) = connected(&certificates).await;
    let before = shown(address).await;
    let certificate = fs::read(certificates.path("server.pem")).unwrap();
    let key = fs::read(certificates.path("server.key")).unwrap();
    let client = fs::read(certificates.path("client.key")).unwrap();
    let failures: [(&str, Option<&[u8]>, &str); 4] = [
        ("server.pem", Some(b"nonsense"), "no certificate in"),
        ("server.pem", None, "cannot read"),
        (
            "server.key",
            Some(&client),
            "is not the key of the certificate in",
        ),
        ("server.key", Some(b""), "no private key in"),
    ];
    for (count, (name, content, complaint)) in failures.into_iter().enumerate() {
        match content {
            Some(content) => fs::write(certificates.path(name), content).unwrap(),
            None => fs::remove_file(certificates.path(name)).unwrap(),
        }
        node.signal("HUP");
        node.logs(&["certificates not reloaded", "ERROR", complaint, name])
            .await;
        assert_eq!(shown(address).await, before, "after {complaint}");
        let metrics = node.metrics().await;
        let failed = metrics.sum("causeway_tls_reloads_total", &["result=\"failed\""]);
        assert!(failed > f64::from(u32::try_from(count).unwrap()) + 0.5);
        fs::write(certificates.path("server.pem"), &certificate).unwrap();
        fs::write(certificates.path("server.key"), &key).unwrap();
    }
    node.logs(&["certificates reloaded"]).await;
    still_connected(&certificates, address, &subscriber).await;
    node.assert_healthy();
}

/// Also with a session ticket of TLS from before.
#[tokio::test]
async fn a_certificate_taken_back_is_refused_from_then_on() {
    let certificates = Certificates::make().await;
    certificates.run(&["--client", "lamp"]).await;
    let node = node(&certificates.client_settings("required")).await;
    let address = node.listener("tls").await;
    let (lamp, key) = (certificates.file("lamp.pem"), certificates.file("lamp.key"));
    let authority = certificates.file("ca.pem");
    let scratch = harness::Scratch::new("ticket");
    let ticket = scratch.path().join("ticket");
    let ticket = ticket.to_str().unwrap();
    let address_text = address.to_string();
    let resume = async |verb: &str| {
        // It ends with its standard input; before that it gets its ticket and stores it.
        let arguments = ["s_client", "-connect", &address_text, "-CAfile", &authority];
        let more = ["-cert", &lamp, "-key", &key, "-tls1_2", verb, ticket];
        let all: Vec<&str> = arguments.into_iter().chain(more).collect();
        let shell = format!("openssl {} 2>&1 || true", all.join(" "));
        Tool::start("bash", &["-c", &shell], "").success().await
    };
    assert!(resume("-sess_out").await.contains("New, TLSv1.2"));
    let output = resume("-sess_in").await;
    assert!(output.contains("Reused, TLSv1.2"), "{output}");

    certificates.run(&["--revoke", "lamp"]).await;
    node.logs(&["certificates reloaded"]).await;
    let output = resume("-sess_in").await;
    assert!(!output.contains("Reused, TLSv1.2"), "{output}");
    let python = Python::new(address, &authority).with(&["--cert", &lamp, "--key", &key]);
    let answer = python.connects().await;
    assert!(!answer.ends_with("20020000"), "{answer}");
    node.logs(&["TLS handshake failed", "revoked"]).await;
}

/// SIGHUP is what a terminal sends when it goes: no reason to die.
#[tokio::test]
async fn sighup_without_tls_changes_nothing() {
    let mut node = TestNode::start().await;
    let mut client = node.client("somebody").await;
    node.signal("HUP");
    node.logs(&["SIGHUP", "nothing to reload"]).await;
    client.ping().await;
    node.assert_healthy();
}
