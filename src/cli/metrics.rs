//! The metrics endpoint of a command that serves.

use tokio::net::TcpListener;

use super::CliError;
use crate::config::MetricsArgs;
use crate::server::serve_metrics;

/// Starts to serve the metrics, if an address is configured for them.
pub(super) async fn begin_metrics(args: &MetricsArgs) -> Result<(), CliError> {
    let Some(address) = args.metrics_listen else {
        return Ok(());
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|cause| {
        CliError::Failed(format!(
            "cannot listen on {address} for the metrics: {cause}. Choose another address with --metrics-listen."
        ))
    })?;
    tracing::info!(address = %listener.local_addr()?, "metrics");
    tokio::spawn(serve_metrics(listener));
    Ok(())
}
