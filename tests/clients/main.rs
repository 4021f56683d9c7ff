//! Clients of others, as people use them, on three nodes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod mosquitto;
mod nightlight;
mod npm;
mod paho;
mod pub_sub_client;
mod rumqtt;
mod scram;
mod sys;
