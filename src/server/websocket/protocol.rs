//! The messages of `graphql-transport-ws`.

use async_graphql::{Response, ServerError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::close::Close;
use crate::server::received::{Received, from_members};

/// The most bytes of an operation's id.
const LONGEST_ID: usize = 1024;

/// What a client says.
pub(super) enum ClientMessage {
    ConnectionInit { payload: Map<String, Value> },
    Ping { payload: Option<Value> },
    Pong,
    Subscribe { id: String, payload: Box<Received> },
    Complete { id: String },
}

/// What a server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Value>,
    },
    Next {
        id: &'a str,
        payload: &'a Response,
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
    /// As it is sent.
    pub fn text(&self) -> String {
        // Nothing in an answer is other than JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl ClientMessage {
    /// The message that a text is.
    pub fn parse(text: &str) -> Result<Self, Close> {
        let message = serde_json::from_str(text)
            .map_err(|error| Close::bad(format!("Invalid JSON: {error}")))?;
        let Value::Object(mut message) = message else {
            return Err(Close::bad("A message is a JSON object"));
        };
        let kind = message.remove("type");
        match kind.as_ref().map(Value::as_str) {
            Some(Some("connection_init")) => Ok(Self::ConnectionInit {
                payload: object(&mut message)?.unwrap_or_default(),
            }),
            Some(Some("ping")) => {
                let payload = object(&mut message)?.map(Value::Object);
                Ok(Self::Ping { payload })
            }
            Some(Some("pong")) => object(&mut message).map(|_| Self::Pong),
            Some(Some("subscribe")) => Ok(Self::Subscribe {
                id: id(&mut message)?,
                payload: Box::new(received(&mut message)?),
            }),
            Some(Some("complete")) => Ok(Self::Complete {
                id: id(&mut message)?,
            }),
            Some(Some(unknown)) => Err(Close::bad(format!("Unknown `type`: {unknown:?}"))),
            Some(None) => Err(Close::bad("`type` is a text")),
            None => Err(Close::bad("`type` is missing")),
        }
    }
}

fn id(message: &mut Map<String, Value>) -> Result<String, Close> {
    match message.remove("id") {
        None => Err(Close::bad("`id` is missing")),
        Some(Value::String(id)) if id.is_empty() => Err(Close::bad("`id` is empty")),
        Some(Value::String(id)) if id.len() > LONGEST_ID => {
            Err(Close::bad(format!("`id` has at most {LONGEST_ID} bytes")))
        }
        Some(Value::String(id)) => Ok(id),
        Some(_) => Err(Close::bad("`id` is a text")),
    }
}

fn object(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, Close> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err(Close::bad("`payload` is a JSON object")),
    }
}

fn received(message: &mut Map<String, Value>) -> Result<Received, Close> {
    let payload = object(message)?.ok_or_else(|| Close::bad("`payload` is missing"))?;
    from_members(payload).map_err(|refused| Close::bad(refused.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal_of(text: &str) -> String {
        let close = ClientMessage::parse(text).err().expect("it is refused");
        let frame = close.frame().expect("a frame");
        assert_eq!(frame.code, 4400, "{text}");
        frame.reason.as_str().to_owned()
    }

    #[test]
    fn a_reason_says_what_is_wrong_with_a_message() {
        for (text, expected) in [
            ("[]", "A message is a JSON object"),
            ("{}", "`type` is missing"),
            (r#"{"type":1}"#, "`type` is a text"),
            (r#"{"type":"start"}"#, "Unknown `type`: \"start\""),
            (
                r#"{"type":"ping","payload":1}"#,
                "`payload` is a JSON object",
            ),
            (r#"{"type":"complete"}"#, "`id` is missing"),
            (r#"{"type":"complete","id":""}"#, "`id` is empty"),
            (r#"{"type":"subscribe","id":1}"#, "`id` is a text"),
            (r#"{"type":"subscribe","id":"1"}"#, "`payload` is missing"),
            (
                r#"{"type":"subscribe","id":"1","payload":{}}"#,
                "This is not a GraphQL request: it has no `query`.",
            ),
        ] {
            assert_eq!(refusal_of(text), expected, "{text}");
        }
        assert!(refusal_of("{").starts_with("Invalid JSON: "));
    }

    #[test]
    fn nothing_is_made_of_a_payload_that_is_null() {
        for text in [
            r#"{"type":"connection_init","payload":null}"#,
            r#"{"type":"ping","payload":null}"#,
            r#"{"type":"pong"}"#,
        ] {
            assert!(ClientMessage::parse(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_message_or_refused(text in any::<String>()) {
            let _ = ClientMessage::parse(&text).map_err(|close| close.frame());
        }

        #[test]
        fn any_members_are_a_message_or_refused(
            kind in "(connection_init|ping|pong|subscribe|complete)",
            id in r#"(null|1|""|"a"|\[\]|\{\})"#,
            payload in r#"(null|1|""|\[\]|\{\}|\{"query":1\}|\{"query":"\{a\}","variables":[12]\})"#,
        ) {
            let text = format!(r#"{{"type":"{kind}","id":{id},"payload":{payload}}}"#);
            let _ = ClientMessage::parse(&text).map_err(|close| close.frame());
        }
    }
}
