//! One node as a process.

use std::{net::SocketAddr, path::PathBuf, process::ExitStatus, sync::Arc, time::Duration};

use crate::{
    Builder, Command, Metrics, PATIENCE, Process, Response, Scratch, binary, http, process,
};

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `node.name`; a default is made up if empty.
    pub name: String,
    /// `cluster.database_url`; empty: alone on SQLite.
    pub database_url: String,
    /// `KEY=VALUE` for `--set`.
    pub settings: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// A running (or stopped, or killed) node.
#[derive(Debug)]
pub struct TestNode {
    options: Options,
    scratch: Arc<Scratch>,
    process: Option<Process>,
    starts: u32,
    tcp: SocketAddr,
    http: SocketAddr,
}

impl TestNode {
    /// Starts a node alone on its own SQLite file.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with `KEY=VALUE` settings.
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::launch(Options {
            settings: settings.iter().map(ToString::to_string).collect(),
            ..Options::default()
        })
        .await
    }

    /// Starts a node and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    pub async fn launch(options: Options) -> Self {
        let mut node = Self::prepare(options);
        node.restart().await;
        node
    }

    /// A node that is not started yet.
    pub(crate) fn prepare(options: Options) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::prepare_at(nowhere, options)
    }

    /// The same; [`Self::restart_in_place`] starts it with MQTT at `tcp`.
    pub(crate) fn prepare_at(tcp: SocketAddr, options: Options) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            options,
            scratch: Arc::new(Scratch::new("node")),
            process: None,
            starts: 0,
            tcp,
            http: nowhere,
        }
    }

    /// Starts it again on the same data, at new ports.
    pub async fn restart(&mut self) {
        self.spawn("127.0.0.1:0");
        self.ready().await;
    }

    /// Starts it again on the same data, with MQTT at the port it had.
    pub async fn restart_in_place(&mut self) {
        let tcp = self.tcp.to_string();
        self.spawn(&tcp);
        self.ready().await;
    }

    /// Sets `KEY=VALUE` from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.options.settings.push(setting.to_owned());
    }

    pub(crate) fn spawn(&mut self, tcp: &str) {
        assert!(self.process.is_none(), "the node runs already");
        self.starts += 1;
        let mut command = process::mortal(binary());
        let name = if self.options.name.is_empty() {
            "alone"
        } else {
            &self.options.name
        };
        command.current_dir(self.scratch.path()).arg("serve");
        command.envs(self.options.environment.iter().cloned());
        for setting in [
            &format!("node.name={name}"),
            &format!("listener.tcp={tcp}"),
            "listener.ws=off",
            "http.listen=127.0.0.1:0",
            "log.format=json",
            "store.path=causeway.db",
            &format!("cluster.database_url={}", self.options.database_url),
        ] {
            command.args(["--set", setting]);
        }
        for setting in &self.options.settings {
            command.args(["--set", setting]);
        }
        self.process = Some(Process::start(command, self.log()));
    }

    /// `causeway user` with arguments, on the database of this node.
    #[must_use]
    pub fn user_command(&self, arguments: &[&str]) -> Command {
        let url = format!("cluster.database_url={}", self.options.database_url);
        let all = [
            &["user"],
            arguments,
            &["--set", "store.path=causeway.db", "--set", &url],
        ];
        Command::new(&all.concat()).folder(self.scratch.path())
    }

    /// Adds a user or gives them a new password, whether or not it runs.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn add_user(&self, username: &str, password: &str) {
        let command = self.user_command(&["add", "--password-stdin", "--replace", username]);
        let finished = command.stdin(&format!("{password}\n")).run().await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join(format!("log.{}", self.starts))
    }

    /// Waits until it has bound its sockets and says that it is ready.
    pub(crate) async fn ready(&mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let process = self.process.as_mut().expect("the node runs");
            let output = process.output();
            if let Some(status) = process.status() {
                panic!("the node ended with {status}:\n{output}");
            }
            let addresses = (listening(&output, "tcp"), listening(&output, "http"));
            if let (Some(tcp), Some(http)) = addresses {
                (self.tcp, self.http) = (tcp, http);
                if http::get(http, "/readyz")
                    .await
                    .is_ok_and(|answer| answer.status == 200)
                {
                    return;
                }
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not ready after {PATIENCE:?}:\n{output}"
            );
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Its `node.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The id of its process.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    /// Where it speaks MQTT.
    #[must_use]
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Waits for another listener, such as `tls`; where it is.
    pub async fn listener(&self, name: &str) -> SocketAddr {
        crate::eventually(&format!("listener {name}"), async || {
            listening(&self.output(), name)
        })
        .await
    }

    /// The folder that it runs in, with `causeway.db` and `var`.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Memory that its process holds.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let id = self.process.as_ref().expect("the node runs").id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("the node runs").signal(name);
    }

    /// Waits until the present run has logged a line with all of `words` in it; returns that line.
    pub async fn logs(&self, words: &[&str]) -> String {
        crate::eventually(&format!("{words:?} in one line of the log"), async || {
            let output = self.output();
            let line = output
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))?;
            Some(line.to_owned())
        })
        .await
    }

    /// Where it speaks HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// A client of this node, still to be connected.
    #[must_use]
    pub fn builder(&self, client_id: &str) -> Builder {
        Builder::new(self.tcp, client_id)
    }

    /// A connected client.
    pub async fn client(&self, client_id: &str) -> crate::Client {
        self.builder(client_id).connect().await
    }

    /// GETs a page of it.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub async fn get(&self, path: &str) -> Response {
        http::get(self.http, path)
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Its metrics now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::new(self.get("/metrics").await.body)
    }

    /// What the present or last run of it has logged.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// What is in its folder: its database, its logs.
    ///
    /// # Panics
    ///
    /// If that cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.scratch.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Whether it has been started and neither stopped nor killed by us.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.as_ref().expect("the node runs").signal("TERM");
    }

    /// SIGINT (Ctrl-C), without waiting.
    pub fn interrupt(&self) {
        self.process.as_ref().expect("the node runs").signal("INT");
    }

    /// Waits for the end of its process after [`Self::terminate`].
    pub async fn ended(&mut self) -> ExitStatus {
        let status = self
            .process
            .as_mut()
            .expect("the node runs")
            .wait(PATIENCE)
            .await;
        self.process = None;
        status
    }

    /// Stops it by SIGTERM.
    ///
    /// # Panics
    ///
    /// If it does not exit with 0.
    pub async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(
            status.success(),
            "stopped with {status}:\n{}",
            self.output()
        );
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("the node runs").kill();
    }

    /// Stops its clock (SIGSTOP) until [`Self::resume`].
    pub fn pause(&self) {
        self.process.as_ref().expect("the node runs").signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.as_ref().expect("the node runs").signal("CONT");
    }

    /// Fails if the node has panicked or ended by itself.
    ///
    /// # Panics
    ///
    /// Then.
    pub fn assert_healthy(&mut self) {
        for start in 1..=self.starts {
            let path = self.scratch.path().join(format!("log.{start}"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            assert!(!text.contains("panicked at"), "the node has panicked");
        }
        if let Some(process) = &mut self.process {
            let status = process.status();
            assert!(status.is_none(), "the node ended by itself: {status:?}");
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            for start in 1..=self.starts {
                let path = self.scratch.path().join(format!("log.{start}"));
                let text = std::fs::read(path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let skip = text.lines().count().saturating_sub(60);
                eprintln!(
                    "--- log of node {:?}, start {start} (last lines)",
                    self.options.name
                );
                for line in text.lines().skip(skip) {
                    eprintln!("{line}");
                }
            }
        }
    }
}

/// The address in the JSON line "listening" of a listener.
fn listening(output: &str, listener: &str) -> Option<SocketAddr> {
    let listener = format!("\"listener\":\"{listener}\"");
    let line = output
        .lines()
        .find(|line| line.contains("\"message\":\"listening\"") && line.contains(&listener))?;
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}
