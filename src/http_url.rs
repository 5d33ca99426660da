//! URLs of HTTP servers in settings.

use reqwest::Url;

/// The text is not the URL of an HTTP server. The error does not quote the
/// text, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHttpUrl {
    /// It begins with a quotation mark, which `docker --env-file` and other
    /// tools do not remove.
    #[error("it begins with a quotation mark: remove the quotation marks")]
    Quoted,
    /// It has another scheme, or none.
    #[error("it does not begin with http:// or https://")]
    Scheme,
    /// It contains a user name or password.
    #[error("it contains a user name or password, which is not supported here")]
    UserInfo,
    /// It contains a query or fragment.
    #[error("it contains a query or fragment (? or #), which is not supported here")]
    Query,
    /// Its host is missing or invalid.
    #[error("its host is missing or invalid")]
    Host,
}

/// Parses a URL without user name, password, query and fragment. Whitespace
/// around it is ignored.
pub fn parse_http_url(text: &str) -> Result<Url, InvalidHttpUrl> {
    let url = parse_any_http_url(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidHttpUrl::UserInfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidHttpUrl::Query);
    }
    Ok(url)
}

/// Parses a URL that may contain user name, password and query.
pub fn parse_any_http_url(text: &str) -> Result<Url, InvalidHttpUrl> {
    let text = text.trim();
    if text.starts_with(['"', '\'']) {
        return Err(InvalidHttpUrl::Quoted);
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    }) {
        return Err(InvalidHttpUrl::Scheme);
    }
    let url = Url::parse(text).map_err(|_| InvalidHttpUrl::Host)?;
    let is_host = |host: &str| !host.is_empty() && !host.contains(['*', ',', ' ', '\'']);
    if url.host_str().is_some_and(is_host) {
        Ok(url)
    } else {
        Err(InvalidHttpUrl::Host)
    }
}

/// Returns a URL for display: scheme, host, port and path.
pub fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "an invalid address".to_owned();
    };
    let hidden = url.set_username("").and_then(|()| url.set_password(None));
    if hidden.is_err() {
        return "an invalid address".to_owned();
    }
    url.set_query(None);
    url.set_fragment(None);
    // A URL without a path is shown without the trailing slash.
    let is_bare = url.path() == "/";
    let text = url.as_str();
    let bare = text.strip_suffix('/').filter(|_| is_bare);
    bare.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_cannot_work_is_rejected_without_quoting_it() {
        use InvalidHttpUrl::{Host, Query, Quoted, Scheme, UserInfo};
        for (text, why) in [
            ("", Scheme),
            ("localhost:8000", Scheme),
            ("//localhost:8000", Scheme),
            ("dynamodb://localhost:8000", Scheme),
            ("http:/localhost:8000", Scheme),
            ("\"http://localhost:8000\"", Quoted),
            ("http://user:secret@localhost:8000", UserInfo),
            ("http://secret@localhost:8000", UserInfo),
            ("http://localhost:8000?key=secret", Query),
            ("http://localhost:8000#secret", Query),
            ("http://", Host),
            ("http://user:sec/ret@localhost", Host),
            ("http://*.example.com", Host),
            ("http://a.example.com, http://b.example.com", Host),
            ("http://localhost:port", Host),
        ] {
            let refused = parse_http_url(text).expect_err(text);
            assert_eq!(refused, why, "{text}");
            assert!(!refused.to_string().contains("secret"));
        }
        for text in [
            "http://ddb:8000",
            " HTTPS://Example.com/a/b \n",
            "http://[::1]:8000",
        ] {
            parse_http_url(text).expect(text);
        }
    }

    #[test]
    fn shown_address_has_no_user_info_and_no_query() {
        for (url, expected) in [
            ("http://user:secret@ddb:8000/", "http://ddb:8000"),
            (
                "https://keys.example/jwks.json?secret#secret",
                "https://keys.example/jwks.json",
            ),
            ("secret", "an invalid address"),
            ("secret:secret", "an invalid address"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
