//! Many seeds, each in a process and a network namespace of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use harness::process;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{arguments::Arguments, postgres, run, schedule::Schedule, world::Places};

/// After which a world is ended from outside.
const WATCHDOG: Duration = Duration::from_secs(180);
/// Where a world says in one line what came of it.
const OUTCOME: &str = "outcome";

/// Runs the one seed of this process; whether nothing was found.
pub async fn be_world(arguments: &Arguments, places: &Places) -> anyhow::Result<bool> {
    let seed = *arguments.seeds.first().context("no seed")?;
    let schedule = Schedule::draw(seed, &arguments.wish);
    print!("{schedule}");
    let outcome = run::run(schedule, places, arguments.keep).await?;
    for finding in &outcome.findings {
        println!("{finding}");
    }
    if !outcome.is_innocent {
        println!("{}", outcome.verdict);
    }
    fs::write(places.folder.join(OUTCOME), outcome.to_string())?;
    Ok(outcome.is_innocent)
}

/// A seed that has run.
struct Done {
    seed: u64,
    is_innocent: bool,
    /// What the world has said of itself in one line.
    line: String,
    seconds: f64,
}

const SCRATCH: &str = "causeway-faults-";

/// Where all worlds keep their databases: in memory if possible, because each is short-lived. What
/// an earlier run has left there that was killed is removed.
fn scratch() -> anyhow::Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    for entry in fs::read_dir(&place)?.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(place.join(format!("{SCRATCH}{}", std::process::id())))
}

/// Where logs and histories are kept: beside the folder of this program.
fn folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("no target folder")?;
    Ok(target.join("faults"))
}

/// The program under test: `CAUSEWAY_BIN`, or else the one beside this program.
fn binary() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("CAUSEWAY_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("causeway"),
    };
    ensure!(
        path.exists(),
        "no {}: cargo build -p causeway-node, or set CAUSEWAY_BIN",
        path.display()
    );
    Ok(fs::canonicalize(path)?)
}

/// Whether this process may make network namespaces.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines.any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Runs all seeds; whether nothing was found in any.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    ensure!(
        is_root(),
        "run this as root: it makes network namespaces, drops packets in them and runs Postgres as its own user"
    );
    let scratch = scratch()?;
    fs::create_dir_all(&scratch)?;
    let template = scratch.join("template");
    postgres::make_template(&template)?;
    let ended = run_all(arguments, &scratch, &template).await;
    let _ = fs::remove_dir_all(&scratch);
    let done = ended?;
    let failed = done.iter().filter(|one| !one.is_innocent).count();
    if let Some(report) = &arguments.report {
        fs::write(report, table(arguments, &done))?;
    }
    println!("{} passed, {failed} failed", done.len() - failed);
    Ok(failed == 0)
}

async fn run_all(
    arguments: &Arguments,
    scratch: &Path,
    template: &Path,
) -> anyhow::Result<Vec<Done>> {
    let binary = binary()?;
    let mut waiting = arguments.seeds.iter();
    let mut running = JoinSet::new();
    let mut done: Vec<Done> = Vec::new();
    loop {
        while running.len() < arguments.jobs
            && let Some(seed) = waiting.next()
        {
            let places = Places {
                binary: binary.clone(),
                template: template.to_owned(),
                scratch: scratch.join(seed.to_string()),
                folder: folder()?.join(seed.to_string()),
            };
            running.spawn(run_world(*seed, options(arguments), places, arguments.keep));
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        done.push(ended??);
    }
    done.sort_by_key(|one| one.seed);
    Ok(done)
}

/// What a world must know besides its seed and its places.
fn options(arguments: &Arguments) -> Vec<String> {
    let wish = &arguments.wish;
    let mut options = vec!["--seconds".to_owned(), wish.seconds.to_string()];
    if arguments.keep {
        options.push("--keep".to_owned());
    }
    if wish.is_calm {
        options.push("--calm".to_owned());
    }
    if !wish.only.is_empty() {
        let words: Vec<&str> = wish.only.iter().map(|kind| kind.word()).collect();
        options.extend(["--only".to_owned(), words.join(",")]);
    }
    options
}

async fn run_world(
    seed: u64,
    options: Vec<String>,
    places: Places,
    keep: bool,
) -> anyhow::Result<Done> {
    let start = Instant::now();
    let _ = fs::remove_dir_all(&places.folder);
    fs::create_dir_all(&places.folder)?;
    fs::create_dir_all(&places.scratch)?;
    harness_own(&places.scratch)?;
    let output = places.folder.join("output");
    let is_innocent = end_of_world(seed, &options, &places, &output).await?;
    let line = fs::read_to_string(places.folder.join(OUTCOME));
    let line = line.unwrap_or_else(|_| "the machine itself failed".to_owned());
    let seconds = start.elapsed().as_secs_f64();
    let _ = fs::remove_dir_all(&places.scratch);
    if is_innocent {
        println!("seed {seed}: passed in {seconds:.0} s; {line}");
        if !keep {
            let _ = fs::remove_dir_all(&places.folder);
        }
    } else {
        print!("{}", fs::read_to_string(&output).unwrap_or_default());
        println!("seed {seed}: FAILED in {seconds:.0} s; {line}");
        let again = options.join(" ");
        println!(
            "seed {seed}: logs and history are in {}; again: causeway-faults --seeds {seed} {again}",
            places.folder.display()
        );
    }
    Ok(Done {
        seed,
        is_innocent,
        line,
        seconds,
    })
}

/// Lets the user postgres in.
fn harness_own(folder: &Path) -> anyhow::Result<()> {
    let status = std::process::Command::new("chown")
        .arg("postgres:")
        .arg(folder)
        .status()?;
    ensure!(status.success(), "chown {}", folder.display());
    Ok(())
}

/// Runs the world until it ends, or is ended; whether it says that nothing was found.
async fn end_of_world(
    seed: u64,
    options: &[String],
    places: &Places,
    output: &Path,
) -> anyhow::Result<bool> {
    let mut command = process::mortal("unshare");
    command.args(["--net", "--"]).arg(std::env::current_exe()?);
    command.args(["--seeds", &seed.to_string()]).args(options);
    command.arg("--world");
    for place in [
        &places.binary,
        &places.template,
        &places.scratch,
        &places.folder,
    ] {
        command.arg(place);
    }
    let file = fs::File::create(output)?;
    command.stdin(Stdio::null());
    command.stdout(file.try_clone()?).stderr(file);
    let mut child = process::spawn(command).context("cannot run unshare")?;
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            println!("seed {seed}: not over after {WATCHDOG:?}");
            return Ok(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn table(arguments: &Arguments, done: &[Done]) -> String {
    let mut text =
        String::from("| seed | verdict | seconds | what happened |\n| --- | --- | --- | --- |\n");
    for one in done {
        let verdict = if one.is_innocent { "passed" } else { "FAILED" };
        let Done {
            seed,
            line,
            seconds,
            ..
        } = one;
        text += &format!("| {seed} | {verdict} | {seconds:.0} | {line} |\n");
    }
    let _ = arguments;
    text
}
