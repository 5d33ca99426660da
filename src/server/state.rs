//! The state that all requests of a server share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;

use super::admission::AdmissionControl;
use super::client_address::TrustedProxies;
use super::connection_quota::ConnectionQuota;
use super::cors::Origins;
use super::documents::Documents;
use super::graphiql::Graphiql;
use super::health::Health;
use crate::auth::CognitoVerifier;
use crate::messaging::Messaging;
use crate::schema::{Api, SendRate};

/// The services and settings from which a server is built. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The GraphQL schema.
    pub api: Api,
    /// The documents that requests can refer to by an id.
    pub documents: Documents,
    /// The business rules and the stores below them.
    pub messaging: Messaging,
    /// The verifier of access tokens.
    pub verifier: CognitoVerifier,
    /// The health check of the stores.
    pub health: Arc<Health>,
    /// The GraphiQL page.
    pub graphiql: Graphiql,
    /// The origins that may call the API from a browser.
    pub origins: Origins,
    /// The proxies whose forwarding headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// The rate limit on the messages that one caller sends.
    pub send_rate: SendRate,
    /// The server's limits on concurrency, sizes and times.
    pub bounds: Bounds,
}

/// The server's limits on concurrency, sizes and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
    /// Maximum number of GraphQL requests that are executed at a time; others are rejected.
    pub in_flight: usize,
    /// Maximum number of bytes of responses that are being produced or that clients have not read
    /// yet.
    pub unread_bytes: usize,
    /// Maximum number of open connections, including WebSocket connections; others are rejected.
    pub connections: usize,
    /// Timeout for receiving the head of a request.
    pub head_within: Duration,
    /// Timeout for a client to read a response.
    pub write_within: Duration,
    /// Idle timeout of a connection between two requests. It must be longer than the idle timeout
    /// of the load balancer.
    pub idle_for: Duration,
    /// Timeout of a new WebSocket for `connection_init`.
    pub init_within: Duration,
    /// Interval between pings on a WebSocket. The server closes a WebSocket on which it has
    /// received nothing since the ping before the last.
    pub ping_every: Duration,
    /// Maximum number of subscriptions of one WebSocket.
    pub subscriptions: usize,
    /// Maximum number of WebSocket connections and event streams of one user; others are rejected.
    pub sockets_per_user: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            in_flight: 1000,
            unread_bytes: 512 * 1024 * 1024,
            connections: 10_000,
            head_within: Duration::from_secs(10),
            write_within: Duration::from_secs(20),
            idle_for: Duration::from_secs(75),
            init_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            subscriptions: 100,
            sockets_per_user: 50,
        }
    }
}

/// The state of a running server. Cheap to clone.
#[derive(Clone)]
pub(super) struct ServerState {
    pub app: Arc<App>,
    /// Limits the concurrent requests and the memory for responses.
    pub admission: AdmissionControl,
    /// The WebSocket connections and event streams of each user.
    pub quota: ConnectionQuota,
}

impl ServerState {
    pub fn new(app: App) -> Self {
        Self {
            admission: AdmissionControl::new(app.bounds.in_flight, app.bounds.unread_bytes),
            quota: ConnectionQuota::new(app.bounds.sockets_per_user),
            app: Arc::new(app),
        }
    }
}

impl FromRef<ServerState> for Arc<Health> {
    fn from_ref(state: &ServerState) -> Self {
        Arc::clone(&state.app.health)
    }
}
