//! Cross-origin requests (CORS): the origins whose pages can call the API from a browser, and the
//! request headers that they can send.

use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::origin::Origin;
use super::request_id::REQUEST_ID;

/// How long a browser may cache the response to a preflight request: long enough for most visits of
/// a page, and short enough that changed settings apply within an hour.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// Request headers that browser clients and their tools send, in addition to the CORS-safelisted
/// ones. Each string is a group of names that are separated by spaces.
const REQUEST_HEADERS: [&str; 10] = [
    "authorization content-type",
    // These require permission if they are long or contain quoted parameters, as the `Accept`
    // header of Apollo Client for multipart responses does.
    "accept accept-language content-language",
    // Libraries for HTTP and for server-sent events.
    "cache-control expires idempotency-key if-modified-since if-none-match last-event-id \
     pragma user-agent x-csrf-token x-idempotency-key x-requested-with x-xsrf-token",
    // Apollo Client and its tools.
    "apollo-require-preflight apollographql-client-name apollographql-client-version \
     apollographql-library-name apollographql-library-version x-apollo-cache-key \
     x-apollo-operation-id x-apollo-operation-name x-apollo-operation-type x-apollo-tracing",
    // Other GraphQL clients and schema registries.
    "graphql-client-name graphql-client-version graphql-preflight graphql-require-preflight \
     x-graphql-client-name x-graphql-client-version x-graphql-event-stream-token \
     x-graphql-yoga-csrf",
    // AWS Amplify and CloudWatch RUM.
    "x-api-key x-amz-date x-amz-security-token x-amz-user-agent x-amzn-trace-id",
    // Request IDs.
    "request-id x-correlation-id x-request-id x-trace-id",
    // W3C Trace Context and Baggage: OpenTelemetry, Sentry and most others.
    "baggage traceparent tracestate",
    // Older trace formats and vendor-specific ones.
    "b3 x-b3-flags x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid uber-trace-id \
     x-cloud-trace-context sentry-trace x-datadog-origin x-datadog-parent-id \
     x-datadog-sampling-priority x-datadog-tags x-datadog-trace-id newrelic x-newrelic-id \
     x-newrelic-transaction elastic-apm-traceparent adrum sw8 x-dtc x-dtpc x-dtreferer \
     x-dynatrace x-honeycomb-trace x-highlight-request x-instana-l x-instana-s x-instana-t \
     x-posthog-distinct-id x-posthog-session-id x-posthog-window-id",
    // Azure Application Insights.
    "request-context x-ms-request-id x-ms-request-root-id",
];

/// Origins whose pages can call the API: the origins in `named`, and with `any_localhost` all
/// origins of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// The allowed origins.
    pub named: Vec<Origin>,
    /// Whether to allow all pages that are served from this machine, on any port.
    pub any_localhost: bool,
    /// Request headers that pages can send in addition to those of common tools.
    pub request_headers: Vec<HeaderName>,
}

impl Origins {
    /// Returns whether pages of this origin can call the API.
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        Origin::of(origin).is_some_and(|origin| {
            self.named.contains(&origin) || self.any_localhost && origin.is_localhost()
        })
    }

    pub(super) fn layer(&self) -> CorsLayer {
        let origins = self.clone();
        let known = REQUEST_HEADERS.into_iter().flat_map(str::split_whitespace);
        let mut headers: Vec<_> = known.map(HeaderName::from_static).collect();
        headers.extend(self.request_headers.iter().cloned());
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| {
                origins.allow(origin)
            }))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(headers)
            .expose_headers([REQUEST_ID.clone(), RETRY_AFTER, WWW_AUTHENTICATE])
            .max_age(PREFLIGHT_MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_allowed_if_it_is_named_or_in_dev_of_this_machine() {
        let named = ["https://cruddur.com", "tauri://localhost"];
        let mut origins = Origins {
            named: named.map(|named| named.parse().expect("an origin")).into(),
            ..Origins::default()
        };
        for (origin, is_named, is_allowed_in_dev) in [
            ("https://cruddur.com", true, true),
            ("https://cruddur.com:443", true, true),
            ("tauri://localhost", true, true),
            ("capacitor://localhost", false, true),
            ("http://localhost:3000", false, true),
            ("http://127.0.0.1:5173", false, true),
            ("http://app.localhost", false, true),
            ("http://cruddur.com", false, false),
            ("https://cruddur.com:8443", false, false),
            ("https://localhost.evil.com", false, false),
            ("null", false, false),
        ] {
            for any_localhost in [false, true] {
                origins.any_localhost = any_localhost;
                let expected = is_named || any_localhost && is_allowed_in_dev;
                let allowed = origins.allow(&HeaderValue::from_static(origin));
                assert_eq!(allowed, expected, "{origin}");
            }
        }
    }
}
