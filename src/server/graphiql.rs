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

use super::App;
use super::accept::accepts;
use super::graphql_http::no_such_path;

/// Name and gzip-compressed bytes of each file that `build.rs` has bundled.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/graphiql_files.rs"));

const PAGE: &str = "index.html";

/// Content security policy: only resources of this server. The editor adds inline styles to the
/// page, so these are allowed.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const LEFT_OUT: &str = "GraphiQL was left out when this program was built: \
    build it again with Node.js 20 or newer installed and without CRUDDUR_GRAPHIQL=skip.\n";

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
    pub(super) fn routes(self) -> Router<App> {
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
        Some(bytes) => answer(PAGE, bytes, &headers),
        None => (StatusCode::NOT_IMPLEMENTED, LEFT_OUT).into_response(),
    }
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    // The page is served only at its own path, because its links are relative.
    let Some(bytes) = find(&name).filter(|_| name != PAGE) else {
        return no_such_path().await.into_response();
    };
    let mut response = answer(&name, bytes, &headers);
    let changes_with_its_bytes = name.contains('-');
    if changes_with_its_bytes {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, forever);
    }
    response
}

fn find(name: &str) -> Option<&'static [u8]> {
    let mut files = FILES.iter();
    let (_, bytes) = files.find(|(file, _)| *file == name)?;
    Some(bytes)
}

fn answer(name: &str, compressed: &'static [u8], headers: &HeaderMap) -> Response {
    let headers_of_all = [
        (CONTENT_TYPE, content_type(name)),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (VARY, "accept-encoding"),
    ];
    if accepts(headers, &ACCEPT_ENCODING, "gzip") {
        return (headers_of_all, [(CONTENT_ENCODING, "gzip")], compressed).into_response();
    }
    let mut bytes = Vec::new();
    match GzDecoder::new(compressed).read_to_end(&mut bytes) {
        Ok(_) => (headers_of_all, bytes).into_response(),
        Err(cause) => {
            tracing::error!(%cause, name, "a file of GraphiQL is broken");
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
    fn what_is_compressed_is_for_those_who_take_it() {
        for (accepted, takes) in [
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
                takes,
                "{accepted}"
            );
        }
    }
}
