//! `healthcheck`: for images without curl.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::CliError;

#[derive(Args, Debug)]
pub(super) struct HealthcheckArgs {
    /// Address that the server listens on
    #[arg(
        long,
        env = "LISTEN_ADDR",
        default_value = "127.0.0.1:4000",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
}

impl HealthcheckArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let url = format!("http://{}/healthz", reachable(self.listen));
        let failed =
            |cause: String| CliError::Failed(format!("no healthy server at {url}: {cause}"));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build();
        let client = client.map_err(|error| failed(error.to_string()))?;
        let answer = client
            .get(&url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        answer.map_err(|error| failed(error.to_string()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A server that listens everywhere is asked on the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port())
    } else {
        listen
    }
}
