//! Which media type an answer has (GraphQL over HTTP, 5 and 6.4).

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: refused requests that are well-formed are 200.
    Json,
    /// `application/graphql-response+json`: the status says what came of it.
    GraphqlResponse,
}

impl Media {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        })
    }

    /// What the client accepts best; `None` where it accepts neither. Nothing
    /// named is JSON, and so is a tie of wildcards.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = Vec::new();
        for header in headers.get_all(ACCEPT) {
            ranges.extend(header.to_str().ok()?.split(',').filter_map(range));
        }
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let best = [Self::GraphqlResponse, Self::Json].map(|media| quality(&ranges, media.name()));
        let [(graphql, graphql_named), (json, json_named)] = best;
        match (graphql, json) {
            (0, 0) => None,
            _ if graphql > json => Some(Self::GraphqlResponse),
            _ if graphql == json && graphql_named && !json_named => Some(Self::GraphqlResponse),
            _ if graphql == json && graphql_named && json_named => first_named(&ranges),
            _ => Some(Self::Json),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GraphqlResponse => "application/graphql-response+json",
        }
    }
}

/// Whether a client accepts something that it has to name: a media type, a
/// coding.
pub(super) fn accepts(headers: &HeaderMap, header: HeaderName, name: &str) -> bool {
    let accepted = headers.get_all(header).iter();
    let accepted = accepted.filter_map(|accepted| accepted.to_str().ok());
    let mut ranges = accepted.flat_map(|accepted| accepted.split(',').filter_map(range));
    ranges.any(|(range, quality)| range == name && quality > 0)
}

/// A media range and its quality in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut quality = 1000;
    for parameter in parts {
        if let Some((key, value)) = parameter.split_once('=')
            && key.trim().eq_ignore_ascii_case("q")
        {
            quality = thousandths(value.trim())?;
        }
    }
    Some((name.to_ascii_lowercase(), quality))
}

/// `0`, `0.5`, `1.000` (RFC 9110, 12.4.2).
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 3 || !digits {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// The quality that the most specific range gives a media type, and whether
/// that range names it.
fn quality(ranges: &[(String, u16)], name: &str) -> (u16, bool) {
    for (pattern, named) in [(name, true), ("application/*", false), ("*/*", false)] {
        if let Some((_, quality)) = ranges.iter().find(|(range, _)| range == pattern) {
            return (*quality, named);
        }
    }
    (0, false)
}

fn first_named(ranges: &[(String, u16)]) -> Option<Media> {
    ranges.iter().find_map(|(range, _)| {
        [Media::GraphqlResponse, Media::Json]
            .into_iter()
            .find(|media| range == media.name())
    })
}

/// Whether a body is JSON in UTF-8.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let Some(content_type) = content_type else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((key, value)) if key.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    is_json && is_utf8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_what_is_accepted_is_given() {
        let (json, graphql) = (Some(Media::Json), Some(Media::GraphqlResponse));
        for (accept, expected) in [
            ("", json),
            ("*/*", json),
            ("application/*", json),
            ("application/json", json),
            ("APPLICATION/JSON; charset=utf-8", json),
            ("application/graphql-response+json", graphql),
            (
                "application/graphql-response+json, application/json;q=0.9",
                graphql,
            ),
            (
                "application/graphql-response+json;q=0.5, application/json",
                json,
            ),
            ("application/json, application/graphql-response+json", json),
            (
                "application/graphql-response+json, application/json",
                graphql,
            ),
            ("application/graphql-response+json, */*", graphql),
            ("application/json;q=0, */*", graphql),
            ("text/html, */*;q=0.1", json),
            ("text/html", None),
            ("application/json;q=0", None),
            ("image/*", None),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().expect("a header"));
            }
            assert_eq!(Media::accepted(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn a_body_is_json_in_utf_8_or_nothing() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; Charset=\"UTF-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("application/jsonp", false),
        ] {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("a header"))]);
            assert_eq!(is_json(&headers), expected, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
