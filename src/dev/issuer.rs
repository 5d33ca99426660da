//! A local token issuer: serves its keys over HTTP, and issues tokens with the same claims as
//! Cognito's.

mod openid;
mod signing_key;
mod tokens;

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use tower_http::timeout::TimeoutLayer;

use super::listen::listen;
use super::{DevError, DevResult};
use crate::clock::Clock;
use crate::loopback::is_loopback;
use crate::store::UserStore;

pub use signing_key::SigningKey;
use tokens::POOL;
pub use tokens::{CLIENT_ID, Issuer, TOKEN_LIFETIME};

/// Timeout of a request for a token, which waits for PostgreSQL.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);

/// The clients that an issuer gives tokens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Those on this machine.
    Local,
    /// Those on any machine that can reach the issuer, such as the host of its container.
    Any,
}

#[derive(Deserialize)]
struct TokenRequest {
    handle: String,
}

impl Issuer {
    /// Starts an issuer on the loopback address, whose tokens have this lifetime. It runs until
    /// the runtime ends.
    pub fn start(
        key: SigningKey,
        port: u16,
        users: UserStore,
        clock: Clock,
        lifetime: TimeDelta,
    ) -> DevResult<Self> {
        let failed = |error: std::io::Error| DevError::Issuer(error.to_string());
        let listener = listen(port)?;
        let root = format!("http://{}", listener.local_addr().map_err(failed)?);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let issuer = Self::new(key, &root, users, clock, lifetime);
        let serving = issuer.clone();
        tokio::spawn(async move {
            let stop = std::future::pending();
            if let Err(cause) = serving.serve(listener, Clients::Local, stop).await {
                tracing::error!(%cause, "the token issuer ended");
            }
        });
        Ok(issuer)
    }

    /// Serves the issuer's keys and metadata to all clients, and tokens to `clients` that use a
    /// loopback name. Pages of this machine, on any port, can call it.
    pub async fn serve(
        self,
        listener: TcpListener,
        clients: Clients,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let mut tokens = Router::new()
            .route("/token", post(token))
            .merge(openid::routes())
            .route_layer(from_fn(only_by_loopback_name));
        if clients == Clients::Local {
            tokens = tokens.route_layer(from_fn(only_from_this_machine));
        }
        let well_known = format!("/{POOL}/.well-known");
        let routes = Router::new()
            .route(&format!("{well_known}/jwks.json"), get(key_set))
            .route(
                &format!("{well_known}/openid-configuration"),
                get(openid::configuration),
            )
            .merge(tokens)
            .layer(cors())
            .with_state(self);
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, routes)
            .with_graceful_shutdown(stop)
            .await
    }

    /// Returns the routes that sign in to GraphiQL on this machine: `GET /people` returns these
    /// handles, and `POST /token` issues a token.
    pub fn session_routes(&self, handles: &[&'static str]) -> Router {
        let people = Json(json!(handles));
        Router::new()
            .route("/people", get(async || people))
            .route("/token", post(token))
            .route_layer(from_fn(only_by_loopback_name))
            .layer(TimeoutLayer::with_status_code(
                StatusCode::REQUEST_TIMEOUT,
                TOKEN_WITHIN,
            ))
            .with_state(self.clone())
    }
}

async fn key_set(State(issuer): State<Issuer>) -> Json<Value> {
    Json(json!({ "keys": [issuer.shared.key.jwk()] }))
}

/// `POST /token` with `{"handle": "luu"}`: issues a new access token.
async fn token(State(issuer): State<Issuer>, Json(request): Json<TokenRequest>) -> Response {
    let refuse = |status: StatusCode, message: String| {
        (status, Json(json!({ "error": message }))).into_response()
    };
    let sub = match issuer.shared.users.find_cognito_id(&request.handle).await {
        Ok(Some(sub)) => sub,
        Ok(None) => {
            return refuse(
                StatusCode::NOT_FOUND,
                format!("no user with the handle {:?} can sign in", request.handle),
            );
        }
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    match issuer.token(&sub) {
        Ok(token) => {
            let response = json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": issuer.shared.lifetime.num_seconds(),
            });
            ([(CACHE_CONTROL, "no-store")], Json(response)).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Allows pages of this machine, on any port, to read responses.
fn cors() -> CorsLayer {
    let is_local = |origin: &HeaderValue| origin.to_str().is_ok_and(is_loopback);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_local(origin)))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(Any)
}

/// Rejects requests from other machines.
async fn only_from_this_machine(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        forbidden()
    }
}

/// Rejects requests whose `Host` is not a loopback name. Otherwise a page of another site could get
/// tokens if the name of its host resolves to a loopback address (DNS rebinding).
async fn only_by_loopback_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_loopback(&format!("http://{host}")) {
        next.run(request).await
    } else {
        forbidden()
    }
}

fn forbidden() -> Response {
    let message = "this path is only for requests from the issuer's own machine\n";
    (StatusCode::FORBIDDEN, message).into_response()
}
