//! The program under test, run to its end.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crate::{PATIENCE, Scratch, process};

/// The program under test: `CAUSEWAY_BIN`, or else `causeway` in the target folder of the tests.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CAUSEWAY_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("causeway");
    assert!(
        path.exists(),
        "no {}: cargo build -p causeway-node, or set CAUSEWAY_BIN",
        path.display()
    );
    path
}

/// A run of the program to its end.
#[derive(Debug)]
pub struct Finished {
    /// Exit code, `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A call of the program that is expected to end by itself.
#[derive(Debug)]
pub struct Command {
    command: std::process::Command,
    stdin: Option<String>,
}

impl Command {
    /// `causeway` with arguments.
    #[must_use]
    pub fn new(arguments: &[&str]) -> Self {
        let mut command = process::mortal(binary());
        command.args(arguments);
        // Its default port can be had only once on a machine.
        command.env("CAUSEWAY_LISTENER__WS", "off");
        Self {
            command,
            stdin: None,
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// What it finds on standard input; nothing if not set.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub async fn run(mut self) -> Finished {
        let scratch = Scratch::new("command");
        let (out, err) = (scratch.path().join("out"), scratch.path().join("err"));
        let input = match &self.stdin {
            Some(text) => std::fs::File::open(scratch.write("in", text))
                .unwrap()
                .into(),
            None => Stdio::null(),
        };
        self.command
            .stdin(input)
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let mut child = process::spawn(self.command).unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if tokio::time::Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "still runs after {PATIENCE:?}:\n{}{}",
                    read(&out),
                    read(&err)
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        Finished {
            code: status.code(),
            stdout: read(&out),
            stderr: read(&err),
        }
    }
}
