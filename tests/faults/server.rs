//! A `cruddur serve` that can be killed and frozen.

use std::time::Duration;

use crate::harness::{Cruddur, Process, Serving, free_port, wait_until};

/// A `cruddur serve` process that keeps its address.
pub struct Server {
    pub url: String,
    port: u16,
    settings: Vec<(&'static str, String)>,
    process: Process,
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
            process: spawn(cruddur, port, &settings),
            settings,
            port,
        };
        server.ready().await;
        server
    }

    /// Kills the server at any time, and starts it again.
    pub async fn kill(&mut self, cruddur: &Cruddur) {
        self.process.kill().await;
        self.process = spawn(cruddur, self.port, &self.settings);
    }

    /// Freezes the process for some time.
    pub async fn freeze(&self, time: Duration) {
        self.process.signal("STOP").await;
        tokio::time::sleep(time).await;
        self.process.signal("CONT").await;
    }

    /// Returns the memory of the process, if the system reports it.
    pub fn resident_kilobytes(&self) -> Option<u64> {
        let status = format!("/proc/{}/status", self.process.pid());
        let status = std::fs::read_to_string(status).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line?.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    pub async fn ready(&self) {
        let url = format!("{}/readyz", self.url);
        wait_until("the server is ready", async || {
            let response = reqwest::get(&url).await;
            response.is_ok_and(|response| response.status() == 200)
        })
        .await;
    }
}

fn spawn(stores: &Cruddur, port: u16, settings: &[(&'static str, String)]) -> Process {
    let address = format!("127.0.0.1:{port}");
    let mut variables = vec![("LISTEN_ADDR", &*address), ("RUST_LOG", "off")];
    variables.extend(settings.iter().map(|(name, value)| (*name, &**value)));
    Serving::spawn(stores, &["--send-rate", "0"], &variables)
}
