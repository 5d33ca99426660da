//! The listeners of a command that serves.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{CliError, CliResult};
use crate::config::MetricsArgs;
use crate::server::serve_metrics;

/// Listens on the address of an option.
pub(super) async fn listen(address: SocketAddr, option: &'static str) -> CliResult<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|cause| CliError::Listen {
        address,
        option,
        cause,
    })
}

/// Starts to serve the metrics, if an address is configured for them.
pub(super) async fn begin_metrics(args: &MetricsArgs) -> CliResult<()> {
    let Some(address) = args.metrics_listen else {
        return Ok(());
    };
    let listener = listen(address, "--metrics-listen").await?;
    tracing::info!(address = %listener.local_addr()?, "metrics");
    tokio::spawn(serve_metrics(listener));
    Ok(())
}
