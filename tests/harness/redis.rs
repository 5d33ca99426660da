//! A real Redis, for hints between instances.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Timeout for Redis to start, far longer than it takes on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

pub struct Redis {
    pub url: String,
    port: u16,
    child: Child,
}

impl Redis {
    /// Starts Redis. Returns `None` if it is not installed, unless
    /// `CRUDDUR_TEST_REDIS=required`.
    pub async fn start() -> Option<Self> {
        let port = super::free_port();
        let Some(child) = spawn(port) else {
            let required = std::env::var("CRUDDUR_TEST_REDIS").is_ok_and(|say| say == "required");
            assert!(!required, "there is no redis-server");
            eprintln!("there is no redis-server: nothing is tested between instances");
            return None;
        };
        let url = format!("redis://127.0.0.1:{port}");
        let redis = Self { url, port, child };
        redis.ready().await;
        Some(redis)
    }

    /// Kills Redis. All its subscriptions are lost.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is killed");
    }

    /// Starts Redis again at the same address.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port).expect("it ran before");
        self.ready().await;
    }

    async fn ready(&self) {
        let connected = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let connected = tokio::time::timeout(WAIT_TIMEOUT, connected).await;
        connected.expect("redis-server accepts connections");
    }
}

fn spawn(port: u16) -> Option<Child> {
    let port = port.to_string();
    Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()
}
