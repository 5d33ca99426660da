//! The life of a server: from a listener until it is told to stop.
//!
//! `axum::serve` waits for a request's head for ever, so that slow clients
//! could hold all connections. Here every wait has an end.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::{App, router};

/// How long what is in flight may take to finish after the stop.
const FINISH_WITHIN: Duration = Duration::from_secs(25);
/// How long a client may take for the head of a request, and how long it may
/// be silent between two: longer than the 60 seconds of a load balancer.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// How long is waited after the system could not accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// The most bytes of a request's head.
const LARGEST_HEAD: usize = 32 * 1024;

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
    let connections = Arc::new(Semaphore::new(app.bounds.connections));
    let router = router(app);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LARGEST_HEAD);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Small answers go out at once. A socket that has gone says so later.
        let _ = stream.set_nodelay(true);
        let service = router
            .clone()
            .map_request(|request: hyper::Request<Incoming>| request.map(axum::body::Body::new));
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    let finished = tokio::time::timeout(FINISH_WITHIN, graceful.shutdown()).await;
    Ok(match finished {
        Ok(()) => Stopped::Cleanly,
        Err(_) => Stopped::CutOff,
    })
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await;
    let permit = permit.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}
