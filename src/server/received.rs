//! Parsing of a GraphQL request from a query string or a JSON body.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::json::parse_json;
use super::media::is_json;
use super::refused::Refused;

/// The text that identifies a body that is too large among the errors of reading it.
const TOO_LARGE: &str = "length limit exceeded";

/// A GraphQL request: a document, the id of a persisted document, or both.
pub(super) struct Received {
    pub query: Option<String>,
    pub id: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Map<String, Value>,
}

/// Reads a GraphQL request. The body must be complete by `deadline`.
pub(super) async fn received(
    request: Request,
    largest_body: usize,
    deadline: Instant,
) -> Result<Received, Refused> {
    if request.method() != Method::POST {
        return from_query(request.uri().query().unwrap_or_default());
    }
    if !is_json(request.headers()) {
        let message =
            "The body of a request is JSON in UTF-8: send `Content-Type: application/json`.";
        return Err(Refused::bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if is_coded(request.headers()) {
        let message = "The body of a request is sent as it is, without a `Content-Encoding`.";
        return Err(Refused::bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let read = timeout_at(deadline, read(request.into_body(), largest_body)).await;
    let body = read.map_err(|_| {
        let message = "The body took too long to arrive.";
        Refused::bad(StatusCode::REQUEST_TIMEOUT, message)
    })??;
    from_json(&body)
}

/// Returns whether a body is compressed, according to its `Content-Encoding`.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn read(body: Body, largest: usize) -> Result<Vec<u8>, Refused> {
    let too_large = || {
        let message = format!("A body has at most {largest} bytes.");
        Refused::bad(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    // A body whose declared size is too large is rejected without reading it.
    if body.size_hint().lower() > largest as u64 {
        return Err(too_large());
    }
    match to_bytes(body, largest).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if is_too_large(&error) => Err(too_large()),
        Err(_) => Err(bad("the body did not arrive whole")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string() == TOO_LARGE {
            return true;
        }
        cause = error.source();
    }
    false
}

fn from_json(body: &[u8]) -> Result<Received, Refused> {
    let value: Value =
        parse_json(body).map_err(|error| bad(format!("the body is not valid JSON: {error}")))?;
    match value {
        Value::Object(members) => from_members(members),
        Value::Array(_) => Err(bad("one operation is sent at a time, not a list of them")),
        _ => Err(bad("the body is a JSON object with a `query`")),
    }
}

fn from_query(query: &str) -> Result<Received, Refused> {
    let mut members = Map::new();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let value = match name.as_ref() {
            "query" | "operationName" | "documentId" => Value::String(text.into_owned()),
            "variables" | "extensions" if text.is_empty() => continue,
            "variables" | "extensions" => parse(&name, &text)?,
            _ => continue,
        };
        if members.insert(name.to_string(), value).is_some() {
            return Err(bad(format!("`{name}` is given twice")));
        }
    }
    from_members(members)
}

fn parse(name: &str, text: &str) -> Result<Value, Refused> {
    parse_json(text.as_bytes()).map_err(|error| bad(format!("`{name}` is not valid JSON: {error}")))
}

/// Reads a GraphQL request from the members of a JSON object.
pub(super) fn from_members(mut members: Map<String, Value>) -> Result<Received, Refused> {
    let mut text = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(format!("`{name}` is a text"))),
    };
    let query = text("query")?;
    let operation_name = text("operationName")?;
    let document_id = text("documentId")?;
    let mut object = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(bad(format!("`{name}` is a JSON object"))),
    };
    let variables = object("variables")?;
    let persisted = persisted_query(object("extensions")?)?;
    let id = document_id.or(persisted);
    // A client that sends an id may send an empty text with it.
    let query = query.filter(|query| id.is_none() || !query.is_empty());
    if query.is_none() && id.is_none() {
        return Err(bad("it has no `query`"));
    }
    Ok(Received {
        query,
        id: id.map(|id| plain_id(&id).to_owned()),
        operation_name,
        variables,
    })
}

/// Returns an id without the algorithm prefix that some tools add.
pub(super) fn plain_id(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// Returns the hash of an automatic persisted query.
fn persisted_query(mut extensions: Map<String, Value>) -> Result<Option<String>, Refused> {
    let persisted = extensions.remove("persistedQuery");
    let Some(persisted) = persisted.filter(|persisted| !persisted.is_null()) else {
        return Ok(None);
    };
    if persisted["version"] != 1 {
        return Err(bad("`extensions.persistedQuery.version` is 1"));
    }
    match &persisted["sha256Hash"] {
        Value::String(hash) => Ok(Some(hash.clone())),
        _ => Err(bad("`extensions.persistedQuery.sha256Hash` is a text")),
    }
}

pub(super) fn bad(why: impl std::fmt::Display) -> Refused {
    let message = format!("This is not a GraphQL request: {why}.");
    Refused::bad(StatusCode::BAD_REQUEST, message)
}
