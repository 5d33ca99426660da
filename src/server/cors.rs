//! Whose pages may call the API from a browser.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember that it was allowed to call.
const REMEMBER: Duration = Duration::from_hours(1);

/// Pages that may call: named ones, and with `any_localhost` those of this
/// machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// By name.
    pub named: Vec<Origin>,
    /// Any page served from this machine, on any port.
    pub any_localhost: bool,
}

/// The origin of a page, such as `https://cruddur.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin like https://cruddur.com (scheme and host, no path)")]
pub struct InvalidOrigin(String);

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = || InvalidOrigin(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri.path_and_query().is_none_or(|path| path == "/") && !text.ends_with('/');
        if web && bare && uri.authority().is_some() {
            HeaderValue::from_str(&text.to_ascii_lowercase())
                .map(Self)
                .map_err(|_| invalid())
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl Origins {
    /// Whether a page may call.
    #[must_use]
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        self.named.iter().any(|named| named.0 == origin)
            || self.any_localhost && is_localhost(origin)
    }

    pub(super) fn layer(&self) -> CorsLayer {
        let origins = self.clone();
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| {
                origins.allow(origin)
            }))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                AUTHORIZATION,
                CONTENT_TYPE,
                super::REQUEST_ID.clone(),
                HeaderName::from_static("traceparent"),
            ])
            .expose_headers([super::REQUEST_ID.clone(), RETRY_AFTER, WWW_AUTHENTICATE])
            .max_age(REMEMBER)
    }
}

fn is_localhost(origin: &HeaderValue) -> bool {
    let uri = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<Uri>().ok());
    let host = uri.as_ref().and_then(Uri::host);
    host.is_some_and(|host| {
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_pages_and_in_dev_those_of_this_machine_may_call() {
        let origins = Origins {
            named: vec!["https://cruddur.com".parse().expect("an origin")],
            any_localhost: true,
        };
        for (origin, allowed) in [
            ("https://cruddur.com", true),
            ("http://localhost:3000", true),
            ("http://127.0.0.1:5173", true),
            ("http://app.localhost", true),
            ("http://cruddur.com", false),
            ("https://localhost.evil.com", false),
            ("null", false),
        ] {
            assert_eq!(
                origins.allow(&HeaderValue::from_static(origin)),
                allowed,
                "{origin}"
            );
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        for wrong in [
            "cruddur.com",
            "https://cruddur.com/",
            "https://cruddur.com/app",
            "*",
            "ftp://cruddur.com",
        ] {
            assert_eq!(
                wrong.parse::<Origin>(),
                Err(InvalidOrigin(wrong.to_owned()))
            );
        }
    }
}
