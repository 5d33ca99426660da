//! Parsing of a GraphQL request from a query string or a JSON body.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, Method, StatusCode};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::json::parse_json;
use super::negotiate::is_json;
use super::rejection::Rejection;

/// A GraphQL request: a document, the ID of a persisted document, or both.
pub(super) struct RequestParameters {
    pub query: Option<String>,
    pub id: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Map<String, Value>,
}

/// Reads a GraphQL request. The body must be complete by `deadline`.
pub(super) async fn read_request(
    request: Request,
    max_body_bytes: usize,
    deadline: Instant,
) -> Result<RequestParameters, Rejection> {
    if request.method() != Method::POST {
        return from_query(request.uri().query().unwrap_or_default());
    }
    let unsupported =
        |message: &str| Rejection::bad_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    if !is_json(request.headers()) {
        let message = "The body must be JSON in UTF-8: send `Content-Type: application/json`.";
        return Err(unsupported(message));
    }
    if is_compressed(request.headers()) {
        let message = "A compressed body is not supported: send it without `Content-Encoding`.";
        return Err(unsupported(message));
    }
    let body = timeout_at(deadline, read_body(request.into_body(), max_body_bytes)).await;
    let body = body.map_err(|_| {
        let message = "The body was not received in time.";
        Rejection::bad_request(StatusCode::REQUEST_TIMEOUT, message)
    })??;
    from_json(&body)
}

/// Returns whether a body is compressed, according to its `Content-Encoding`.
fn is_compressed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn read_body(body: Body, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
    let too_large = || {
        let message = format!("The body exceeds the limit of {max_bytes} bytes.");
        Rejection::bad_request(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    // A body whose declared size is too large is rejected without reading it.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| invalid_request("the body is incomplete"))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn from_json(body: &[u8]) -> Result<RequestParameters, Rejection> {
    match parse("the body", body)? {
        Value::Object(members) => from_members(members),
        Value::Array(_) => Err(invalid_request(
            "batches are not supported: send one operation per request",
        )),
        _ => Err(invalid_request(
            "the body must be a JSON object with a `query`",
        )),
    }
}

fn from_query(query: &str) -> Result<RequestParameters, Rejection> {
    let mut members = Map::new();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let value = match name.as_ref() {
            "query" | "operationName" | "documentId" => Value::String(text.into_owned()),
            "variables" | "extensions" if text.is_empty() => continue,
            "variables" | "extensions" => parse(&format!("`{name}`"), text.as_bytes())?,
            _ => continue,
        };
        if members.insert(name.to_string(), value).is_some() {
            return Err(invalid_request(format!("`{name}` is given twice")));
        }
    }
    from_members(members)
}

pub(super) fn parse(name: &str, text: &[u8]) -> Result<Value, Rejection> {
    parse_json(text).map_err(|error| invalid_request(format!("{name} is not valid JSON: {error}")))
}

/// Reads a GraphQL request from the members of a JSON object.
pub(super) fn from_members(
    mut members: Map<String, Value>,
) -> Result<RequestParameters, Rejection> {
    let mut text = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid_request(format!("`{name}` must be a string"))),
    };
    let query = text("query")?;
    let operation_name = text("operationName")?;
    let document_id = text("documentId")?;
    let mut object = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(invalid_request(format!("`{name}` must be a JSON object"))),
    };
    let variables = object("variables")?;
    let persisted = persisted_query(object("extensions")?)?;
    let id = document_id.or(persisted);
    // A client that sends an ID may send an empty text with it.
    let query = query.filter(|query| id.is_none() || !query.is_empty());
    if query.is_none() && id.is_none() {
        return Err(invalid_request("`query` is missing"));
    }
    Ok(RequestParameters {
        query,
        id: id.map(|id| plain_id(&id).to_owned()),
        operation_name,
        variables,
    })
}

/// Returns an ID without the algorithm prefix that some tools add.
pub(super) fn plain_id(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// Returns the hash of an automatic persisted query.
fn persisted_query(mut extensions: Map<String, Value>) -> Result<Option<String>, Rejection> {
    let persisted = extensions.remove("persistedQuery");
    let Some(persisted) = persisted.filter(|persisted| !persisted.is_null()) else {
        return Ok(None);
    };
    if persisted["version"] != 1 {
        return Err(invalid_request(
            "`extensions.persistedQuery.version` must be 1",
        ));
    }
    match &persisted["sha256Hash"] {
        Value::String(hash) => Ok(Some(hash.clone())),
        _ => Err(invalid_request(
            "`extensions.persistedQuery.sha256Hash` must be a string",
        )),
    }
}

pub(super) fn invalid_request(why: impl std::fmt::Display) -> Rejection {
    let message = format!("Invalid GraphQL request: {why}.");
    Rejection::bad_request(StatusCode::BAD_REQUEST, message)
}
