//! The server's main loop: accepts connections until shutdown.
//!
//! `axum::serve` has no timeout for the head of a request, so slow clients could occupy all
//! connections. Here every wait has a timeout.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;

use super::health::alive;
use super::lingering::Lingering;
use super::refused::Refused;
use super::stream::{Hurried, Turns};
use super::{App, Bounds, router};
use crate::auth::LONGEST_TOKEN;
use crate::telemetry::metrics::{self, Present, Thing};

/// How long requests in flight may take to finish after shutdown begins. This is longer than the
/// timeouts of a request, of a head and of an unread response.
const FINISH_WITHIN: Duration = Duration::from_secs(25);
/// How long an idle connection stays open after shutdown begins, for a request that the client has
/// already sent.
const GRACE: Duration = Duration::from_millis(500);
/// Maximum number of connections above the limit that get an error response at a time.
const TURNED_AWAY: usize = 256;
/// Timeout of each of these connections.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(2);
/// Number of open files in addition to clients' connections.
const FILES_BESIDE: u64 = 512;
/// Delay after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum size of a request's head in bytes, most of which can be the access token.
const LARGEST_HEAD: usize = LONGEST_TOKEN;

/// How the server shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything in flight was completed.
    Cleanly,
    /// Something in flight took longer than 25 seconds and was aborted.
    CutOff,
}

/// Accepts connections until `shutdown` resolves, then completes the requests in flight.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<Stopped> {
    let connections = Connections::new(app);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => connections.take(stream),
            Err(cause) => {
                tracing::warn!(%cause, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    // Connections that clients have already opened are still served.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        connections.take(stream);
    }
    drop(listener);
    let finished = tokio::time::timeout(FINISH_WITHIN, connections.finish()).await;
    Ok(match finished {
        Ok(()) => Stopped::Cleanly,
        Err(_) => Stopped::CutOff,
    })
}

/// Raises the limit of open files so that it covers this many connections and the connections to
/// the stores.
fn allow_files(connections: usize) {
    let wanted = connections as u64 + FILES_BESIDE;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(allowed) if allowed >= wanted => {}
        Ok(allowed) => tracing::warn!(
            allowed,
            wanted,
            "the process may open fewer files than --max-connections needs: raise its limit (ulimit -n)"
        ),
        Err(cause) => tracing::warn!(%cause, "the limit of open files is not known"),
    }
}

/// The resources of a connection, held until it is closed. A WebSocket keeps those of its HTTP
/// connection.
#[derive(Clone)]
pub(super) struct Lease(Arc<Held>);

struct Held {
    stopping: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _counted: Present,
    _waited_for: TaskTrackerToken,
}

impl Lease {
    /// Returns the token that is cancelled when the server shuts down.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }
}

/// All connections of a server.
struct Connections {
    router: Router,
    bounds: Bounds,
    http: http1::Builder,
    /// Tracks the open connections.
    open: TaskTracker,
    stopping: CancellationToken,
    taken: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

impl Connections {
    fn new(app: App) -> Self {
        let bounds = app.bounds;
        allow_files(bounds.connections);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(bounds.idle_for)
            .max_buf_size(LARGEST_HEAD);
        Self {
            router: router(app),
            bounds,
            http,
            open: TaskTracker::new(),
            stopping: CancellationToken::new(),
            taken: Arc::new(Semaphore::new(bounds.connections)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
        }
    }

    /// Serves a connection in its own task. Above the limit of connections, it sends an error
    /// response; if there are too many of those too, it closes the connection.
    fn take(&self, stream: TcpStream) {
        // Small responses are sent without delay. If the socket is already closed, later reads and
        // writes report it.
        let _ = stream.set_nodelay(true);
        if let Ok(permit) = Arc::clone(&self.taken).try_acquire_owned() {
            let lease = self.lease(permit);
            let connection = self.served(stream, lease.clone());
            tokio::spawn(async move {
                if let Err(cause) = connection.await {
                    tracing::debug!(%cause, "a connection ended");
                }
                drop(lease);
            });
            return;
        }
        metrics::connection_turned_away();
        if let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() {
            let connection = self.http.clone().keep_alive(false).serve_connection(
                TokioIo::new(Lingering::new(stream)),
                service_fn(async |request: Request<Incoming>| {
                    Ok::<_, Infallible>(one_too_many(request.uri().path()).await)
                }),
            );
            tokio::spawn(async move {
                // Whether the client received the response does not matter here.
                let _ = tokio::time::timeout(TURNED_AWAY_WITHIN, connection).await;
                drop(permit);
            });
        }
    }

    fn lease(&self, permit: OwnedSemaphorePermit) -> Lease {
        Lease(Arc::new(Held {
            stopping: self.stopping.clone(),
            _permit: permit,
            _counted: Present::new(Thing::Connection),
            _waited_for: self.open.token(),
        }))
    }

    fn served(
        &self,
        stream: TcpStream,
        lease: Lease,
    ) -> impl Future<Output = hyper::Result<()>> + use<> {
        let turns = Turns::default();
        let stream = Hurried::new(Lingering::new(stream), &self.bounds, turns.clone());
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            turns.next();
            request.extensions_mut().insert(lease.clone());
            let answer = router.clone().oneshot(request.map(Body::new));
            let (turns, stopping) = (turns.clone(), lease.stopping());
            async move {
                let Ok(mut answer) = answer.await;
                // The count stays odd for a WebSocket: it has no further requests, so no head
                // timeout applies.
                if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                    turns.next();
                    if stopping.is_cancelled() {
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, close);
                    }
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let stopping = self.stopping.clone();
        async move {
            let mut connection = pin!(connection.with_upgrades());
            let stopped = async {
                stopping.cancelled().await;
                sleep(GRACE).await;
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
        self.stopping.cancel();
        self.open.close();
        self.open.wait().await;
    }
}

/// Returns the response to a connection above the limit: `/healthz` reports that the process is
/// alive, and every other path the reason of the rejection.
async fn one_too_many(path: &str) -> Response<Body> {
    if path == "/healthz" {
        return alive().await.into_response();
    }
    let message = "The server has too many connections. Try again.";
    Refused::unavailable(message).into_response()
}
