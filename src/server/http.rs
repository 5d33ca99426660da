//! GraphQL over HTTP: one request, from authentication to the response.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::access_log::{AccessLog, FirstError};
use super::admission::ResponseBudget;
use super::authenticate::{authenticate, sign_in_required};
use super::execute::{Execution, Policy, RequestContext, TIME_TO_RESPOND, catch_panic, execute};
use super::listener::ConnectionGuard;
use super::negotiate::{Accepts, Media};
use super::rejection::{Errors, Rejection};
use super::request::read_request;
use super::request_id::request_id;
use super::sse::{self, EventResponse};
use super::state::ServerState;
use crate::auth::Caller;
use crate::schema::{Code, response_json, was_executed};
use crate::telemetry::work_for;

/// Handles one GraphQL request within the server's limits on concurrency and time, and in a media
/// type that the client accepts.
pub(super) async fn graphql(State(state): State<ServerState>, request: Request) -> Response {
    let request_id = request_id(request.headers()).to_owned();
    let log = AccessLog::begin(&request_id, request.headers());
    let accepts = Accepts::of(request.headers());
    let context = RequestContext {
        state: &state,
        request_id: &request_id,
        info: &log.info,
        deadline: Instant::now() + state.app.bounds.request_within - TIME_TO_RESPOND,
    };
    // Boxed because the future is large, and each layer around it would contain and move it.
    let result = Box::pin(handle(request, accepts, &context));
    let response = respond(accepts.media, &request_id, context.deadline, result);
    let response = response.instrument(log.span.clone());
    let mut response = match work_for([log.origin.clone()], response).await {
        HttpResponse::Complete(response) => {
            log.end_with(&response);
            response
        }
        HttpResponse::Events(events) => events.into_response(log),
    };
    // The response depends on this header.
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, accept);
    response
}

/// The response to a request.
enum HttpResponse {
    Complete(Response),
    /// The server-sent events of a subscription.
    Events(EventResponse),
}

/// Waits for the result within the request timeout, and converts a rejection or a panic to a
/// response.
async fn respond(
    media: Media,
    request_id: &str,
    deadline: Instant,
    result: impl Future<Output = Result<HttpResponse, Rejection>>,
) -> HttpResponse {
    // The deadline of the execution is earlier, so that its own response, which reports the outcome
    // of a write, is sent instead of this timeout.
    let timeout = deadline + 2 * TIME_TO_RESPOND;
    let result = timeout_at(timeout, catch_panic(result)).await;
    result
        .unwrap_or_else(|_| Err(Rejection::timed_out()))
        .unwrap_or_else(|rejection| {
            let rejection = rejection.with_request_id(request_id);
            HttpResponse::Complete(in_media(media, rejection.into_response()))
        })
}

fn in_media(media: Media, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.content_type());
    response
}

async fn handle(
    request: Request,
    accepts: Accepts,
    context: &RequestContext<'_>,
) -> Result<HttpResponse, Rejection> {
    let app = &context.state.app;
    if accepts.nothing {
        let message = "The response types are `application/graphql-response+json`, \
            `application/json` and `text/event-stream`.";
        return Err(Rejection::bad_request(StatusCode::NOT_ACCEPTABLE, message));
    }
    let policy = Policy {
        allows_mutations: request.method() == Method::POST,
        allows_subscriptions: accepts.events,
    };
    let guard = request.extensions().get::<ConnectionGuard>().cloned();
    let caller = authenticate(app, request.headers()).await?;
    if matches!(caller, Caller::Anonymous) && !app.api.allows_anonymous() {
        return Err(sign_in_required());
    }
    // The request is admitted only after its body is received, so that slow clients do not occupy
    // permits.
    let parameters = read_request(request, app.bounds.body_bytes, context.deadline).await?;
    let (response, budget) = match execute(context, parameters, &caller, policy).await? {
        Execution::Response(response, budget) => (response, budget),
        Execution::Stream(events) => {
            let guard = guard.ok_or_else(Rejection::internal)?;
            let events = EventResponse::new(events, context, guard.shutdown(), &caller)?;
            return Ok(HttpResponse::Events(events));
        }
    };
    Ok(HttpResponse::Complete(
        if accepts.only_events && was_executed(&response) {
            sse::single_event(&response, budget)
        } else {
            json_response(accepts.media, *response, budget)
        },
    ))
}

fn json_response(
    media: Media,
    response: async_graphql::Response,
    budget: ResponseBudget,
) -> Response {
    let executed = was_executed(&response);
    let code = Code::of_first(&response.errors);
    let status = match media {
        _ if !executed && code == Some(Code::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Media::GraphqlResponse if !executed => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let text = if executed {
        response_json(&response)
    } else {
        let errors = response.errors;
        Errors { errors }.json()
    };
    let mut response = in_media(media, (status, budget.bind(text)).into_response());
    if let Some(code) = code {
        response.extensions_mut().insert(FirstError(code));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::Value;

    use super::*;

    async fn response_of(
        deadline: Instant,
        result: impl Future<Output = Result<HttpResponse, Rejection>>,
    ) -> (StatusCode, Value) {
        let HttpResponse::Complete(response) =
            respond(Media::GraphqlResponse, "http-1", deadline, result).await
        else {
            panic!("it is a single response");
        };
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            Media::GraphqlResponse.content_type()
        );
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        (status, body)
    }

    #[tokio::test]
    async fn panic_is_a_response_with_500_and_the_request_id() {
        let deadline = Instant::now();
        let (status, body) = response_of(deadline, async { panic!("on purpose") }).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let error = &body["errors"][0];
        assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR");
        assert_eq!(error["extensions"]["requestId"], "http-1");
        assert!(!body.to_string().contains("on purpose"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn request_that_exceeds_its_timeout_is_unavailable() {
        let deadline = Instant::now();
        let (status, body) = response_of(deadline, std::future::pending()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    }
}
