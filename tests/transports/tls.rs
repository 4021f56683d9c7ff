//! MQTT over TLS, seen by OpenSSL and mosquitto.

use harness::{Certificates, Tool};

use crate::{CONNECT, Python, node, publisher, subscriber};

#[tokio::test]
async fn openssl_s_client_verifies_the_certificate_and_the_name() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await.to_string();
    let authority = certificates.file("ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            &authority,
            "-verify_hostname",
            "localhost",
            "-verify_return_error",
            "-alpn",
            "mqtt",
            version,
        ];
        let output = Tool::start("openssl", &arguments, "apt-get install openssl");
        let output = output.success().await;
        assert!(output.contains("Verify return code: 0 (ok)"), "{output}");
        assert!(output.contains("ALPN protocol: mqtt"), "{output}");
    }
}

#[tokio::test]
async fn mosquitto_speaks_all_versions_over_tls() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let secure = ["--cafile", &authority];
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let mut arguments = vec![
            "-V", version, "-t", "t/#", "-q", "2", "-C", "3", "-F", "<%p>",
        ];
        arguments.extend(secure);
        let subscriber = subscriber(address, &arguments).await;
        for (qos, text) in [("0", "none"), ("1", "once"), ("2", "exactly")] {
            let mut arguments = vec!["-V", version, "-t", "t/x", "-q", qos, "-m", text];
            arguments.extend(secure);
            arguments.extend(["--tls-alpn", "mqtt"]);
            publisher(address, &arguments).success().await;
        }
        let output = subscriber.success().await;
        for text in ["<none>", "<once>", "<exactly>"] {
            assert!(output.contains(text), "no {text} in {output}");
        }
    }
}

/// More than a socket or a TLS record holds, in both directions, to a reader that is slow.
#[tokio::test]
async fn large_messages_go_through_tls_unchanged() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let scratch = harness::Scratch::new("large");
    let text: String = (0..1_500_000_u32).map(|n| format!("{n:x},")).collect();
    let path = scratch.write("message", &text);
    let arguments = [
        "--cafile", &authority, "-t", "large", "-C", "1", "-N", "-W", "60",
    ];
    let subscriber = {
        let port = address.port().to_string();
        let mut all = vec!["mosquitto_sub", "-h", "127.0.0.1", "-p", &port, "-q", "1"];
        all.extend(arguments);
        let tool = Tool::start(all[0], &all[1..], crate::MOSQUITTO);
        harness::eventually("the subscription", async || {
            let metrics = node.metrics().await;
            (metrics.sum("causeway_connections", &["listener=\"tls\""]) > 0.5).then_some(())
        })
        .await;
        tool
    };
    let file = path.to_str().unwrap();
    let arguments = [
        "--cafile", &authority, "-t", "large", "-q", "1", "-r", "-f", file,
    ];
    publisher(address, &arguments).success().await;
    let output = subscriber.success().await;
    assert!(output == text, "{} of {} bytes", output.len(), text.len());
}

#[tokio::test]
async fn minimum_version_keeps_older_clients_out() {
    let certificates = Certificates::make().await;
    let authority = certificates.file("ca.pem");
    let mut settings = certificates.settings();
    let open = node(&settings).await;
    settings.push("tls.minimum_version=1.3".to_owned());
    let strict = node(&settings).await;
    let old = ["--max", "1.2"];
    for (node, old_sees) in [(&open, "TLSv1.2 None 20020000"), (&strict, "failed: ")] {
        let address = node.listener("tls").await;
        let answer = Python::new(address, &authority).connects().await;
        assert_eq!(answer, "TLSv1.3 None 20020000");
        let answer = Python::new(address, &authority).with(&old).connects().await;
        assert!(answer.starts_with(old_sees), "{answer}");
    }
    strict
        .logs(&["TLS handshake failed", "tls.minimum_version"])
        .await;
}

/// RFC 7301: whoever asks for another protocol than the one spoken here is told so.
#[tokio::test]
async fn alpn_is_mqtt_or_nothing() {
    let certificates = Certificates::make().await;
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let client = |protocols: &'static [&'static str]| {
        Python::new(address, &authority).with(protocols).connects()
    };
    assert_eq!(client(&[]).await, "TLSv1.3 None 20020000");
    assert_eq!(client(&["--alpn", "mqtt"]).await, "TLSv1.3 mqtt 20020000");
    let several = &["--alpn", "x", "--alpn", "mqtt"];
    assert_eq!(client(several).await, "TLSv1.3 mqtt 20020000");
    let answer = client(&["--alpn", "h2"]).await;
    assert!(answer.starts_with("failed: "), "{answer}");
    node.logs(&["TLS handshake failed", "ALPN"]).await;
    let wss = node.listener("wss").await;
    let answer = Python::new(wss, &authority).with(&["--alpn", "http/1.1"]);
    assert!(answer.connects().await.starts_with("TLSv1.3 http/1.1"));
}

