//! Child processes that do not outlive the test.
//!
//! All are started by one thread that never ends, under `setpriv --pdeathsig`: the kernel kills
//! the child when that thread is gone, however the test process ended.

use std::{
    ffi::OsString,
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, mpsc},
    time::{Duration, Instant},
};

type Spawn = (Command, mpsc::Sender<std::io::Result<Child>>);

static SPAWNER: LazyLock<Mutex<mpsc::Sender<Spawn>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Spawn>();
    std::thread::spawn(move || {
        while let Ok((mut command, answer)) = receiver.recv() {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

/// Spawns `command` from the thread that lives as long as this process.
///
/// # Errors
///
/// If it cannot be started.
///
/// # Panics
///
/// Never.
pub fn spawn(command: Command) -> std::io::Result<Child> {
    let (sender, receiver) = mpsc::channel();
    SPAWNER.lock().unwrap().send((command, sender)).unwrap();
    receiver.recv().unwrap()
}

/// A command that the kernel kills with us, without the variables that are meant for the tests.
#[must_use]
pub fn mortal(program: impl Into<OsString>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program.into());
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("CAUSEWAY_") {
            command.env_remove(key); // settings of the tests, not of the node
        }
    }
    command
}

/// A running child, killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let name = format!("{command:?}");
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status();
    }

    /// Kills it at once (`kill -9`).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status, if it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// After `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "process {} still runs after {limit:?}:\n{}",
                self.id(),
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
