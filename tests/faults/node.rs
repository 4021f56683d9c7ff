//! One node and whoever starts it again, as systemd would.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use harness::{Process, process};
use tokio::time::{Instant, sleep};

use crate::{clock::Clock, fault::name, findings::Findings, network, random::Random};

/// How often its state is looked at.
const TICK: Duration = Duration::from_millis(10);
/// How long a node may take to let its clients go after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// What a node logs that others have declared dead, and that joins again.
const FENCED: &str = "joining the cluster again";
/// How often its log is looked at.
const READ: Duration = Duration::from_millis(200);

/// How a node is started, each time.
#[derive(Debug)]
pub struct Setup {
    pub binary: PathBuf,
    /// Instead of it until [`Node::upgrade`].
    pub old: Option<PathBuf>,
    /// Where it runs, and where its logs are.
    pub folder: PathBuf,
    pub database_url: String,
    pub lease: Duration,
    /// If its clock is to be moved.
    pub clock: Option<Clock>,
}

/// Why a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Run,
    Kill,
    Terminate,
}

#[derive(Debug)]
struct State {
    process: Option<Process>,
    intent: Intent,
    starts: u32,
    /// When to start it, if it does not run.
    start_at: Option<Instant>,
    started: Instant,
    random: Random,
    /// Until then it may have been declared dead for a fault of its own.
    may_be_fenced_until: Instant,
    /// Until then it may fail to start for want of a database.
    may_fail_until: Instant,
    fenced: u32,
    is_upgraded: bool,
    /// The most memory that it has had, in KiB.
    peak_kib: u64,
    /// How much of the log of this start has been read, and when.
    log_read: (u64, Instant),
    is_over: bool,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    pub index: usize,
    setup: Setup,
    findings: Findings,
    state: Mutex<State>,
}

impl Node {
    /// Starts it, and starts it again when it has ended, until [`Self::end`].
    pub fn start(index: usize, setup: Setup, findings: Findings, random: Random) -> Arc<Self> {
        let now = Instant::now();
        let node = Arc::new(Self {
            index,
            setup,
            findings,
            state: Mutex::new(State {
                process: None,
                intent: Intent::Run,
                starts: 0,
                start_at: Some(now),
                started: now,
                random,
                may_be_fenced_until: now,
                may_fail_until: now,
                fenced: 0,
                is_upgraded: false,
                peak_kib: 0,
                log_read: (0, now),
                is_over: false,
            }),
        });
        let supervised = Arc::clone(&node);
        tokio::spawn(async move {
            while supervised.look() {
                sleep(TICK).await;
            }
        });
        node
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> &'static str {
        name(self.index)
    }

    /// One look of the supervisor; false when all is over.
    fn look(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        if state.is_over {
            state.process = None;
            return false;
        }
        if state.log_read.1 + READ <= now {
            self.look_at_log(&mut state, now);
            let peak_kib = state
                .process
                .as_ref()
                .and_then(|process| peak_kib(process.id()));
            state.peak_kib = state.peak_kib.max(peak_kib.unwrap_or(0));
        }
        if let Some(status) = state.process.as_mut().and_then(Process::status) {
            self.look_at_log(&mut state, now);
            let output = state.process.take().map(|ended| ended.output());
            self.judge(&mut state, status, &output.unwrap_or_default());
            let pause = state.random.millis(0, 3000);
            state.start_at.get_or_insert(now + pause);
            state.intent = Intent::Run;
        }
        let is_due = state.start_at.is_some_and(|at| at <= now);
        if state.process.is_none() && is_due {
            state.starts += 1;
            state.log_read = (0, now);
            state.start_at = None;
            state.started = now;
            state.intent = Intent::Run;
            state.process = Some(self.spawn(&state));
        }
        true
    }

