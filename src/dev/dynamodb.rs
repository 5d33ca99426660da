//! An embedded DynamoDB with an HTTP interface, so that the AWS SDK can use it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use dynoxide::Database;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::DevError;
use super::listen::listen;

/// Interval at which expired items are deleted. DynamoDB itself may take days.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Timeout for stopping the server, so that a call in progress cannot delay Ctrl-C.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A running DynamoDB. It stops when this is dropped.
#[derive(Debug)]
pub struct DynamoDb {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl DynamoDb {
    /// Starts a DynamoDB on the loopback address, in memory or in a file. It has its own thread and
    /// runtime, because its calls block the runtime that serves it.
    pub fn start(file: Option<&Path>, port: u16) -> Result<Self, DevError> {
        let failed = |cause: String| DevError::DynamoDb(cause);
        let database = match file {
            None => Database::memory(),
            Some(file) => Database::new(&file.to_string_lossy()),
        };
        let database = database.map_err(|error| failed(format!("{error:?}")))?;
        let listener = listen(port)?;
        let address = listener
            .local_addr()
            .map_err(|error| failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let (stop, stop_requested) = oneshot::channel();
        let (done, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || {
                run(&runtime, listener, database, stop_requested);
                runtime.shutdown_timeout(STOP_WITHIN);
                // The receiver may have timed out and been dropped.
                let _ = done.send(());
            })
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            address,
            stop: Some(stop),
            stopped,
            thread: Some(thread),
        })
    }

    /// Returns its URL, for the SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn run(runtime: &Runtime, listener: TcpListener, database: Database, stop: oneshot::Receiver<()>) {
    runtime.block_on(async {
        let sweeper = database.clone();
        let serve = async {
            listener
                .set_nonblocking(true)
                .map_err(|error| error.to_string())?;
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()).await
        };
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                if let Err(cause) = sweeper.sweep_ttl() {
                    tracing::warn!(?cause, "cannot delete expired items");
                }
            }
        };
        tokio::select! {
            served = serve => if let Err(cause) = served {
                tracing::error!(cause, "the embedded DynamoDB has stopped");
            },
            () = sweep => {}
            _ = stop => {}
        }
    });
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        drop(self.stop.take());
        let stopped = self.stopped.recv_timeout(STOP_WITHIN).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| stopped) {
            // The thread has ended. If it panicked, the panic was already reported.
            let _ = thread.join();
        }
    }
}
