//! Web origins: parsing, normalization and comparison.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;
use axum::http::uri::Authority;
use reqwest::Url;

/// The origin of a page, such as `https://cruddur.com`, in the form in which browsers send it: in
/// lower case, without the default port, and with the host in Punycode.
///
/// Web views in apps have their own schemes: `capacitor://localhost`, `ionic://localhost`,
/// `tauri://localhost`, `file://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    /// Empty for `file://`.
    host: String,
    /// `None` for the default port of the scheme.
    port: Option<u16>,
}

/// Why a text is not an origin that can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// It is not a URL of a scheme and a host.
    #[error(
        "expected a scheme and a host without a path, like https://cruddur.com or capacitor://localhost"
    )]
    NotAnOrigin,
    /// It contains `*`.
    #[error("wildcards are not supported: list each origin")]
    Wildcard,
    /// It is `null`, the origin of sandboxed pages of any site.
    #[error("`null` cannot be allowed, because a page of any site can have this origin")]
    Null,
    /// No page has an origin with this scheme.
    #[error("no page has an origin with this scheme: use http or https")]
    Scheme,
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.trim();
        if text.contains('*') {
            return Err(InvalidOrigin::Wildcard);
        }
        if text.eq_ignore_ascii_case("null") {
            return Err(InvalidOrigin::Null);
        }
        // The URL parser also accepts `https:cruddur.com`.
        if !text.contains("://") {
            return Err(InvalidOrigin::NotAnOrigin);
        }
        let url = Url::parse(text).map_err(|_| InvalidOrigin::NotAnOrigin)?;
        if matches!(url.scheme(), "ws" | "wss" | "ftp") {
            return Err(InvalidOrigin::Scheme);
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_bare || host.is_empty() != (url.scheme() == "file") {
            return Err(InvalidOrigin::NotAnOrigin);
        }
        Ok(Self {
            scheme: url.scheme().to_owned(),
            host,
            port: url.port(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Origin {
    /// Returns the origin in a header, or `None` for the opaque origin (`null`).
    pub(super) fn of(header: &HeaderValue) -> Option<Self> {
        header.to_str().ok()?.parse().ok()
    }

    /// Returns whether the page is served from this machine.
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || self.host.ends_with(".localhost")
    }

    /// Returns whether the `Host` of a request is the host of the page, so that the request is
    /// same-origin.
    ///
    /// Behind a proxy that terminates TLS, the scheme of the connection differs from the scheme of
    /// the page.
    /// Therefore a `Host` without a port, or with the default port of either scheme, matches an
    /// origin with the default port.
    pub(super) fn is_of_host(&self, host: &HeaderValue) -> bool {
        let authority: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
        authority.is_some_and(|authority| {
            let port = authority.port_u16();
            let same_port = match self.port {
                None => matches!(port, None | Some(80 | 443)),
                explicit => port == explicit,
            };
            let is_web = matches!(self.scheme.as_str(), "http" | "https");
            is_web && same_port && authority.host().eq_ignore_ascii_case(&self.host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_normalized_to_the_form_that_browsers_send() {
        for (text, expected) in [
            ("https://cruddur.com", "https://cruddur.com"),
            ("HTTPS://Cruddur.Com", "https://cruddur.com"),
            ("https://cruddur.com:443", "https://cruddur.com"),
            ("http://cruddur.com:80", "http://cruddur.com"),
            ("https://cruddur.com:8443", "https://cruddur.com:8443"),
            ("http://cruddur.com:443", "http://cruddur.com:443"),
            (" https://cruddur.com/\n", "https://cruddur.com"),
            ("https://crüddur.example", "https://xn--crddur-4ya.example"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("ionic://LOCALHOST", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            ("app://-", "app://-"),
            (
                "chrome-extension://abcdefghijklmnop",
                "chrome-extension://abcdefghijklmnop",
            ),
            ("file://", "file://"),
        ] {
            let origin: Result<Origin, _> = text.parse();
            assert_eq!(
                origin.map(|origin| origin.to_string()),
                Ok(expected.to_owned())
            );
        }
    }

    #[test]
    fn origin_that_no_page_can_have_is_rejected() {
        use InvalidOrigin::{NotAnOrigin, Null, Scheme, Wildcard};
        for (text, expected) in [
            ("", NotAnOrigin),
            ("cruddur.com", NotAnOrigin),
            ("localhost:3000", NotAnOrigin),
            ("https:cruddur.com", NotAnOrigin),
            ("https://", NotAnOrigin),
            ("https://cruddur.com/app", NotAnOrigin),
            ("https://cruddur.com?", NotAnOrigin),
            ("https://cruddur.com#", NotAnOrigin),
            ("https://user@cruddur.com", NotAnOrigin),
            ("https://cruddur.com:99999", NotAnOrigin),
            ("capacitor://", NotAnOrigin),
            ("file:///app/index.html", NotAnOrigin),
            ("*", Wildcard),
            ("https://*.cruddur.com", Wildcard),
            ("null", Null),
            ("wss://cruddur.com", Scheme),
            ("ftp://cruddur.com", Scheme),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn host_with_and_without_the_default_port_is_the_same() {
        for (origin, host, expected) in [
            ("https://api.example", "api.example", true),
            ("https://api.example", "API.example:443", true),
            ("https://api.example:443", "api.example", true),
            ("http://api.example", "api.example:80", true),
            ("https://api.example", "api.example:80", true),
            ("http://api.example:4000", "api.example:4000", true),
            ("http://[::1]:4000", "[::1]:4000", true),
            ("https://api.example", "api.example:8443", false),
            ("https://api.example:8443", "api.example", false),
            ("https://api.example.evil", "api.example", false),
            ("https://evil.example", "api.example", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "null", false),
        ] {
            let origin = Origin::of(&HeaderValue::from_static(origin));
            let host_header = HeaderValue::from_static(host);
            let is_of_host = |origin: &Origin| origin.is_of_host(&host_header);
            let found = origin.as_ref().is_some_and(is_of_host);
            assert_eq!(found, expected, "{origin:?} {host}");
        }
    }
}
