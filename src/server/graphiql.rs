//! GraphiQL, served completely from this program, so that no third-party script has access to a
//! token.

use std::io::Read;

use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use flate2::read::GzDecoder;

use super::negotiate::accepts;
use super::rejection::not_found;

/// Name and gzip-compressed bytes of each file that `build.rs` has bundled.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/graphiql_files.rs"));

const PAGE: &str = "index.html";

/// Content security policy: only resources of this server. The editor adds inline styles to the
/// page, so these are allowed.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
    /// GraphiQL is served and signed in, and `/` redirects to it. `GET /people` returns the handles
    /// to choose from, and `POST /token` returns a token for one of them.
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
            Self::SignedIn(sign_in) => page
                .nest_service("/graphiql/session", sign_in)
                .route("/", get(async || Redirect::temporary("/graphiql"))),
        }
    }
}

async fn page(headers: HeaderMap) -> Response {
    match find(PAGE) {
        Some(bytes) => file_response(PAGE, bytes, &headers),
        None => (StatusCode::NOT_IMPLEMENTED, NOT_BUILT).into_response(),
    }
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    // The page is served only at its own path, because its links are relative.
    let Some(bytes) = find(&name).filter(|_| name != PAGE) else {
        return not_found().await.into_response();
    };
    let mut response = file_response(&name, bytes, &headers);
    let name_contains_hash = name.contains('-');
    if name_contains_hash {
        let immutable = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, immutable);
    }
    response
}

fn find(name: &str) -> Option<&'static [u8]> {
    let mut files = FILES.iter();
    let (_, bytes) = files.find(|(file, _)| *file == name)?;
    Some(bytes)
}

fn file_response(name: &str, compressed: &'static [u8], headers: &HeaderMap) -> Response {
    let common_headers = [
        (CONTENT_TYPE, content_type(name)),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (VARY, "accept-encoding"),
    ];
    if accepts(headers, &ACCEPT_ENCODING, "gzip") {
        return (common_headers, [(CONTENT_ENCODING, "gzip")], compressed).into_response();
    }
    let mut bytes = Vec::new();
    match GzDecoder::new(compressed).read_to_end(&mut bytes) {
        Ok(_) => (common_headers, bytes).into_response(),
        Err(cause) => {
            tracing::error!(%cause, name, "decompressing a file of GraphiQL failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_clients_that_accept_it() {
        for (accepted, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0, identity", false),
            ("br", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(accepted);
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value)]);
            assert_eq!(
                accepts(&headers, &ACCEPT_ENCODING, "gzip"),
                expected,
                "{accepted}"
            );
        }
    }
}
