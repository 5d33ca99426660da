//! The life of a server: from a listener until it is told to stop.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{App, router};

/// How long what is in flight may take to finish after the stop.
const FINISH_WITHIN: Duration = Duration::from_secs(25);

/// What had to be cut off when the server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing: everything in flight was answered.
    Cleanly,
    /// Something took longer than 25 seconds.
    CutOff,
}

/// Serves until `shutdown` resolves, then answers what is in flight.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<Stopped> {
    let (stopping, stopped) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens once the server has ended.
        let _ = stopping.send(());
    };
    let serve = axum::serve(listener, router(app)).with_graceful_shutdown(shutdown);
    let overdue = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(FINISH_WITHIN).await;
    };
    tokio::select! {
        served = serve.into_future() => served.map(|()| Stopped::Cleanly),
        () = overdue => Ok(Stopped::CutOff),
    }
}
