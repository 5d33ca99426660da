//! The web app (`web/app`): a front end on the public API, served completely from this program.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::assets::{Asset, revalidated};
use crate::auth::TokenUse;

/// The files that `build.rs` has bundled.
const FILES: &[Asset] = include!(concat!(env!("OUT_DIR"), "/app_assets.rs"));

/// Paths at which the app's router shows a page: the original's paths, and the redirect URI of the
/// sign-in.
const PAGES: [&str; 5] = [
    "/",
    "/messages",
    "/messages/",
    "/messages/{*page}",
    "/signed-in",
];

/// The text of the licence of each package in the bundle.
const LICENCES: &str = "licences.txt";

/// The manifest of the app's documents.
const DOCUMENTS: &str = "trusted-documents.json";

const NOT_BUILT: &str = "This program was built without the web app: \
    build it again with Node.js 20 or newer and without CRUDDUR_APP=skip.\n";

/// Whether the web app is served.
#[derive(Clone, Debug, Default)]
pub enum WebApp {
    /// It is not served.
    #[default]
    Off,
    /// It is served at `/`.
    On(Arc<WebAppConfig>),
}

/// The configuration of the web app, which is public: the contents of `/app/config.json`.
#[derive(Debug)]
pub struct WebAppConfig {
    json: Bytes,
    etag: String,
    policy: HeaderValue,
}

/// Returns the manifest of the web app's documents for [`Documents::trusted`], or `None` if the
/// program was built without the web app.
///
/// [`Documents::trusted`]: super::Documents::trusted
pub fn web_app_documents() -> Option<String> {
    let manifest = FILES.iter().find(|file| file.name == DOCUMENTS)?;
    String::from_utf8(manifest.decompressed().ok()?).ok()
}

/// The server's features that the web app depends on, and the parameters of its OIDC sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAppSettings {
    /// URL of the issuer.
    pub authority: String,
    /// ID of the app client.
    pub client_id: String,
    /// Origin of the sign-in pages and of the token endpoint, if it differs from the issuer's.
    pub sign_in_origin: Option<String>,
    /// The types of token that the API accepts.
    pub token_use: TokenUse,
    /// Whether the server serves GraphiQL.
    pub graphiql: bool,
    /// Whether the server executes only the documents of a manifest.
    pub trusted_documents: bool,
}

impl WebAppConfig {
    /// Creates the configuration from the settings.
    pub fn new(settings: &WebAppSettings) -> Self {
        let json = json!({
            "graphql": "/graphql",
            "graphiql": settings.graphiql.then_some("/graphiql"),
            "trustedDocuments": settings.trusted_documents,
            "signIn": {
                "authority": settings.authority,
                "clientId": settings.client_id,
                "scope": "openid",
                "tokenUse": match settings.token_use {
                    TokenUse::Access | TokenUse::Any => "access",
                    TokenUse::Id => "id",
                },
            },
        });
        let json = json.to_string();
        let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, json.as_bytes()));
        Self {
            etag: format!("W/\"{digest}\""),
            json: json.into(),
            policy: policy(settings),
        }
    }
}

/// Content security policy: only resources of this server and the issuer's endpoints.
fn policy(settings: &WebAppSettings) -> HeaderValue {
    let authority = reqwest::Url::parse(&settings.authority).ok();
    let authority = authority.map(|url| url.origin().ascii_serialization());
    let sign_in_origin = settings.sign_in_origin.clone();
    let issuer: Vec<String> = authority.into_iter().chain(sign_in_origin).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self' {}; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        issuer.join(" ")
    );
    HeaderValue::from_str(&policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

impl WebApp {
    pub(super) fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let Self::On(config) = self else {
            return Router::new();
        };
        let routes = Router::new()
            .route("/app/config.json", get(config_json))
            .route("/app/licences.txt", get(licences))
            .route("/assets/{*name}", get(asset));
        let add_page = |routes: Router<_>, path| routes.route(path, get(page));
        let routes = PAGES.into_iter().fold(routes, add_page);
        routes.with_state(Arc::clone(config))
    }
}

async fn page(State(config): State<Arc<WebAppConfig>>, headers: HeaderMap) -> Response {
    Asset::serve_page(FILES, NOT_BUILT, &headers, &config.policy).await
}

async fn licences(State(config): State<Arc<WebAppConfig>>, headers: HeaderMap) -> Response {
    Asset::serve(FILES, LICENCES, &headers, &config.policy).await
}

async fn asset(
    State(config): State<Arc<WebAppConfig>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    Asset::serve(FILES, &format!("assets/{name}"), &headers, &config.policy).await
}

async fn config_json(State(config): State<Arc<WebAppConfig>>, headers: HeaderMap) -> Response {
    let mut response = revalidated(&headers, &config.etag, || {
        ([(CONTENT_TYPE, "application/json")], config.json.clone()).into_response()
    });
    let no_cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(CACHE_CONTROL, no_cache);
    response
}
