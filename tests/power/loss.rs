//! The power fails, or only the process dies, under load.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Options, Scratch, TestNode};

use crate::{
    crowd::{Crowd, Record},
    disk::{Disk, check_integrity},
    judge::{Verdict, judge},
};

/// How long the load goes on, in milliseconds: each round takes one, and up to 250 more.
const MOMENTS: [u64; 5] = [0, 400, 800, 1300, 2100];
/// The library that makes every fsync succeed at once and do nothing.
const EATMYDATA: &str = "libeatmydata.so";

fn options(sync: &str, preloaded: Option<&str>) -> Options {
    Options {
        settings: vec![format!("store.sync={sync}")],
        environment: preloaded
            .map(|library| ("LD_PRELOAD".to_owned(), library.to_owned()))
            .into_iter()
            .collect(),
        ..Options::default()
    }
}

fn store_at(database: &std::path::Path) -> String {
    format!("store.path={}", database.to_str().unwrap())
}

/// Lets the crowd work for a while.
async fn work(crowd: &Crowd, round: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let moment = MOMENTS[round % MOMENTS.len()] + u64::from(now.subsec_nanos()) % 250;
    crowd.warm().await;
    eprintln!("round {round}: the end comes after {moment} ms");
    tokio::time::sleep(Duration::from_millis(moment)).await;
    assert!(!crowd.has_ended());
}

fn tell(record: &Record) {
    let completed: u32 = record.published.iter().map(|one| one.completed).sum();
    let Record {
        held,
        half,
        wills,
        subscribed,
        ..
    } = record;
    eprintln!(
        "{completed} messages acknowledged; {} PUBREC, {} PUBREL, {wills} wills, {subscribed} subscriptions",
        held.received,
        half.released.len()
    );
}

/// One loss of power; `None` if there are no loop devices.
async fn lose_power(round: usize, sync: &str, preloaded: Option<&str>) -> Option<Verdict> {
    let disk = Disk::create(96)?;
    let mut options = options(sync, preloaded);
    options.settings.push(store_at(&disk.database()));
    let mut node = TestNode::launch(options).await;
    let crowd = Crowd::start(&node).await;
    work(&crowd, round).await;
    node.pause();
    let after = disk.after_power_loss();
    node.kill();
    let record = crowd.ended().await;
    tell(&record);
    drop(disk);
    if !after.database().exists() {
        return Some(Verdict {
            wrong: vec!["the database has no name on the disk".to_owned()],
        });
    }
    check_integrity(&after.database()).await;
    node.set(&store_at(&after.database()));
    node.restart().await;
    let verdict = judge(&node, record).await;
    node.assert_healthy();
    node.kill();
    Some(verdict)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_full_a_loss_of_power_loses_nothing_that_was_acknowledged() {
    for round in 0..MOMENTS.len() {
        let Some(verdict) = lose_power(round, "full", None).await else {
            return;
        };
        assert!(
            verdict.wrong.is_empty(),
            "round {round}: {:#?}",
            verdict.wrong
        );
    }
}

/// Loses power until something is lost, which shows that the test above can fail.
async fn must_lose(sync: &str, preloaded: Option<&str>) {
    for round in 0..MOMENTS.len() {
        let Some(verdict) = lose_power(round, sync, preloaded).await else {
            return;
        };
        eprintln!("round {round}: {:#?}", verdict.wrong);
        let is_lost = |wrong: &String| wrong.contains("lost") || wrong.contains("no name");
        if verdict.wrong.iter().any(is_lost) {
            return;
        }
    }
    panic!("nothing was lost in {} rounds", MOMENTS.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_with_normal_a_loss_of_power_is_seen_to_lose() {
    must_lose("normal", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_with_fsync_that_does_nothing_a_loss_of_power_is_seen_to_lose() {
    must_lose("full", Some(EATMYDATA)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_full_and_normal_kill_9_loses_nothing_that_was_acknowledged() {
    for (round, sync) in ["full", "normal", "full", "normal"].into_iter().enumerate() {
        let folder = Scratch::new("kill");
        let database = folder.path().join("data/causeway.db");
        let mut options = options(sync, None);
        options.settings.push(store_at(&database));
        let mut node = TestNode::launch(options).await;
        let crowd = Crowd::start(&node).await;
        work(&crowd, round).await;
        node.kill();
        let record = crowd.ended().await;
        tell(&record);
        check_integrity(&database).await;
        node.restart().await;
        let verdict = judge(&node, record).await;
        node.assert_healthy();
        node.kill();
        assert!(
            verdict.wrong.is_empty(),
            "{sync}, round {round}: {:#?}",
            verdict.wrong
        );
    }
}
