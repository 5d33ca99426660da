//! A local token issuer: serves its keys over HTTP, and issues tokens with the same claims as
//! Cognito's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;
use uuid::Uuid;

use super::DevError;
use super::listen::listen;
use crate::clock::Clock;
use crate::loopback::is_loopback;
use crate::store::UserStore;

/// The id of the app client for which tokens are issued.
pub const CLIENT_ID: &str = "cruddur-dev";
/// The id of the simulated user pool.
const POOL: &str = "local-dev-1_Cruddur";
/// Lifetime of a token.
const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// Timeout of a request for a token.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);

/// A key that signs tokens.
pub struct SigningKey {
    kid: String,
    private: EncodingKey,
    public: Value,
    pem: String,
}

impl SigningKey {
    /// Generates a key of 2048 bits.
    pub fn generate() -> Result<Self, DevError> {
        let failed = |_| DevError::Issuer("no key could be made".to_owned());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
        let body: Vec<String> = STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            body.join("\n")
        );
        Self::from_pair(&pair, pem)
    }

    /// Reads the key from a file, or generates both if the file does not exist.
    pub fn open(file: &Path) -> Result<Self, DevError> {
        let shown = file.display();
        if let Ok(pem) = std::fs::read_to_string(file) {
            let broken =
                || DevError::Issuer(format!("{shown} holds no key: remove it to get a new one"));
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(base64).map_err(|_| broken())?;
            let pair = KeyPair::from_pkcs8(&der).map_err(|_| broken())?;
            return Self::from_pair(&pair, pem);
        }
        let key = Self::generate()?;
        write_private(file, &key.pem)
            .map_err(DevError::io(format!("{shown} cannot be written")))?;
        Ok(key)
    }

    fn from_pair(pair: &KeyPair, pem: String) -> Result<Self, DevError> {
        let private = EncodingKey::from_rsa_pem(pem.as_bytes());
        let private = private.map_err(|error| DevError::Issuer(error.to_string()))?;
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero();
        let exponent = public.exponent().big_endian_without_leading_zero();
        let kid = Uuid::new_v5(&Uuid::NAMESPACE_OID, modulus).to_string();
        let public = json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(exponent),
            "kid": kid,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "use": "sig",
        });
        Ok(Self {
            kid,
            private,
            public,
            pem,
        })
    }

    /// Returns the public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.public
    }

    /// Returns a token with any claims, signed with this key and with its `kid` in the header.
    pub fn sign(&self, claims: &Value) -> Result<String, DevError> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.private).map_err(|error| DevError::Issuer(error.to_string()))
    }

    /// Returns a token with any header and any claims, always signed with RS256 by this key, even
    /// if the header names another algorithm.
    pub fn sign_under(&self, header: &Value, claims: &Value) -> Result<String, DevError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, Algorithm::RS256);
        let signature = signature.map_err(|error| DevError::Issuer(error.to_string()))?;
        Ok(format!("{message}.{signature}"))
    }
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// A token issuer. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    shared: Arc<Shared>,
}

struct Shared {
    key: SigningKey,
    url: String,
    users: UserStore,
    clock: Clock,
}

#[derive(Deserialize)]
struct TokenRequest {
    handle: String,
}

impl Issuer {
    /// Starts an issuer on the loopback address. It runs until the runtime ends.
    pub fn start(
        key: SigningKey,
        port: u16,
        users: UserStore,
        clock: Clock,
    ) -> Result<Self, DevError> {
        let failed = |error: std::io::Error| DevError::Issuer(error.to_string());
        let listener = listen(port)?;
        let root = format!("http://{}", listener.local_addr().map_err(failed)?);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let issuer = Self::new(key, &root, users, clock);
        let serving = issuer.clone();
        tokio::spawn(async move {
            if let Err(cause) = serving.serve(listener, std::future::pending()).await {
                tracing::error!(%cause, "the token issuer ended");
            }
        });
        Ok(issuer)
    }

    /// Creates an issuer whose base URL is `root`, such as `http://localhost:4001`.
    #[must_use]
    pub fn new(key: SigningKey, root: &str, users: UserStore, clock: Clock) -> Self {
        let url = format!("{}/{POOL}", root.trim_end_matches('/'));
        let shared = Shared {
            key,
            url,
            users,
            clock,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Serves the issuer's keys, and tokens for clients on this machine.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let token = post(token).route_layer(from_fn(only_by_loopback_name));
        let routes = Router::new()
            .route(&format!("/{POOL}/.well-known/jwks.json"), get(key_set))
            .route("/token", token)
            .with_state(self);
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

    /// Returns the `iss` claim of the tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns the claims of an access token for a Cognito id, with the same claims as Cognito's.
    #[must_use]
    pub fn claims(&self, sub: &str) -> Value {
        let now: DateTime<Utc> = self.shared.clock.now();
        json!({
            "sub": sub,
            "iss": self.shared.url,
            "client_id": CLIENT_ID,
            "origin_jti": Uuid::new_v4(),
            "event_id": Uuid::new_v4(),
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": now.timestamp(),
            "exp": (now + LIFETIME).timestamp(),
            "iat": now.timestamp(),
            "jti": Uuid::new_v4(),
            "username": sub,
        })
    }

    /// Returns an access token for a Cognito id, valid for 24 hours.
    pub fn token(&self, sub: &str) -> Result<String, DevError> {
        self.sign(&self.claims(sub))
    }

    /// Returns a token with any claims.
    pub fn sign(&self, claims: &Value) -> Result<String, DevError> {
        self.shared.key.sign(claims)
    }

    /// Returns the signing key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.shared.key
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
                format!("nobody called {:?} can sign in", request.handle),
            );
        }
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    match issuer.token(&sub) {
        Ok(token) => {
            let answer = json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": LIFETIME.num_seconds(),
            });
            ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Rejects requests whose `Host` is not a loopback name. Otherwise a page of another site could get
/// tokens by resolving its own name to our address (DNS rebinding).
async fn only_by_loopback_name(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if is_loopback(&format!("http://{host}")) {
        next.run(request).await
    } else {
        (
            StatusCode::FORBIDDEN,
            "this is only for the machine that it runs on\n",
        )
            .into_response()
    }
}
