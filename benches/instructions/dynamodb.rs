//! A simulated DynamoDB that replaces the SDK's HTTP client: each operation has
//! a prepared response, so that its own cost is minimal.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use uuid::Uuid;

/// Number of users besides the viewer. Each has one group with the viewer.
pub const OTHERS: u128 = 21;

/// Returns the user with a number. The viewer is number 0.
pub fn user(number: u128) -> Uuid {
    Uuid::from_u128(0x6f25_ee5f_8b49_4dc6_8a52_0000_0000_0000 + number)
}

pub fn handle(number: u128) -> String {
    format!("user{number:05}")
}

pub fn display_name(number: u128) -> String {
    format!("User Number {number:05}")
}

/// Returns the viewer's group with another user.
pub fn group(other: u128) -> Uuid {
    Uuid::from_u128(0x1c2b_3a49_5867_4786_9504_0000_0000_0000 + other)
}

/// The responses of a table of 21 groups.
#[derive(Clone)]
pub struct Replay {
    responses: Arc<Responses>,
}

struct Responses {
    rows: Page,
    messages: Page,
    participants: Vec<u8>,
    head: Vec<u8>,
}

/// The response to a `Query`.
struct Page {
    whole: Vec<u8>,
    /// The response to a `Query` with a projection, which omits only `pk`.
    projected: Vec<u8>,
}

impl Page {
    fn new(mut items: Vec<Value>) -> Self {
        let whole = page(&items);
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.remove("pk");
        }
        let projected = page(&items);
        Self { whole, projected }
    }
}

fn page(items: &[Value]) -> Vec<u8> {
    let count = items.len();
    let page = json!({ "Items": items, "Count": count, "ScannedCount": count });
    page.to_string().into_bytes()
}

impl Replay {
    pub fn new() -> Self {
        let rows = (1..=OTHERS).map(|other| row(0, other)).collect();
        let messages = (0..OTHERS).rev().map(message).collect();
        let responses = Responses {
            rows: Page::new(rows),
            messages: Page::new(messages),
            participants: page(&[row(0, 1), row(1, 0)]),
            head: json!({ "Item": head() }).to_string().into_bytes(),
        };
        Self {
            responses: Arc::new(responses),
        }
    }

    fn respond(&self, request: &HttpRequest) -> Vec<u8> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let asks_for = |prefix: &[u8]| body.windows(prefix.len()).any(|part| part == prefix);
        let responses = &self.responses;
        let of_page = |page: &Page| {
            let is_projected = asks_for(b"\"ProjectionExpression\"");
            let found = if is_projected {
                &page.projected
            } else {
                &page.whole
            };
            found.clone()
        };
        match target.rsplit('.').next().unwrap_or_default() {
            "Query" if asks_for(b"\"GRP#") => of_page(&responses.rows),
            "Query" if asks_for(b"\"MSG#") => of_page(&responses.messages),
            "Query" => responses.participants.clone(),
            "GetItem" => responses.head.clone(),
            _ => b"{}".to_vec(),
        }
    }
}

fn time(number: u128) -> String {
    format!("2026-11-27T00:58:39.{:06}+00:00", 637_000 + number)
}

fn body(number: u128) -> String {
    format!("{number} river window quiet orange signal paper garden market winter")
}

fn row(owner: u128, other: u128) -> Value {
    let number = owner.max(other);
    json!({
        "pk": { "S": format!("GRP#{}", user(owner)) },
        "sk": { "S": time(OTHERS - number) },
        "message_group_uuid": { "S": group(number) },
        "message": { "S": body(number) },
        "user_uuid": { "S": user(other) },
        "user_handle": { "S": handle(other) },
        "user_display_name": { "S": display_name(other) },
        "message_uuid": { "S": Uuid::from_u128(number + 1) },
        "sender_uuid": { "S": user(if number.is_multiple_of(2) { owner } else { other }) },
        "seq": { "N": "200" },
        "unread_count": { "N": "0" },
    })
}

fn message(number: u128) -> Value {
    let sender = number % 2;
    json!({
        "pk": { "S": format!("MSG#{}", group(1)) },
        "sk": { "S": time(number) },
        "message_uuid": { "S": Uuid::from_u128(number + 1) },
        "message": { "S": body(number) },
        "user_uuid": { "S": user(sender) },
        "user_handle": { "S": handle(sender) },
        "user_display_name": { "S": display_name(sender) },
        "seq": { "N": (180 + number).to_string() },
    })
}

fn head() -> Value {
    json!({
        "pk": { "S": format!("HEAD#{}", group(1)) },
        "sk": { "S": "HEAD" },
        "version": { "N": "200" },
        "participants": { "SS": [user(0), user(1)] },
        "last_message_at": { "S": time(OTHERS - 1) },
        "message_count": { "N": "200" },
        "read_counts": { "M": { user(0).to_string(): { "N": "200" }, user(1).to_string(): { "N": "200" } } },
    })
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = self.respond(&request);
        let status = 200.try_into();
        HttpConnectorFuture::new(async move {
            // As with a socket, no response is ready immediately.
            tokio::task::yield_now().await;
            let status = status.map_err(|error| ConnectorError::other(Box::new(error), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(response)))
        })
    }
}

impl HttpClient for Replay {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