    /// Counts how often it was declared dead, and finds when that was without cause.
    fn look_at_log(&self, state: &mut State, now: Instant) {
        let (read, _) = state.log_read;
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log(state.starts)) {
            let _ = file.seek(SeekFrom::Start(read));
            let _ = file.read_to_end(&mut text);
        }
        // Whole lines only.
        let length = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&text[..length]);
        state.log_read = (read + length as u64, now);
        let count = text.lines().filter(|line| line.contains(FENCED)).count();
        state.fenced += count as u32;
        if count > 0 && now > state.may_be_fenced_until {
            self.findings.add(format!(
                "node {} (start {}, after {:.1} s) was declared dead without cause",
                self.name(),
                state.starts,
                state.started.elapsed().as_secs_f64()
            ));
        }
    }

    fn spawn(&self, state: &State) -> Process {
        let setup = &self.setup;
        let old = setup.old.as_ref().filter(|_| !state.is_upgraded);
        let mut command = process::mortal(old.unwrap_or(&setup.binary));
        command.current_dir(&setup.folder).arg("serve");
        let [balanced, direct, http] =
            [network::balanced, network::direct, network::http].map(|of| of(self.index));
        for setting in [
            format!("node.name={}", self.name()),
            format!("listener.tcp={balanced}, {direct}"),
            "listener.ws=off".to_owned(),
            "listener.proxy_protocol=auto".to_owned(),
            format!("http.listen={http}"),
            "log.format=json".to_owned(),
            format!("cluster.database_url={}", setup.database_url),
            format!("cluster.lease={}s", setup.lease.as_secs()),
        ] {
            command.args(["--set", &setting]);
        }
        if let Some(clock) = &setup.clock {
            clock.apply(&mut command);
        }
        Process::start(command, self.log(state.starts))
    }

    fn log(&self, start: u32) -> PathBuf {
        let file = format!("node-{}.{start}.log", self.name());
        self.setup.folder.join(file)
    }

    /// Whether it may end like this.
    fn judge(&self, state: &mut State, status: ExitStatus, output: &str) {
        let now = Instant::now();
        let is_allowed = match state.intent {
            Intent::Kill => true,
            Intent::Terminate if status.success() => true,
            Intent::Run | Intent::Terminate => {
                let cannot_start = output.lines().last().is_some_and(is_without_database);
                status.code() == Some(1) && cannot_start && now < state.may_fail_until
            }
        };
        if !is_allowed {
            let last = output.lines().last().unwrap_or_default();
            self.findings.add(format!(
                "node {} (start {}, after {:.1} s, to {}) ended with {status}: {last}",
                self.name(),
                state.starts,
                state.started.elapsed().as_secs_f64(),
                match state.intent {
                    Intent::Terminate => "be stopped",
                    Intent::Run | Intent::Kill => "run on",
                }
            ));
        }
    }

    /// From now on and until `time`, others may declare it dead.
    pub fn may_be_fenced_until(&self, time: Instant) {
        let mut state = self.lock();
        state.may_be_fenced_until = state.may_be_fenced_until.max(time);
    }

    /// From now on and until `time`, it may not find its database.
    pub fn may_fail_until(&self, time: Instant) {
        let mut state = self.lock();
        state.may_fail_until = state.may_fail_until.max(time);
    }

    /// `kill -9`, and a start after `pause`. Nothing but the start if it does not run.
    pub fn kill(&self, pause: Duration) {
        let mut state = self.lock();
        state.intent = Intent::Kill;
        state.start_at = Some(Instant::now() + pause);
        if let Some(mut process) = state.process.take() {
            process.kill();
        }
    }

    /// SIGSTOP; which run of it was stopped.
    pub fn pause(&self) -> u32 {
        self.signal("STOP")
    }

    /// SIGCONT, if that run still is there.
    pub fn resume(&self, run: u32) {
        if self.lock().starts == run {
            self.signal("CONT");
        }
    }

    fn signal(&self, signal: &str) -> u32 {
        let state = self.lock();
        if let Some(process) = &state.process {
            process.signal(signal);
        }
        state.starts
    }

    /// SIGTERM, a start right after its end, and what it takes until it is ready.
    pub async fn restart(&self) {
        let before = {
            let mut state = self.lock();
            let now = Instant::now();
            if state.process.is_none() {
                return;
            }
            state.intent = Intent::Terminate;
            state.start_at = Some(now);
            state.starts
        };
        self.signal("TERM");
        let deadline = Instant::now() + DRAIN;
        while self.lock().starts == before {
            if Instant::now() > deadline {
                self.findings.add(format!(
                    "node {} has not ended {DRAIN:?} after SIGTERM",
                    self.name()
                ));
                return self.kill(Duration::ZERO);
            }
            sleep(TICK).await;
        }
        self.ready(DRAIN).await;
    }

    /// From its next start on it is the program under test.
    pub fn upgrade(&self) {
        self.lock().is_upgraded = true;
    }

    /// Waits until it takes clients; false if it does not in time.
    pub async fn ready(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let answer = harness::get(network::http(self.index), "/readyz");
            let answer = tokio::time::timeout(Duration::from_secs(2), answer).await;
            if matches!(answer, Ok(Ok(response)) if response.status == 200) {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// How often it was started, and declared dead.
    pub fn counts(&self) -> (u32, u32) {
        let state = self.lock();
        (state.starts, state.fenced)
    }

    /// The most memory that it has had.
    pub fn peak_mib(&self) -> u64 {
        self.lock().peak_kib / 1024
    }

    /// Kills it for good, and looks for a panic in what it has logged.
    pub fn end(&self) {
        let starts = {
            let mut state = self.lock();
            state.is_over = true;
            state.process = None;
            state.starts
        };
        for start in 1..=starts {
            let text = std::fs::read(self.log(start)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
                self.findings
                    .add(format!("node {} panicked: {line}", self.name()));
            }
        }
    }
}

/// The most memory that a process has had, if it is still there.
fn peak_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a node ended with this line because it could not join for want of its database.
fn is_without_database(line: &str) -> bool {
    let reasons = [
        "causeway: cluster.database_url: cannot open the database",
        "causeway: database unreachable",
    ];
    let while_upgrading = "causeway: cluster.database_url: cannot create or upgrade the schema";
    reasons.iter().any(|reason| line.starts_with(reason))
        || (line.starts_with(while_upgrading) && line.contains("error communicating with database"))
}
