//! Forged histories: each rule with a guilty one, and an innocent one that differs by what decides.

#![allow(clippy::string_slice, clippy::unwrap_used)]

mod forge;

#[path = "forged/delivery.rs"]
mod delivery;
#[path = "forged/groups.rs"]
mod groups;
#[path = "forged/sessions.rs"]
mod sessions;
#[path = "forged/text.rs"]
mod text;
#[path = "forged/wills.rs"]
mod wills;
