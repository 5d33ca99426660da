//! The resources of a connection.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::telemetry::metrics::{GaugeGuard, METRICS};

/// The resources of a connection, held until it is closed. A WebSocket keeps those of its HTTP
/// connection.
#[derive(Clone)]
pub struct ConnectionGuard(Arc<Resources>);

struct Resources {
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _gauge: GaugeGuard,
    _open: TaskTrackerToken,
}

impl ConnectionGuard {
    /// Creates a guard that holds the permit, and that `open` tracks.
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        open: TaskTrackerToken,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Resources {
            shutdown,
            _permit: permit,
            _gauge: GaugeGuard::new(&METRICS.connections),
            _open: open,
        }))
    }

    /// Returns the token that is cancelled when the server shuts down.
    pub fn shutdown(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }
}
