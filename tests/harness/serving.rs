//! `cruddur serve` as a process, and its log.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Cruddur, cruddur, signal, with_stores};

/// Timeout of every wait: far longer than the wait takes on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

pub struct Serving {
    pub url: String,
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Serving {
    /// Starts a server on a test's stores, with further options.
    pub async fn start(stores: &Cruddur, options: &[&str]) -> Self {
        Self::start_with(stores, options, &[]).await
    }

    /// Starts a server with further options and environment variables.
    pub async fn start_with(
        stores: &Cruddur,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = cruddur(&["serve"]);
        with_stores(&mut command, stores);
        command.args(options).envs(variables.iter().copied());
        Self::run(&mut command).await
    }

    /// Runs a `cruddur serve`, and waits until it serves.
    pub async fn run(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let mut read = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok(Some(line)) = read.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("no panic").push(line);
            }
        });
        let mut serving = Self {
            url: String::new(),
            child,
            lines,
        };
        serving.url = serving.address("serving").await;
        serving
    }

    /// Returns the URL with the address in a line of the log.
    pub async fn address(&self, message: &str) -> String {
        let line = self.line(message).await;
        let address = line["address"].as_str().expect("an address");
        format!("http://{address}")
    }

    /// Waits for a line whose message begins with `message`.
    pub async fn line(&self, message: &str) -> Value {
        self.line_that(|line| {
            let found = line["message"].as_str();
            found.is_some_and(|found| found.starts_with(message))
        })
        .await
    }

    /// Waits for the first line that `matches` accepts.
    pub async fn line_that(&self, matches: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                match self.lines().into_iter().find(&matches) {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let found = timeout(WAIT_TIMEOUT, found).await;
        found.unwrap_or_else(|_| panic!("no such line in {:#?}", self.lines()))
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().expect("no panic").clone()
    }

    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Returns the ID of the process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(WAIT_TIMEOUT, self.child.wait()).await;
        ended.expect("it ends in time").expect("an end")
    }

    /// Stops the process like an orchestrator.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        assert!(self.ended().await.success());
    }
}
