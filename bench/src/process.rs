//! Child processes, each with a log file, which end with this program however it ends.
//!
//! The kernel signals a child when the thread that started it is gone (`setpriv
//! --pdeathsig`), so all of them are started by the main thread.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether we could become another user.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// A command that gets `signal` when we die. It runs as `user` if we are root and one is given,
/// and with an empty environment: the settings of its caller are none of its own.
pub(crate) fn command(program: impl AsRef<OsStr>, signal: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    if let Some(user) = user.filter(|_| is_root()) {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// A running child, killed with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error in `log`.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Calls `ready` with the output until it returns a value.
    ///
    /// # Errors
    ///
    /// If the process ends before, or after half a minute.
    pub(crate) fn wait_for<T>(
        &mut self,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let output = self.output();
            if let Some(value) = ready(&output) {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("a server ended with {status}:\n{output}");
            }
            if Instant::now() > deadline {
                anyhow::bail!("a server does not get ready:\n{output}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill(); // fails only if it has ended by itself
        let _ = self.child.wait();
    }

    /// Sends a signal by its name and waits at most 10 s for the end.
    pub(crate) fn stop(&mut self, signal: &str) {
        self.signal(signal);
        self.wait_for_end();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let _ = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.id().to_string())
            .status();
    }

    /// Waits at most 10 s for the end.
    pub(crate) fn wait_for_end(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
