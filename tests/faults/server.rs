//! A `cruddur serve` that can be killed and frozen.

use std::time::Duration;

use tokio::process::Child;

use crate::harness::{Cruddur, cruddur, free_port, signal, with_stores};

/// Timeout for the server to start, far longer than it takes on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// A `cruddur serve` process that keeps its address.
pub struct Server {
    pub url: String,
    port: u16,
    settings: Vec<(&'static str, String)>,
    child: Child,
}

impl Server {
    pub async fn start(cruddur: &Cruddur) -> Self {
        Self::start_with(cruddur, Vec::new()).await
    }

    /// Starts a server with further settings.
    pub async fn start_with(cruddur: &Cruddur, settings: Vec<(&'static str, String)>) -> Self {
        let port = free_port();
        let server = Self {
            url: format!("http://127.0.0.1:{port}"),
            child: spawn(cruddur, port, &settings),
            settings,
            port,
        };
        server.ready().await;
        server
    }

    /// Kills the server at any time, and starts it again.
    pub async fn kill(&mut self, cruddur: &Cruddur) {
        self.child.kill().await.expect("it is killed");
        self.child = spawn(cruddur, self.port, &self.settings);
    }

    /// Freezes the process for some time.
    pub async fn freeze(&self, time: Duration) {
        signal(&self.child, "STOP").await;
        tokio::time::sleep(time).await;
        signal(&self.child, "CONT").await;
    }

    /// Returns the memory of the process, if the system reports it.
    pub fn resident_kilobytes(&self) -> Option<u64> {
        let status = format!("/proc/{}/status", self.child.id()?);
        let status = std::fs::read_to_string(status).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line?.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    pub async fn ready(&self) {
        let url = format!("{}/readyz", self.url);
        let ready = async {
            while !reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = tokio::time::timeout(WAIT_TIMEOUT, ready).await;
        ready.expect("the server is ready");
    }
}

fn spawn(stores: &Cruddur, port: u16, settings: &[(&'static str, String)]) -> Child {
    let mut serve = cruddur(&["serve", "--send-rate", "0"]);
    with_stores(&mut serve, stores);
    serve
        .env("LISTEN_ADDR", format!("127.0.0.1:{port}"))
        .env("RUST_LOG", "off")
        .envs(settings.iter().cloned());
    serve.spawn().expect("it runs")
}
