//! Runs the program as a process, and reads its output.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::{Cruddur, wait_for, wait_until};

/// A process that is killed when it is dropped.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the output of the process: {:#?}", self.lines());
        }
    }
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = Arc::default();
        read_lines(child.stdout.take().expect("a pipe"), &lines);
        read_lines(child.stderr.take().expect("a pipe"), &lines);
        Self { child, lines }
    }

    /// Returns the URL with the address in a line of the log.
    pub async fn address(&self, message: &str) -> String {
        let line = self.line(message).await;
        let address = line["address"].as_str().expect("an address");
        format!("http://{address}")
    }

    /// Waits for a line of the log whose message begins with `message`.
    pub async fn line(&self, message: &str) -> Value {
        self.line_that(|line| {
            let found = line["message"].as_str();
            found.is_some_and(|found| found.starts_with(message))
        })
        .await
    }

    /// Waits for a line that contains `text`, and returns it.
    pub async fn line_with(&self, text: &str) -> String {
        let line = self.line_that(|line| line.to_string().contains(text)).await;
        line.as_str()
            .map_or_else(|| line.to_string(), str::to_owned)
    }

    /// Waits for the first line that `matches` accepts.
    pub async fn line_that(&self, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until("a line of the output", async || {
            found = self.lines().into_iter().find(&matches);
            found.is_some()
        })
        .await;
        found.expect("a line")
    }

    /// Returns all lines of the standard output and of the log so far. A line
    /// that is not JSON is a string.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().expect("no panic").clone()
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is killed");
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = wait_for("the end of the process", self.child.wait()).await;
        ended.expect("a status")
    }

    /// Sends a signal, and waits for the end of the process.
    pub async fn end(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal).await;
        self.ended().await
    }
}

/// Reads lines until the end of the output.
fn read_lines(output: impl AsyncRead + Send + Unpin + 'static, lines: &Arc<Mutex<Vec<Value>>>) {
    let lines = Arc::clone(lines);
    let mut read = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = read.next_line().await {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            lines.lock().expect("no panic").push(line);
        }
    });
}

pub fn cruddur(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command.env_clear();
    for kept in ["PATH", "HOME", "TMPDIR", "USER", "XDG_CACHE_HOME"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// Returns the program that was built with the tests, or for an example, the
/// one in the same folder.
fn program() -> PathBuf {
    if let Some(program) = option_env!("CARGO_BIN_EXE_cruddur") {
        return program.into();
    }
    let example = std::env::current_exe().expect("a program");
    let folder = example.ancestors().nth(2).expect("a target folder");
    folder.join("cruddur")
}

pub async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status()
        .await;
    assert!(sent.expect("kill runs").success());
}

/// Sets the environment variables with which a command finds a test's stores.
pub fn with_stores(command: &mut Command, cruddur: &Cruddur) {
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", &cruddur.dynamo.url)
        .env("DATABASE_URL", &cruddur.database.url)
        .env(
            "CRUDDUR_DATABASE_CONNECTIONS",
            super::DATABASE_CONNECTIONS.to_string(),
        )
        .env("COGNITO_ISSUER", cruddur.issuer.url())
        .env("AWS_COGNITO_USER_POOL_CLIENT_ID", cruddur::dev::CLIENT_ID)
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("CRUDDUR_DRAIN_SECONDS", "0");
}

/// Locks of the ports that this process has chosen.
static PORTS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Returns a port that no other test gets while this process lives, even while
/// the server on it is stopped. It is below the ports that the system assigns
/// to clients.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("cruddur-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let lock = |port: u16| {
        let file = File::create(folder.join(port.to_string())).ok()?;
        file.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| file)
    };
    let mut chosen = (15_000..30_000).filter_map(|port| Some((port, lock(port)?)));
    let (port, file) = chosen.next().expect("a port");
    PORTS.lock().expect("no panic").push(file);
    port
}
