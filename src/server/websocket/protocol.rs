//! The messages of `graphql-transport-ws`.

use std::collections::HashMap;

use async_graphql::{Response, ServerError};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::close::Close;
use crate::schema::response_json;
use crate::server::json::{InvalidJson, parse_json};
use crate::server::rejection::Rejection;
use crate::server::request::{RequestParameters, from_members, invalid_request, parse};

/// Maximum size of an operation's ID in bytes. The server repeats the ID in each message of the
/// operation. Clients use UUIDs or short numbers.
const MAX_ID_BYTES: usize = 1024;

/// A message from the client.
pub(super) enum ClientMessage {
    ConnectionInit {
        payload: Map<String, Value>,
    },
    Ping {
        payload: Option<Box<RawValue>>,
    },
    Pong,
    /// The payload may be invalid: this ends the operation, but not the WebSocket.
    Subscribe {
        id: String,
        payload: Box<Result<RequestParameters, Rejection>>,
    },
    Complete {
        id: String,
    },
}

/// A message from the server, except [`next_message`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Box<RawValue>>,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    /// Serializes the message.
    pub fn text(&self) -> String {
        // A response contains only JSON values, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Creates a `next` message: a response of an operation.
pub(super) fn next_message(id: &str, response: &Response) -> String {
    let id = serde_json::to_string(id).unwrap_or_default();
    let payload = response_json(response);
    let message = [
        br#"{"type":"next","id":"#,
        id.as_bytes(),
        br#","payload":"#,
        &payload,
        b"}",
    ];
    // JSON is UTF-8, so this cannot fail.
    String::from_utf8(message.concat()).unwrap_or_default()
}

/// The members of a message, whose values are not parsed yet. JSON texts can contain values that
/// cannot be represented here, such as a lone surrogate.
type Members<'a> = HashMap<String, &'a RawValue>;

impl ClientMessage {
    /// Parses a client message.
    ///
    /// A `subscribe` message with a valid ID is accepted even if its payload is invalid or the
    /// message is larger than `max_bytes` bytes; both end only its operation. Any other message that
    /// is larger closes the WebSocket.
    pub fn parse(text: &str, max_bytes: usize) -> Result<Self, Close> {
        let members = members(text)?;
        let kind = match members.get("type") {
            None => return Err(Close::bad("`type` is missing")),
            Some(kind) => string(kind).ok_or_else(|| Close::bad("`type` must be a string"))?,
        };
        let is_too_large = text.len() > max_bytes;
        match kind.as_str() {
            "subscribe" if is_too_large => Ok(Self::Subscribe {
                id: id(&members)?,
                payload: Box::new(Err(too_large(max_bytes))),
            }),
            _ if is_too_large => Err(Close::TooLarge(max_bytes)),
            "connection_init" => Ok(Self::ConnectionInit {
                payload: init_payload(&members)?,
            }),
            "ping" => Ok(Self::Ping {
                payload: object(&members)?.map(ToOwned::to_owned),
            }),
            "pong" => object(&members).map(|_| Self::Pong),
            "subscribe" => Ok(Self::Subscribe {
                id: id(&members)?,
                payload: Box::new(parameters(&members)),
            }),
            "complete" => Ok(Self::Complete { id: id(&members)? }),
            unknown => Err(Close::bad(format!("Unknown `type`: {unknown:?}"))),
        }
    }
}

fn members(text: &str) -> Result<Members<'_>, Close> {
    parse_json(text.as_bytes()).map_err(|error| match error {
        InvalidJson::OtherType => Close::bad("A message must be a JSON object"),
        error => Close::bad(format!("Invalid JSON: {error}")),
    })
}

fn too_large(max_bytes: usize) -> Rejection {
    let message = format!("The message exceeds the limit of {max_bytes} bytes.");
    Rejection::bad_request(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn id(members: &Members) -> Result<String, Close> {
    let missing = || Close::bad("`id` is missing");
    match string(members.get("id").ok_or_else(missing)?) {
        Some(id) if id.is_empty() => Err(Close::bad("`id` is empty")),
        Some(id) if id.len() > MAX_ID_BYTES => Err(Close::bad(format!(
            "`id` exceeds the limit of {MAX_ID_BYTES} bytes"
        ))),
        Some(id) => Ok(id),
        None => Err(Close::bad("`id` must be a string")),
    }
}

/// Returns the payload, or `None` if it is missing or `null`.
fn payload<'a>(members: &Members<'a>) -> Option<&'a RawValue> {
    let payload = members.get("payload").copied();
    payload.filter(|payload| payload.get() != "null")
}

fn object<'a>(members: &Members<'a>) -> Result<Option<&'a RawValue>, Close> {
    match payload(members) {
        Some(payload) if !payload.get().starts_with('{') => {
            Err(Close::bad("`payload` must be a JSON object"))
        }
        payload => Ok(payload),
    }
}

fn init_payload(members: &Members) -> Result<Map<String, Value>, Close> {
    let Some(payload) = object(members)? else {
        return Ok(Map::new());
    };
    parse_json(payload.get().as_bytes())
        .map_err(|error| Close::bad(format!("`payload` is not valid JSON: {error}")))
}

