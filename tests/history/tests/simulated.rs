//! Histories of a simulated broker that keeps every guarantee are innocent; changed in one entry they are guilty.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

#[path = "simulated/broker.rs"]
mod broker;
#[path = "simulated/chance.rs"]
mod chance;
#[path = "simulated/mutations.rs"]
mod mutations;
#[path = "simulated/world.rs"]
mod world;

use history::{Rules, check};
use mutations::MUTATIONS;
use world::World;

#[test]
fn five_hundred_innocent_histories_are_found_innocent() {
    let mut seen = history::Counts::default();
    for seed in 0..500 {
        let history = World::run(seed, 3000);
        let verdict = check(&history, &Rules::default());
        assert!(verdict.is_innocent(), "seed {seed}\n{verdict}");
        let counts = verdict.counts;
        seen.promised += counts.promised;
        seen.promised_to_groups += counts.promised_to_groups;
        seen.wills_due += counts.wills_due;
        seen.takeovers += counts.takeovers;
        seen.duplicates_with_cause += counts.duplicates_with_cause;
        seen.repeated += counts.repeated;
        seen.retained += counts.retained;
        seen.faults += counts.faults;
    }
    // There was something to judge.
    for (what, count) in [
        ("promised", seen.promised),
        ("to groups", seen.promised_to_groups),
        ("wills", seen.wills_due),
        ("takeovers", seen.takeovers),
        ("duplicates", seen.duplicates_with_cause),
        ("repeated", seen.repeated),
        ("retained", seen.retained),
        ("faults", seen.faults),
    ] {
        assert!(count > 1000, "{what}: {count}");
    }
}

#[test]
fn each_mutation_is_found() {
    let mut tried = vec![(0, 0); MUTATIONS.len()];
    for seed in 0..50 {
        let history = World::run(seed, 3000);
        let mut chance = chance::Chance::new(seed);
        for ((name, mutate, kind, is_sure), (tries, found)) in MUTATIONS.iter().zip(&mut tried) {
            let Some(changed) = mutate(&history, &mut chance) else {
                continue;
            };
            let verdict = check(&changed, &Rules::default());
            let is_found = verdict.kinds().contains_key(kind);
            assert!(
                is_found || !is_sure,
                "seed {seed}: {name}, not found\n{verdict}"
            );
            *tries += 1;
            *found += u32::from(is_found);
        }
    }
    for ((name, ..), (tries, found)) in MUTATIONS.iter().zip(tried) {
        assert!(tries >= 25, "{name}: only {tries} tries");
        assert!(found * 10 >= tries, "{name}: {found} of {tries}");
    }
}
