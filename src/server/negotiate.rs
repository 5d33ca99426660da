//! Negotiation of the response's media type (GraphQL over HTTP, 5 and 6.4).

mod accept_header;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

pub(super) use accept_header::{accepts, split};

use accept_header::AcceptHeader;

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// The response formats that a client accepts.
#[derive(Clone, Copy)]
pub(super) struct Accepts {
    /// The media type of a single response, also of an error for a client that accepts only events.
    pub media: Media,
    /// Whether several results can be sent as events.
    pub events: bool,
    /// Whether all results must be sent as events, also the single result of a query or a mutation.
    pub only_events: bool,
    /// Whether the client accepts no format of this server.
    pub nothing: bool,
}

impl Accepts {
    pub fn of(headers: &HeaderMap) -> Self {
        let media = Media::accepted(headers);
        let events = accepts(headers, &ACCEPT, EVENT_STREAM);
        Self {
            media: media.unwrap_or(Media::Json),
            events,
            only_events: media.is_none() && events,
            nothing: media.is_none() && !events,
        }
    }
}

/// The media type of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: well-formed requests have status 200, even if they are rejected.
    Json,
    /// `application/graphql-response+json`: the status reflects the result.
    GraphqlResponse,
}

impl Media {
    /// Returns the value of `Content-Type`.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        })
    }

    /// Returns the media type that the client prefers, or `None` if it accepts neither of the two.
    /// A header without a media range counts as missing, and selects JSON; a tie between wildcards
    /// also selects JSON.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accepted = AcceptHeader::of(headers, &ACCEPT);
        if accepted.has_no_media_range() {
            return Some(Self::Json);
        }
        let graphql = accepted.media_type(Self::GraphqlResponse.name());
        let json = accepted.media_type(Self::Json.name());
        let (media, acceptance) = if graphql > json {
            (Self::GraphqlResponse, graphql)
        } else {
            (Self::Json, json)
        };
        (acceptance.quality > 0).then_some(media)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GraphqlResponse => "application/graphql-response+json",
        }
    }
}

/// Returns whether a body is JSON in UTF-8.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let parts = split(content_type.unwrap_or_default(), ';');
    let mut parts = parts.into_iter().map(str::trim);
    let name = parts.next().unwrap_or_default();
    let is_json = name.eq_ignore_ascii_case("application/json");
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
    fn media_type_is_the_best_accepted_one() {
        // `tests/api/accept.rs` has the values of clients that violate the grammar.
        let (json, graphql) = (Some(Media::Json), Some(Media::GraphqlResponse));
        for (accept, expected) in [
            ("", json),
            ("*/*", json),
            ("application/*", json),
            ("application/json", json),
            ("APPLICATION/JSON; charset=utf-8", json),
            ("GRAPHQL", graphql),
            ("GRAPHQL, application/json;q=0.9", graphql),
            ("GRAPHQL;q=0.5, application/json", json),
            ("application/json, GRAPHQL", json),
            ("GRAPHQL, application/json", graphql),
            ("GRAPHQL, */*", graphql),
            ("application/json;q=0, */*", graphql),
            ("application/*+json", graphql),
            ("GRAPHQL;q=1., application/json;q=.9", graphql),
            ("text/html, */*;q=0.1", json),
            ("application/json;q=0", None),
            ("image/*", None),
        ] {
            let accept = accept.replace("GRAPHQL", Media::GraphqlResponse.name());
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().expect("a header"));
            }
            assert_eq!(Media::accepted(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn request_body_must_be_json_in_utf_8() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; Charset=\"UTF-8\"", true),
            ("application/json; title=\"a; charset=latin1\"", true),
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
