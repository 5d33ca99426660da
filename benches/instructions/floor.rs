//! The floor, a minimal server: axum and the AWS SDK, without GraphQL, tokens, users or business
//! rules.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::AnyError;
use super::dynamodb::{Replay, group, user};

const TABLE: &str = "cruddur-messages";

type Item = HashMap<String, AttributeValue>;

struct Floor {
    client: Client,
    clock: AtomicU64,
}

#[derive(Deserialize)]
struct Parameters {
    user: Option<String>,
    group: Option<String>,
}

type Answer = Result<Json<Value>, (StatusCode, String)>;

fn failed(error: impl std::fmt::Debug) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, format!("{error:?}"))
}

/// The routes of the floor.
pub fn router() -> Router {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "static"))
        .endpoint_url("http://127.0.0.1:8000")
        .http_client(Replay::new());
    let floor = Floor {
        client: Client::from_conf(config.build()),
        clock: AtomicU64::new(0),
    };
    Router::new()
        .route("/message_groups", get(message_groups))
        .route("/messages", get(messages).post(create_message))
        .with_state(Arc::new(floor))
}

/// A request of a workload.
pub fn request(workload: &str, number: u64) -> Result<Request<Body>, AnyError> {
    let (viewer, group) = (user(0), group(1));
    Ok(match workload {
        "W1" => Request::get(format!("/message_groups?user={viewer}")).body(Body::empty())?,
        "W2" => Request::get(format!("/messages?group={group}")).body(Body::empty())?,
        _ => Request::post(format!("/messages?group={group}&user={viewer}"))
            .body(Body::from(format!("message {number} of the benchmark")))?,
    })
}

impl Floor {
    async fn newest(&self, partition: String) -> Result<QueryOutput, (StatusCode, String)> {
        let query = self.client.query().table_name(TABLE);
        query
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .scan_index_forward(false)
            .limit(21)
            .send()
            .await
            .map_err(failed)
    }

    async fn participants(&self, group: &str) -> Result<QueryOutput, (StatusCode, String)> {
        let query = self.client.query().table_name(TABLE);
        query
            .index_name("message-group-sk-index")
            .key_condition_expression("message_group_uuid = :group")
            .expression_attribute_values(":group", AttributeValue::S(group.to_owned()))
            .send()
            .await
            .map_err(failed)
    }
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map_or("", String::as_str)
}

async fn message_groups(
    State(floor): State<Arc<Floor>>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let partition = format!("GRP#{}", parameters.user.unwrap_or_default());
    let page = floor.newest(partition).await?;
    let rows = page.items().iter().take(20).map(|item| {
        json!({
            "uuid": text(item, "message_group_uuid"),
            "lastMessageAt": text(item, "sk"),
            "otherUser": { "handle": text(item, "user_handle"), "displayName": text(item, "user_display_name") },
            "lastMessage": { "body": text(item, "message"), "senderUuid": text(item, "sender_uuid") },
        })
    });
    Ok(Json(rows.collect()))
}

async fn messages(State(floor): State<Arc<Floor>>, Query(parameters): Query<Parameters>) -> Answer {
    let group = parameters.group.unwrap_or_default();
    let newest = floor.newest(format!("MSG#{group}"));
    let (_, page) = tokio::try_join!(floor.participants(&group), newest)?;
    let rows = page.items().iter().take(20).rev().map(|item| {
        json!({
            "uuid": text(item, "message_uuid"),
            "body": text(item, "message"),
            "createdAt": text(item, "sk"),
            "sender": { "handle": text(item, "user_handle"), "displayName": text(item, "user_display_name") },
        })
    });
    Ok(Json(rows.collect()))
}

async fn create_message(
    State(floor): State<Arc<Floor>>,
    Query(parameters): Query<Parameters>,
    body: String,
) -> Answer {
    let group = parameters.group.unwrap_or_default();
    let sender = parameters.user.unwrap_or_default();
    let rows = floor.participants(&group).await?.items.unwrap_or_default();
    let own = format!("GRP#{sender}");
    let me = rows.iter().find(|row| text(row, "pk") != own);
    let me = me.ok_or_else(|| failed("the group has no other row"))?;
    let uuid = Uuid::new_v4().to_string();
    let at = format!(
        "2026-11-27T01:00:00.{:06}+00:00",
        floor.clock.fetch_add(1, Ordering::Relaxed)
    );
    let string = |value: &str| AttributeValue::S(value.to_owned());
    let message = Item::from([
        ("pk".to_owned(), AttributeValue::S(format!("MSG#{group}"))),
        ("sk".to_owned(), string(&at)),
        ("message_uuid".to_owned(), string(&uuid)),
        ("message".to_owned(), string(&body)),
        ("user_uuid".to_owned(), string(&sender)),
        ("user_handle".to_owned(), string(text(me, "user_handle"))),
        (
            "user_display_name".to_owned(),
            string(text(me, "user_display_name")),
        ),
    ]);
    let mut actions = vec![put(message).map_err(failed)?];
    for row in &rows {
        let mut moved = row.clone();
        moved.insert("sk".to_owned(), string(&at));
        moved.insert("message".to_owned(), string(&body));
        moved.insert("message_uuid".to_owned(), string(&uuid));
        moved.insert("sender_uuid".to_owned(), string(&sender));
        actions.push(delete(row).map_err(failed)?);
        actions.push(put(moved).map_err(failed)?);
    }
    let transaction = floor.client.transact_write_items();
    let sent = transaction.set_transact_items(Some(actions)).send().await;
    sent.map_err(failed)?;
    Ok(Json(
        json!({ "message": { "uuid": uuid, "body": body, "createdAt": at } }),
    ))
}

fn put(item: Item) -> Result<TransactWriteItem, BuildError> {
    let put = Put::builder()
        .table_name(TABLE)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)");
    Ok(TransactWriteItem::builder().put(put.build()?).build())
}

fn delete(row: &Item) -> Result<TransactWriteItem, BuildError> {
    let key = |name: &str| row.get(name).cloned().map(|value| (name.to_owned(), value));
    let delete = Delete::builder()
        .table_name(TABLE)
        .set_key(Some(["pk", "sk"].into_iter().filter_map(key).collect()))
        .condition_expression("attribute_exists(pk)");
    Ok(TransactWriteItem::builder().delete(delete.build()?).build())
}