fn parameters(members: &Members) -> Result<RequestParameters, Rejection> {
    let payload = payload(members).ok_or_else(|| invalid_request("`payload` is missing"))?;
    match parse("`payload`", payload.get().as_bytes())? {
        Value::Object(payload) => from_members(payload),
        _ => Err(invalid_request("`payload` must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: usize = 64 * 1024;

    fn close_reason_of(text: &str) -> String {
        let close = ClientMessage::parse(text, MAX_BYTES)
            .err()
            .expect("a rejection");
        let frame = close.frame().expect("a frame");
        assert_eq!(frame.code, 4400, "{text}");
        frame.reason.as_str().to_owned()
    }

    #[test]
    fn close_reason_names_the_invalid_part_of_a_message() {
        for (text, expected) in [
            ("[]", "A message must be a JSON object"),
            ("{}", "`type` is missing"),
            (r#"{"type":1}"#, "`type` must be a string"),
            (r#"{"type":"start"}"#, "Unknown `type`: \"start\""),
            (
                r#"{"type":"ping","payload":1}"#,
                "`payload` must be a JSON object",
            ),
            (r#"{"type":"complete"}"#, "`id` is missing"),
            (r#"{"type":"complete","id":""}"#, "`id` is empty"),
            (r#"{"type":"subscribe","id":1}"#, "`id` must be a string"),
        ] {
            assert_eq!(close_reason_of(text), expected, "{text}");
        }
        assert!(close_reason_of("{").starts_with("Invalid JSON: "));
    }

    #[test]
    fn invalid_payload_of_subscribe_is_an_error_of_that_operation() {
        let deep = format!(
            r#""variables":{{"a":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        let not_json = "`payload` is not valid JSON";
        let payloads = [
            ("null", "`payload` is missing"),
            ("1", "`payload` must be a JSON object"),
            ("[]", "`payload` must be a JSON object"),
            (r#""{}""#, "`payload` must be a JSON object"),
            ("{}", "`query` is missing"),
            (r#"{"query":1}"#, "`query` must be a string"),
        ];
        let payloads = payloads.map(|(payload, expected)| (payload.to_owned(), expected));
        let members = [
            (r#""operationName":1"#, "`operationName` must be a string"),
            (r#""variables":[1]"#, "`variables` must be a JSON object"),
            (r#""extensions":"x""#, "`extensions` must be a JSON object"),
            (r#""variables":{"a":"hi \ud83d"}"#, not_json),
            (r#""variables":{"a":"\ude00\ud83d"}"#, not_json),
            (r#""variables":{"\ud83d":1}"#, not_json),
            (r#""variables":{"a":1e999}"#, not_json),
            (&deep, not_json),
        ];
        let members = members.map(|(member, expected)| {
            let payload = format!(r#"{{"query":"{{ viewer {{ handle }} }}",{member}}}"#);
            (payload, expected)
        });
        for (payload, expected) in payloads.into_iter().chain(members) {
            let text = format!(r#"{{"type":"subscribe","id":"7","payload": {payload} }}"#);
            let Ok(ClientMessage::Subscribe { id, payload }) =
                ClientMessage::parse(&text, MAX_BYTES)
            else {
                panic!("no operation: {text}");
            };
            let rejection = payload.err().expect("it is invalid");
            let message = &rejection.errors()[0].message;
            assert!(id == "7" && message.contains(expected), "{message} {text}");
        }
    }

    #[test]
    fn ping_payload_is_returned_unchanged() {
        let text = r#"{"type":"ping","payload":{"half": "\ud83d"}}"#;
        let Ok(ClientMessage::Ping { payload }) = ClientMessage::parse(text, MAX_BYTES) else {
            panic!("no ping");
        };
        let pong = ServerMessage::Pong { payload }.text();
        assert_eq!(pong, r#"{"type":"pong","payload":{"half": "\ud83d"}}"#);
    }

    #[test]
    fn null_payload_counts_as_missing() {
        for text in [
            r#"{"type":"connection_init","payload":null}"#,
            r#"{"type":"ping","payload":null}"#,
            r#"{"type":"pong"}"#,
        ] {
            assert!(ClientMessage::parse(text, MAX_BYTES).is_ok(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::random::config())]

        #[test]
        fn random_text_is_a_message_or_rejected(text in any::<String>()) {
            let _ = ClientMessage::parse(&text, MAX_BYTES).map_err(|close| close.frame());
        }

        #[test]
        fn random_members_are_a_message_or_rejected(
            kind in "(connection_init|ping|pong|subscribe|complete)",
            id in r#"(null|1|""|"a"|\[\]|\{\})"#,
            payload in r#"(null|1|""|\[\]|\{\}|\{"query":1\}|\{"query":"\{a\}","variables":[12]\})"#,
        ) {
            let text = format!(r#"{{"type":"{kind}","id":{id},"payload":{payload}}}"#);
            let _ = ClientMessage::parse(&text, MAX_BYTES).map_err(|close| close.frame());
        }
    }
}
