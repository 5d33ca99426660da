//! A real Redis, for hints between instances.

use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait_until;

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
        wait_until("redis-server accepts connections", async || {
            TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
        })
        .await;
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
