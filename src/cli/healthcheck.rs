//! `healthcheck`: a health check for images without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::error::causes;
use super::running::{LISTEN_ADDR, running};
use super::{CliError, CliResult};
use crate::config::{DEFAULT_LISTEN_ADDRESS, socket_address};

#[derive(Args, Debug)]
#[command(after_help = "\
Without --listen, the command checks the server that runs on this machine or in
this container with the same LISTEN_ADDR, even if an option sets its address. If
there is none, it checks the address in LISTEN_ADDR, or else 127.0.0.1:4000.")]
pub(super) struct HealthcheckArgs {
    /// Address that the server listens on [default: the address of the server that is running here]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    listen: Option<SocketAddr>,
}

impl HealthcheckArgs {
    pub async fn run(self) -> CliResult<()> {
        let address = match self.listen {
            Some(address) => address,
            None => find()?,
        };
        let mut failed = None;
        for reachable in reachable(address) {
            match probe(reachable).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let why = failed.map(|error| causes(&error));
        Err(CliError::Failed(format!(
            "no healthy server at {address}: {}",
            why.unwrap_or_default()
        )))
    }
}

/// Returns the address of the server that is running here, or the configured address if none is
/// found.
fn find() -> CliResult<SocketAddr> {
    let configured = match std::env::var(LISTEN_ADDR) {
        Ok(text) => socket_address(&text)
            .map_err(|why| CliError::Usage(format!("{LISTEN_ADDR}: \"{text}\": {why}")))?,
        Err(_) => DEFAULT_LISTEN_ADDRESS,
    };
    match running().as_slice() {
        [] => Ok(configured),
        [one] => Ok(*one),
        several if several.contains(&configured) => Ok(configured),
        several => {
            let addresses: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CliError::Usage(format!(
                "several servers run here ({}): choose one with --listen",
                addresses.join(", ")
            )))
        }
    }
}

async fn probe(address: SocketAddr) -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .no_proxy()
        // `localhost` is resolved to the address, because a URL cannot contain an IPv6 address with
        // a scope.
        .resolve("localhost", address)
        .build()?;
    let url = format!("http://localhost:{}/healthz", address.port());
    client.get(url).send().await?.error_for_status()?;
    Ok(())
}

/// Returns the addresses to try. A server that listens on all interfaces is queried on the loopback
/// address.
fn reachable(listen: SocketAddr) -> Vec<SocketAddr> {
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let addresses = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        // A server on `[::]` also accepts IPv4, unless the system is configured otherwise.
        IpAddr::V6(ip) if ip.is_unspecified() => vec![IpAddr::V6(Ipv6Addr::LOCALHOST), v4],
        _ => return vec![listen],
    };
    let port = listen.port();
    let addresses = addresses.into_iter();
    addresses.map(|ip| SocketAddr::new(ip, port)).collect()
}
