//! An embedded DynamoDB with an HTTP interface, so that the AWS SDK can use it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::server::serve_with_shutdown;
use tokio::runtime::Runtime;

use super::listen::listen;
use super::{DevError, DevResult};

/// Interval at which expired items are deleted. DynamoDB itself may take days.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Timeout for stopping the server, so that a call in progress cannot delay Ctrl-C.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A running DynamoDB. It stops when this is dropped.
#[derive(Debug)]
pub struct DynamoDb {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl DynamoDb {
    /// Starts a DynamoDB on the loopback address, in memory or in a file. It has its own runtime,
    /// because its calls block the runtime that serves it.
    pub fn start(file: Option<&Path>, port: u16) -> DevResult<Self> {
        let failed = |error: std::io::Error| DevError::DynamoDb(error.to_string());
        let database = match file {
            None => Database::memory(),
            Some(file) => Database::new(&file.to_string_lossy()),
        };
        let database = database.map_err(|error| DevError::DynamoDb(format!("{error:?}")))?;
        let listener = listen(port)?;
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dynamodb")
            .enable_all()
            .build()
            .map_err(failed)?;
        runtime.spawn(sweep(database.clone()));
        runtime.spawn(serve(listener, database));
        Ok(Self {
            address,
            runtime: Some(runtime),
        })
    }

    /// Returns its URL, for the SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(listener: TcpListener, database: Database) {
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => serve_with_shutdown(listener, database, std::future::pending()).await,
        Err(error) => Err(error.to_string()),
    };
    if let Err(cause) = served {
        tracing::error!(cause, "the embedded DynamoDB has stopped");
    }
}

async fn sweep(database: Database) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if let Err(cause) = database.sweep_ttl() {
            tracing::warn!(?cause, "cannot delete expired items");
        }
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // On its own thread, because a task of another runtime may not wait for a runtime to stop.
        let stopping = std::thread::spawn(move || runtime.shutdown_timeout(STOP_WITHIN));
        // If the thread panicked, the panic was already reported.
        let _ = stopping.join();
    }
}
