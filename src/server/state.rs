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
use super::web_app::WebApp;
use crate::auth::CognitoVerifier;
use crate::limit_args::limit_args;
use crate::messaging::Messaging;
use crate::schema::{Api, SendRate};

/// The services and settings from which a server is built. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The GraphQL schema.
    pub api: Api,
    /// The documents that requests can refer to by an ID.
    pub documents: Documents,
    /// The business rules and the stores below them.
    pub messaging: Arc<Messaging>,
    /// The verifier of access tokens.
    pub verifier: CognitoVerifier,
    /// The health check of the stores.
    pub health: Arc<Health>,
    /// The GraphiQL page.
    pub graphiql: Graphiql,
    /// The web app.
    pub web_app: WebApp,
    /// The origins that may call the API from a browser.
    pub origins: Origins,
    /// The proxies whose forwarding headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// The rate limit on the messages that one caller sends.
    pub send_rate: SendRate,
    /// The server's limits on concurrency, sizes and times.
    pub bounds: Bounds,
}

limit_args! {
    /// The server's limits on concurrency, sizes and times.
    pub struct Bounds {
        /// Maximum size of a request body in bytes
        body_bytes: "max-body-bytes", "CRUDDUR_MAX_BODY_BYTES", 64 * 1024;
        /// Maximum number of GraphQL requests executed at a time; others get 503
        in_flight: "max-in-flight", "CRUDDUR_MAX_IN_FLIGHT", 1000;
        /// Maximum number of bytes of responses that are being produced or not read yet; further
        /// requests get 503
        unread_bytes: "max-unread-bytes", "CRUDDUR_MAX_UNREAD_BYTES", 512 * 1024 * 1024;
        /// Maximum number of open connections, including WebSocket connections; others get
        /// 503
        connections: "max-connections", "CRUDDUR_MAX_CONNECTIONS", 10_000;
        /// Maximum number of subscriptions of a WebSocket at a time
        subscriptions: "max-subscriptions", "CRUDDUR_MAX_SUBSCRIPTIONS", 100;
        /// Maximum number of WebSocket connections and event streams of a user; others are closed
        /// with 1013, or get 429
        sockets_per_user: "max-sockets-per-user", "CRUDDUR_MAX_SOCKETS_PER_USER", 50;
        @timeouts {
            /// Idle timeout of a connection between two requests, in seconds; must be longer than
            /// that of a load balancer in front of the server
            idle_for: "idle-seconds", "CRUDDUR_IDLE_SECONDS", 75;
        }
        @internal {
            /// Timeout of a request. It is longer than the timeout of a DynamoDB call with its
            /// retries (7 s), so that a request can report the call's outcome.
            request_within: Duration = Duration::from_secs(10);
            /// Timeout for receiving the head of a request.
            head_within: Duration = Duration::from_secs(10);
            /// Timeout for a client to read a response.
            write_within: Duration = Duration::from_secs(20);
            /// Timeout of a new WebSocket for `connection_init`.
            init_within: Duration = Duration::from_secs(10);
            /// Interval between pings on a WebSocket. When a ping is due and the client has sent
            /// nothing since the previous two pings, the server closes the connection.
            ping_every: Duration = Duration::from_secs(25);
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
