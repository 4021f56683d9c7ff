#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn with(assignments: &[&str]) -> Result<Config, ConfigError> {
    let assignments: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
    load(None, &assignments)
}

#[test]
fn the_sample_file_lists_every_setting_with_its_default() {
    let sample = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/node.toml"));
    assert_eq!(
        load(Some(sample), &[]).expect("the sample is valid"),
        Config::default()
    );

    let sample: Value = Figment::from(Toml::file_exact(sample)).extract().unwrap();
    let defaults: Value = Figment::from(Serialized::defaults(Config::default()))
        .extract()
        .unwrap();
    assert_eq!(keys("", &sample), keys("", &defaults));
}

fn keys(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Dict(_, dict) => dict
            .iter()
            .flat_map(|(key, value)| keys(&format!("{path}.{key}"), value))
            .collect(),
        _ => vec![path.to_owned()],
    }
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    assert_eq!(with(&["node.name=12345"]).unwrap().node.name, "12345");
}

#[test]
fn an_unknown_setting_is_named_with_its_origin() {
    let error = with(&["mqtt.maximum_qoss=1"]).unwrap_err().to_string();
    assert!(error.contains("mqtt.maximum_qoss"), "{error}");
    assert!(error.contains("unknown setting"), "{error}");
    assert!(error.contains("--set"), "{error}");
}

#[test]
fn every_value_out_of_range_is_named_at_once() {
    let error = with(&["mqtt.maximum_qos=3", "cluster.lease=1ms", "drain.rate=0"])
        .unwrap_err()
        .to_string();
    for key in ["mqtt.maximum_qos: 3", "cluster.lease: 1ms", "drain.rate: 0"] {
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn an_open_address_needs_consent_while_everybody_may_connect() {
    let error = with(&["listener.tcp=0.0.0.0:1883"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("auth.allow_anonymous_remote"), "{error}");
    assert!(
        with(&[
            "listener.tcp=0.0.0.0:1883",
            "auth.allow_anonymous_remote=true"
        ])
        .is_ok()
    );
}
