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

use crate::{
    arguments::Arguments,
    postgres,
    report::{self, Done},
    run,
    schedule::Wish,
    world::Places,
};

/// After which a world is ended from outside.
const WATCHDOG: Duration = Duration::from_secs(180);
/// Runs the one seed of this process; whether nothing was found.
pub async fn be_world(arguments: &Arguments, places: &Places) -> anyhow::Result<bool> {
    let outcome = run::run(arguments, places).await?;
    for finding in &outcome.findings {
        println!("{finding}");
    }
    if !outcome.is_innocent {
        println!("{}", outcome.verdict);
    }
    report::write(&places.folder, &outcome)?;
    Ok(outcome.is_innocent)
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
        fs::write(report, report::table(&done))?;
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
            running.spawn(run_world(*seed, arguments.clone(), places));
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
    if let Some(old) = &wish.old {
        options.extend(["--old".to_owned(), old.display().to_string()]);
    }
    if !wish.only.is_empty() {
        options.extend(["--only".to_owned(), words(wish)]);
    }
    options
}

async fn run_world(seed: u64, arguments: Arguments, places: Places) -> anyhow::Result<Done> {
    let Arguments { wish, keep, .. } = &arguments;
    let start = Instant::now();
    let _ = fs::remove_dir_all(&places.folder);
    fs::create_dir_all(&places.folder)?;
    fs::create_dir_all(&places.scratch)?;
    give_to_postgres(&places.scratch)?;
    let output = places.folder.join("output");
    let is_innocent = end_of_world(seed, &options(&arguments), &places, &output).await?;
    let seconds = start.elapsed().as_secs_f64();
    let _ = fs::remove_dir_all(&places.scratch);
    let done = Done {
        seed,
        is_innocent,
        seconds,
        fields: report::read(&places.folder),
    };
    if is_innocent {
        println!("{done}");
        if !*keep {
            let _ = fs::remove_dir_all(&places.folder);
        }
    } else {
        print!("{}", fs::read_to_string(&output).unwrap_or_default());
        println!("{done}");
        println!(
            "seed {seed}: logs and history are in {}; again: make faults SEED={seed}{}",
            places.folder.display(),
            again(wish)
        );
    }
    Ok(done)
}

/// What `make faults` must be told besides the seed.
fn again(wish: &Wish) -> String {
    let mut again = format!(" SECONDS={}", wish.seconds);
    if !wish.only.is_empty() {
        again += &format!(" ONLY={}", words(wish));
    }
    if let Some(old) = &wish.old {
        again += &format!(" CAUSEWAY_OLD_BIN={}", old.display());
    }
    if wish.is_calm {
        again += " ARGUMENTS=--calm";
    }
    again
}

fn words(wish: &Wish) -> String {
    let words: Vec<&str> = wish.only.iter().map(|kind| kind.word()).collect();
    words.join(",")
}

/// Lets the user postgres in.
fn give_to_postgres(folder: &Path) -> anyhow::Result<()> {
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
