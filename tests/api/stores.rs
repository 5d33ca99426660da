//! The table: its creation and comparison, and the health of both stores.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, KeySchemaElement, KeyType, ProvisionedThroughput, ScalarAttributeType,
};
use cruddur::store::{MessageStore, TableStatus, connect_dynamo};

use crate::harness::{TABLE, checker, start, wait_until};

#[tokio::test]
async fn table_definition_is_the_originals_with_item_expiry() {
    let cruddur = start().await;
    let client = checker::client(&cruddur.dynamo.url);

    let found = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .expect("a table")
        .table
        .expect("a table");
    let key = |elements: &[KeySchemaElement]| {
        elements
            .iter()
            .map(|part| format!("{} {}", part.attribute_name, part.key_type))
            .collect::<Vec<_>>()
    };
    assert_eq!(key(found.key_schema()), ["pk HASH", "sk RANGE"]);
    let index = &found.global_secondary_indexes()[0];
    assert_eq!(index.index_name(), Some("message-group-sk-index"));
    assert_eq!(
        key(index.key_schema()),
        ["message_group_uuid HASH", "sk RANGE"]
    );
    assert_eq!(
        found
            .provisioned_throughput()
            .and_then(|throughput| throughput.write_capacity_units),
        Some(5)
    );
    let expiry = client
        .describe_time_to_live()
        .table_name(TABLE)
        .send()
        .await
        .expect("a response");
    let expiry = expiry.time_to_live_description.expect("a description");
    assert_eq!(expiry.attribute_name(), Some("expires_at"));
    assert_eq!(
        cruddur.messages.table_status().await.expect("a status"),
        TableStatus::AsExpected { has_stream: false }
    );
}

#[tokio::test]
async fn table_with_another_definition_is_detected() {
    let cruddur = start().await;
    let client = checker::client(&cruddur.dynamo.url);
    let throughput = ProvisionedThroughput::builder()
        .read_capacity_units(1)
        .write_capacity_units(1)
        .build()
        .expect("a throughput");
    client
        .create_table()
        .table_name("other")
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("id")
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("a definition"),
        )
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name("id")
                .key_type(KeyType::Hash)
                .build()
                .expect("a key"),
        )
        .provisioned_throughput(throughput)
        .send()
        .await
        .expect("a table");
    let target = cruddur::store::DynamoTarget::Endpoint(cruddur.dynamo.url.clone());
    let store = |name: &str| {
        let (target, name) = (target.clone(), name.to_owned());
        async move { MessageStore::new(connect_dynamo(&target).await, name) }
    };

    let other = store("other").await.table_status().await.expect("a status");
    insta::assert_debug_snapshot!(other, @r#"
    Different(
        [
            "the key is [id HASH] and should be [pk HASH, sk RANGE]",
            "the key of the index message-group-sk-index is [] and should be [message_group_uuid HASH, sk RANGE]",
        ],
    )
    "#);
    assert_eq!(
        store("absent")
            .await
            .table_status()
            .await
            .expect("a status"),
        TableStatus::Missing
    );
}

#[tokio::test]
async fn health_check_distinguishes_the_process_from_its_stores() {
    let cruddur = start().await;
    let execute = |path: &str| cruddur.http.get(format!("{}{path}", cruddur.url)).send();

    assert_eq!(execute("/healthz").await.expect("a response").status(), 200);
    cruddur.dynamo.calls();
    let ready = execute("/readyz").await.expect("a response");
    assert_eq!(ready.status(), 200);
    assert_eq!(cruddur.dynamo.calls(), ["GetItem"], "as requests read");
    assert_eq!(
        ready.text().await.expect("a text"),
        r#"{"dynamodb":true,"postgres":true}"#
    );

    cruddur.postgres.cut(true);
    wait_until("only Postgres is not ready", async || {
        let response = execute("/readyz").await.expect("a response");
        let is_unavailable = response.status() == 503;
        let report = response.text().await.expect("a text");
        is_unavailable && report == r#"{"dynamodb":true,"postgres":false}"#
    })
    .await;
    assert_eq!(execute("/healthz").await.expect("a response").status(), 200);
}
