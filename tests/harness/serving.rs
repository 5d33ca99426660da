//! `cruddur serve` as a process, and its log.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use super::{Cruddur, cruddur, signal, with_stores};

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Serving {
    pub url: String,
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Serving {
    /// Serves a test's stores with more options.
    pub async fn start(stores: &Cruddur, options: &[&str]) -> Self {
        let mut command = cruddur(&["serve"]);
        with_stores(&mut command, stores);
        command.args(options).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
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

    /// The address that a line of the log has.
    pub async fn address(&self, message: &str) -> String {
        let line = self.line(message).await;
        let address = line["address"].as_str().expect("an address");
        format!("http://{address}")
    }

    /// The first line whose message begins like this, once it is there.
    pub async fn line(&self, message: &str) -> Value {
        let is_it = |line: &Value| {
            let found = line["message"].as_str();
            found.is_some_and(|found| found.starts_with(message))
        };
        let found = async {
            loop {
                match self.lines().into_iter().find(is_it) {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no line {message:?} in {:#?}", self.lines()))
    }

    fn lines(&self) -> Vec<Value> {
        self.lines.lock().expect("no panic").clone()
    }

    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// How it ends.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends in time").expect("an end")
    }
}
