//! GraphiQL, served completely from this program, so that no third-party script has access to a
//! token.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::assets::Asset;
use super::rejection::not_found;

/// The files that `build.rs` has bundled.
const FILES: &[Asset] = include!(concat!(env!("OUT_DIR"), "/graphiql_assets.rs"));

/// Content security policy: only resources of this server, and inline styles, which the editor adds
/// to the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

const NOT_BUILT: &str = "This program was built without GraphiQL: \
    build it again with Node.js 20 or newer and without CRUDDUR_GRAPHIQL=skip.\n";

/// Whether GraphiQL is served, and how its user signs in.
#[derive(Clone, Debug, Default)]
pub enum Graphiql {
    /// GraphiQL is not served.
    #[default]
    Off,
    /// GraphiQL is served, with a field for a token.
    On,
    /// GraphiQL is served and signed in. `GET /people` returns the handles to choose from, and
    /// `POST /token` returns a token for one of them.
    SignedIn(Router),
}

impl Graphiql {
    pub(super) fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let page = Router::new()
            .route("/graphiql", get(page))
            .route("/graphiql/", get(async || Redirect::permanent("/graphiql")))
            .route("/graphiql/{file}", get(file));
        match self {
            Self::Off => Router::new(),
            Self::On => page.route("/graphiql/session/people", get(async || Json([(); 0]))),
            Self::SignedIn(sign_in) => page.nest_service("/graphiql/session", sign_in),
        }
    }
}

async fn page(headers: HeaderMap) -> Response {
    Asset::serve_page(FILES, NOT_BUILT, &headers, &POLICY).await
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    // The page is served only at its own path, because its links are relative.
    if name == Asset::PAGE {
        return not_found().await.into_response();
    }
    Asset::serve(FILES, &name, &headers, &POLICY).await
}
