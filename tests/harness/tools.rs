//! Programs of others that the tests run: clients as people use them.

use std::{path::PathBuf, time::Duration};

use crate::{Process, Scratch, process};

/// A program of somebody else with its output in a file.
#[derive(Debug)]
pub struct Tool {
    process: Process,
    _scratch: Scratch,
}

impl Tool {
    /// Starts a program.
    ///
    /// # Panics
    ///
    /// If it is not there; `install` says what to do then.
    #[must_use]
    pub fn start(program: &str, arguments: &[&str], install: &str) -> Self {
        Self::start_with(program, arguments, &[], install)
    }

    /// The same with environment variables.
    #[must_use]
    pub fn start_with(
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        install: &str,
    ) -> Self {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()));
        assert!(found, "no program {program}: {install}");
        let scratch = Scratch::new("tool");
        let mut command = process::mortal(program);
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(scratch.path());
        let process = Process::start(command, scratch.path().join("output"));
        Self {
            process,
            _scratch: scratch,
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Waits until it has written a line with `text` in it.
    pub async fn says(&self, text: &str) {
        crate::eventually(&format!("{text:?} in the output"), async || {
            self.output().contains(text).then_some(())
        })
        .await;
    }

    /// Waits until it ends by itself with success; returns its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn success(self) -> String {
        self.success_within(Duration::from_secs(60)).await
    }

    /// The same for programs that take long.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn success_within(mut self, patience: Duration) -> String {
        let status = self.process.wait(patience).await;
        let output = self.output();
        assert!(status.success(), "ended with {status}:\n{output}");
        output
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- output of a tool\n{}", self.output());
        }
    }
}

fn variable(name: &str, what: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {what} (`make test` does)"))
}

/// A Python that has paho-mqtt 1.6.
///
/// # Panics
///
/// If `CAUSEWAY_PAHO1` does not name one.
#[must_use]
pub fn paho1() -> String {
    variable(
        "CAUSEWAY_PAHO1",
        "make a venv with paho-mqtt==1.6.1 and name its python",
    )
}

/// A Python that has paho-mqtt 2.
///
/// # Panics
///
/// If `CAUSEWAY_PAHO2` does not name one.
#[must_use]
pub fn paho2() -> String {
    variable(
        "CAUSEWAY_PAHO2",
        "make a venv with paho-mqtt>=2 and name its python",
    )
}

/// A Python that has mqtt-exporter.
///
/// # Panics
///
/// If `CAUSEWAY_EXPORTER` does not name one.
#[must_use]
pub fn exporter() -> String {
    variable(
        "CAUSEWAY_EXPORTER",
        "make a venv with mqtt-exporter==1.12.1 and name its python",
    )
}

/// The folder with the test suites of other clients, and the Python that runs them.
///
/// # Panics
///
/// If `CAUSEWAY_SUITES` does not name one.
#[must_use]
pub fn suites() -> PathBuf {
    variable(
        "CAUSEWAY_SUITES",
        "run deploy/scripts/test-clients and name it",
    )
    .into()
}

/// A folder with `node_modules/mqtt` in it.
///
/// # Panics
///
/// If `CAUSEWAY_NPM` does not name one.
#[must_use]
pub fn npm() -> PathBuf {
    variable("CAUSEWAY_NPM", "npm install mqtt in a folder and name it").into()
}
