//! Files of web pages that `build.rs` has bundled, and the responses with them.

use std::io::{self, Read};

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use super::negotiate::accepts;
use super::rejection::not_found;

/// A cache may keep the response for a year without revalidating it.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A cache must revalidate the response before each use.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// A bundled file.
#[derive(Debug)]
pub(super) struct Asset {
    /// The path below the folder of the bundle.
    pub name: &'static str,
    /// The contents, compressed.
    pub gzip: &'static [u8],
    /// The same contents; empty if the bundle does not contain them in this coding.
    pub brotli: &'static [u8],
    /// The entity tag, which changes with the contents.
    pub etag: &'static str,
}

impl Asset {
    /// The page of each bundle.
    pub const PAGE: &str = "index.html";

    /// Returns the response to a request for the file of this name.
    pub async fn serve(
        files: &[Self],
        name: &str,
        request: &HeaderMap,
        policy: &HeaderValue,
    ) -> Response {
        match files.iter().find(|file| file.name == name) {
            Some(file) => file.response(request, policy),
            None => not_found().await.into_response(),
        }
    }

    /// Returns the response to a request for the page, or `not_built` if the program was built
    /// without the bundle.
    pub async fn serve_page(
        files: &[Self],
        not_built: &'static str,
        request: &HeaderMap,
        policy: &HeaderValue,
    ) -> Response {
        if files.is_empty() {
            return (StatusCode::NOT_IMPLEMENTED, not_built).into_response();
        }
        Self::serve(files, Self::PAGE, request, policy).await
    }

    /// Returns the response to a request for the file. Caches may keep a file for a year if its
    /// name contains a hash of its contents, and must revalidate any other file.
    fn response(&self, request: &HeaderMap, policy: &HeaderValue) -> Response {
        let caching = if self.is_content_hashed() {
            IMMUTABLE
        } else {
            REVALIDATED
        };
        let mut response = revalidated(request, self.etag, || self.contents(request));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, caching);
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

    fn contents(&self, request: &HeaderMap) -> Response {
        let content_type = [(CONTENT_TYPE, content_type(self.name))];
        let takes = |coding| accepts(request, &ACCEPT_ENCODING, coding);
        if !self.brotli.is_empty() && takes("br") {
            return (content_type, [(CONTENT_ENCODING, "br")], self.brotli).into_response();
        }
        if takes("gzip") {
            return (content_type, [(CONTENT_ENCODING, "gzip")], self.gzip).into_response();
        }
        match self.decompressed() {
            Ok(bytes) => (content_type, bytes).into_response(),
            Err(cause) => {
                tracing::error!(%cause, name = self.name, "a bundled file cannot be decompressed");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// Returns the contents, decompressed.
    pub fn decompressed(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        GzDecoder::new(self.gzip).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The bundlers put a hyphen and eight characters before the extension.
    fn is_content_hashed(&self) -> bool {
        let stem = self.name.rsplit_once('.').map_or("", |(stem, _)| stem);
        let file = stem.rsplit_once('/').map_or(stem, |(_, file)| file);
        file.len() > 9 && file.as_bytes()[file.len() - 9] == b'-'
    }
}

/// Returns 304 if the client has the contents with this entity tag, or else the contents.
pub(super) fn revalidated(
    request: &HeaderMap,
    etag: &str,
    contents: impl FnOnce() -> Response,
) -> Response {
    let known = request.get(IF_NONE_MATCH);
    let known = known.and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|tag| tag == etag || tag == "*")
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        contents()
    };
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "woff2")) => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &'static str) -> Asset {
        Asset {
            name,
            gzip: &[],
            brotli: b"br",
            etag: "W/\"1\"",
        }
    }

    #[test]
    fn content_coding_is_one_that_the_client_accepts_by_name() {
        for (accepted, expected) in [
            ("gzip, deflate, br", Some("br")),
            ("br;q=0, GZIP;q=0.5", Some("gzip")),
            ("gzip;q=0, identity", None),
            ("*", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(accepted);
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value)]);
            let response = asset("index.html").contents(&headers);
            let coding = response.headers().get(CONTENT_ENCODING);
            let coding = coding.and_then(|coding| coding.to_str().ok());
            assert_eq!(coding, expected, "{accepted}");
        }
    }

    #[test]
    fn content_hash_is_recognized_by_its_place_and_length() {
        for (name, expected) in [
            ("assets/index-D3adB33f.js", true),
            ("assets/x-abc_-12A.css", true),
            ("editor.worker-ABCDEFGH.js", true),
            ("index.html", false),
            ("assets/favicon-dark.svg", false),
            ("licences.txt", false),
        ] {
            assert_eq!(asset(name).is_content_hashed(), expected, "{name}");
        }
    }

    #[test]
    fn known_entity_tag_is_answered_with_304() {
        for (tags, expected) in [
            ("W/\"1\"", StatusCode::NOT_MODIFIED),
            ("\"0\", W/\"1\"", StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("W/\"2\"", StatusCode::OK),
        ] {
            let value = HeaderValue::from_static(tags);
            let mut headers = HeaderMap::from_iter([(IF_NONE_MATCH, value)]);
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("br"));
            let policy = HeaderValue::from_static("default-src 'none'");
            let response = asset("index.html").response(&headers, &policy);
            assert_eq!(response.status(), expected, "{tags}");
            assert_eq!(response.headers()[ETAG], "W/\"1\"");
        }
    }
}