#[tokio::test]
async fn whoever_takes_one_port_for_the_other_is_told_in_the_log() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let certificates = Certificates::make().await;
    let mut node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = certificates.file("ca.pem");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(CONNECT).await.unwrap();
    let mut alert = Vec::new();
    let _ = stream.read_to_end(&mut alert).await;
    assert_eq!(alert.first(), Some(&21), "no alert of TLS: {alert:?}");
    node.logs(&["does not speak TLS", "listener.tcp", "not_tls"])
        .await;
    let answer = Python::new(node.tcp(), &authority).connects().await;
    assert!(answer.starts_with("failed: "), "{answer}");
    node.logs(&["no valid CONNECT", "the client speaks TLS", "listener.tls"])
        .await;
    let metrics = node.metrics().await;
    let labels = ["listener=\"tls\"", "reason=\"not_tls\""];
    assert!(metrics.sum("causeway_handshakes_failed_total", &labels) > 0.5);
    node.assert_healthy();
}

/// A client that does not accept our certificate says so, and the log says what it needs.
#[tokio::test]
async fn a_client_without_our_ca_is_told_in_the_log() {
    let (certificates, others) = (Certificates::make().await, Certificates::make().await);
    let node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let authority = others.file("ca.pem");
    let answer = Python::new(address, &authority).connects().await;
    assert!(answer.contains("CERTIFICATE_VERIFY_FAILED"), "{answer}");
    node.logs(&["TLS handshake failed", "file of our CA"]).await;
    let authority = certificates.file("ca.pem");
    let elsewhere = Python::new(address, &authority).with(&["--name", "elsewhere"]);
    let answer = elsewhere.connects().await;
    assert!(answer.contains("CERTIFICATE_VERIFY_FAILED"), "{answer}");
}

/// The time for CONNECT runs from the first moment, so a slow handshake gets none of its own.
#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let certificates = Certificates::make().await;
    let mut settings = certificates.settings();
    settings.push("mqtt.connect_timeout=1s".to_owned());
    settings.push("listener.ws=127.0.0.1:0".to_owned());
    let node = node(&settings).await;
    for listener in ["tls", "ws", "wss"] {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let address = node.listener(listener).await;
        for first in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET /mqtt HT"] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(first).await.unwrap();
            let mut rest = Vec::new();
            let read = stream.read_to_end(&mut rest);
            let ended = tokio::time::timeout(harness::LIMIT, read).await;
            assert!(ended.is_ok(), "{listener} waits after {first:?}");
        }
    }
    let metrics = node.metrics().await;
    assert!(
        metrics.sum("causeway_sockets", &[]) < 0.5,
        "sockets are left"
    );
}

/// What a load balancer does to see whether somebody is there.
#[tokio::test]
async fn a_probe_is_no_warning() {
    let certificates = Certificates::make().await;
    let mut settings = certificates.settings();
    settings.push("listener.ws=127.0.0.1:0".to_owned());
    let mut node = node(&settings).await;
    for listener in ["tcp", "tls", "ws", "wss"] {
        drop(tokio::net::TcpStream::connect(node.listener(listener).await).await);
    }
    harness::eventually("all probes seen", async || {
        let metrics = node.metrics().await;
        let seen = metrics.sum("causeway_connections_total", &[]) > 3.5;
        (seen && metrics.sum("causeway_sockets", &[]) < 0.5).then_some(())
    })
    .await;
    node.stop().await;
    let output = node.output();
    assert!(!output.contains("\"level\":\"WARN\""), "{output}");
}

/// Random bytes, and a real handshake with one byte changed, end one connection and nothing else.
#[tokio::test]
async fn garbage_ends_one_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let certificates = Certificates::make().await;
    let mut node = node(&certificates.settings()).await;
    let address = node.listener("tls").await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for length in [1, 5, 6, 100, 20_000] {
        let bytes: Vec<u8> = (0..length)
            .map(|at| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                if at == 0 { 0x16 } else { seed.to_le_bytes()[0] }
            })
            .collect();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(harness::LIMIT, read).await;
        assert!(ended.is_ok(), "still open after {length} bytes");
    }
    let authority = certificates.file("ca.pem");
    let answer = Python::new(address, &authority).connects().await;
    assert_eq!(answer, "TLSv1.3 None 20020000");
    node.assert_healthy();
}
