//! The server's main loop: accepts connections until shutdown.
//!
//! `axum::serve` has no timeout for the head of a request, so slow clients could occupy all
//! connections. Here every wait has a timeout.

mod client_stream;
mod connection_guard;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub(super) use connection_guard::ConnectionGuard;

use super::health::{Health, alive};
use super::rejection::Rejection;
use super::routes::router;
use super::state::{App, Bounds};
use crate::auth::MAX_TOKEN_BYTES;
use crate::telemetry::metrics::METRICS;
use client_stream::{ClientStream, RequestPhase};

/// How long requests in flight may take to finish after shutdown begins. This is longer than the
/// timeouts of a request, of a head and of an unread response.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// How long an idle connection stays open after shutdown begins, for a request that the client has
/// already sent.
const IDLE_GRACE: Duration = Duration::from_millis(500);
/// Maximum number of connections above `--max-connections` that get an error response at a time.
/// Each of them takes about as much memory as an idle connection.
const MAX_REJECTED_CONNECTIONS: usize = 256;
/// Timeout of a connection above `--max-connections`. It is enough for a client that sends its
/// request at once.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of open files in addition to clients' connections: connections to the stores, listeners,
/// and files that are being read.
const OTHER_FILES: u64 = 512;
/// Delay after a failed `accept`. Most failures are because the limit of open files is reached;
/// without the delay, the loop would occupy a core until a file is closed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum size of a request's head in bytes. The access token can be most of it.
const MAX_HEAD_BYTES: usize = MAX_TOKEN_BYTES;
/// Interval of a timer that does nothing. Setting a timer that is earlier than all others wakes
/// the thread that waits for events. This timer is earlier than the timeouts of requests and of
/// calls to the stores, so setting these wakes no thread.
const EARLIEST_TIMER: Duration = Duration::from_secs(1);

/// How the server shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All requests in flight were completed.
    Cleanly,
    /// A request in flight took longer than 25 seconds and was aborted.
    CutOff,
}

/// Accepts connections until `shutdown` resolves, then completes the requests in flight.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<Stopped> {
    let connections = Connections::new(app);
    let mut shutdown = pin!(shutdown);
    let mut earliest_timer = interval(EARLIEST_TIMER);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = earliest_timer.tick() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => connections.serve(stream, peer),
            Err(cause) => {
                tracing::warn!(%cause, "accepting a connection failed");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    // The connections that wait in the listener's queue are still served.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        connections.serve(stream, peer);
    }
    drop(listener);
    Ok(
        match timeout(SHUTDOWN_TIMEOUT, connections.finish()).await {
            Ok(()) => Stopped::Cleanly,
            Err(_) => Stopped::CutOff,
        },
    )
}

/// Raises the limit of open files so that it covers this many connections and the connections to
/// the stores.
fn raise_file_limit(connections: usize) {
    let required = connections as u64 + OTHER_FILES;
    match rlimit::increase_nofile_limit(required) {
        Ok(allowed) if allowed >= required => {}
        Ok(allowed) => tracing::warn!(
            allowed,
            required,
            "the limit of open files is too low for --max-connections: raise it (ulimit -n)"
        ),
        Err(cause) => tracing::warn!(%cause, "the limit of open files could not be raised"),
    }
}

/// All connections of a server.
struct Connections {
    router: Router,
    bounds: Bounds,
    health: Arc<Health>,
    http: http1::Builder,
    /// Tracks the open connections.
    open: TaskTracker,
    shutdown: CancellationToken,
    permits: Arc<Semaphore>,
    rejection_permits: Arc<Semaphore>,
}

impl Connections {
    fn new(app: App) -> Self {
        let bounds = app.bounds;
        raise_file_limit(bounds.connections);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(bounds.idle_for)
            .max_buf_size(MAX_HEAD_BYTES);
        Self {
            health: Arc::clone(&app.health),
            router: router(app),
            bounds,
            http,
            open: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            permits: Arc::new(Semaphore::new(bounds.connections)),
            rejection_permits: Arc::new(Semaphore::new(MAX_REJECTED_CONNECTIONS)),
        }
    }

    /// Serves a connection in its own task. If `--max-connections` are open, the connection gets an
    /// error response. If `MAX_REJECTED_CONNECTIONS` are getting one, the connection is closed.
    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        // Small responses are sent without delay. If the socket is already closed, later reads and
        // writes report it.
        let _ = stream.set_nodelay(true);
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let guard = ConnectionGuard::new(permit, self.open.token(), self.shutdown.clone());
            let connection = self.connection(stream, peer, guard.clone());
            tokio::spawn(async move {
                if let Err(cause) = connection.await {
                    tracing::debug!(%cause, "a connection ended with an error");
                }
                drop(guard);
            });
            return;
        }
        METRICS.connections_rejected.inc();
        if let Ok(permit) = Arc::clone(&self.rejection_permits).try_acquire_owned() {
            let phase = RequestPhase::new(self.bounds.head_within);
            let stream = ClientStream::new(stream, &self.bounds, phase);
            let connection = self.http.clone().keep_alive(false).serve_connection(
                TokioIo::new(stream),
                service_fn(async |request: Request<Incoming>| {
                    Ok::<_, Infallible>(too_many_connections(request.uri().path()).await)
                }),
            );
            tokio::spawn(async move {
                // The connection ends, whether or not the client received the response.
                let _ = timeout(REJECTION_TIMEOUT, connection).await;
                drop(permit);
            });
        }
    }

    /// Serves the requests of a connection until it is closed.
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        guard: ConnectionGuard,
    ) -> impl Future<Output = hyper::Result<()>> + use<> {
        let phase = RequestPhase::new(self.bounds.head_within);
        let stream = ClientStream::new(stream, &self.bounds, phase.clone());
        let (router, health) = (self.router.clone(), Arc::clone(&self.health));
        let service = service_fn(move |mut request: Request<Incoming>| {
            phase.begin_request();
            request.extensions_mut().insert(guard.clone());
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = router.clone().oneshot(request.map(Body::new));
            let (phase, shutdown) = (phase.clone(), guard.shutdown());
            let health = Arc::clone(&health);
            async move {
                let Ok(mut response) = response.await;
                // A WebSocket stays in the phase `InRequest`: it has no further requests, so no
                // timeout for a head applies.
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    phase.end_request();
                    // During the drain period, which precedes the shutdown, each response closes its
                    // connection. A proxy then sends no request on a connection that the shutdown
                    // closes.
                    if shutdown.is_cancelled() || health.is_draining() {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let shutdown = self.shutdown.clone();
        async move {
            let mut connection = pin!(connection.with_upgrades());
            let stopped = async {
                shutdown.cancelled().await;
                sleep(IDLE_GRACE).await;
            };
            tokio::select! {
                ended = &mut connection => return ended,
                () = stopped => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }

    /// Waits until all open connections are closed.
    async fn finish(self) {
        self.shutdown.cancel();
        self.open.close();
        self.open.wait().await;
    }
}

/// Returns the response to a request on a connection above the limit. `/healthz` reports that the
/// process is alive. Every other path reports the reason for the rejection.
async fn too_many_connections(path: &str) -> Response<Body> {
    if path == "/healthz" {
        return alive().await.into_response();
    }
    let message = "The server has too many connections. Try again.";
    Rejection::unavailable(message).into_response()
}
