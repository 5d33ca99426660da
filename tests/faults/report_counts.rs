//! Tests of the report: it counts each kind of damage of a table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::harness::checker::{self, TableItems, number, text};
use crate::harness::{TABLE, start};
use crate::load::{Load, pairs};
use crate::report::Report;

type Item = HashMap<String, AttributeValue>;

async fn put(client: &Client, mut item: Item, changes: &[(&str, AttributeValue)]) {
    let changes = changes.iter().cloned();
    item.extend(changes.map(|(name, value)| (name.to_owned(), value)));
    let put = client.put_item().table_name(TABLE);
    put.set_item(Some(item)).send().await.expect("an item");
}

async fn delete(client: &Client, item: &Item) {
    let delete = client.delete_item().table_name(TABLE);
    let delete = delete.key("pk", item["pk"].clone());
    let delete = delete.key("sk", item["sk"].clone());
    delete.send().await.expect("it is gone");
}

/// Returns a group with three messages and two rows.
fn group(found: &TableItems, writer: usize) -> ([Item; 3], [Item; 2]) {
    let by = format!("of writer {writer}");
    let mut groups = found.messages.iter();
    let (group, messages) = groups
        .find(|(_, messages)| text(&messages[0], "message").ends_with(&by))
        .expect("a group");
    let rows = found.rows[group].iter().map(|(_, row)| row.clone());
    let rows: Vec<Item> = rows.collect();
    let three = messages.clone().try_into().expect("three messages");
    (three, rows.try_into().expect("two rows"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_counts_each_kind_of_damage() {
    let cruddur = start().await;
    let pairs = pairs(&cruddur, 6).await;
    let sent = Load::new(vec![cruddur.url.clone()], pairs, 6, 3)
        .run(&cruddur)
        .await;
    assert_eq!(Report::read(&cruddur.dynamo.url, &sent).await.wrong(), 0);
    let client = checker::client(&cruddur.dynamo.url);
    let found = checker::read(&client).await;

    // Without the first message, two numbers are wrong.
    delete(&client, &group(&found, 0).0[0]).await;
    // One message is stored twice, as if it had been sent twice.
    let mut twin = group(&found, 1).0[1].clone();
    twin.remove("seq");
    let place = [
        (
            "sk",
            AttributeValue::S("2000-01-01T00:00:00.000000+00:00".to_owned()),
        ),
        ("message_uuid", AttributeValue::S("another".to_owned())),
    ];
    put(&client, twin, &place).await;
    // The first and the second message are swapped.
    let ([first, second, _], _) = group(&found, 2);
    for (item, other) in [(&first, &second), (&second, &first)] {
        let changes = ["message", "message_uuid"].map(|name| (name, other[name].clone()));
        put(&client, item.clone(), &changes).await;
    }
    // A wrong preview, a wrong unread count, and a missing row.
    let (_, [row, _]) = group(&found, 3);
    let stale = AttributeValue::S("stale".to_owned());
    put(&client, row, &[("message", stale)]).await;
    let (_, [row, _]) = group(&found, 4);
    let unread = AttributeValue::N((number(&row, "unread_count") + 1).to_string());
    put(&client, row, &[("unread_count", unread)]).await;
    delete(&client, &group(&found, 5).1[0]).await;

    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    let expected = Report {
        sent: 18,
        attempts: report.attempts,
        acknowledged: 18,
        found: 18,
        lost: 1,
        duplicated: 1,
        out_of_order: 1,
        gaps: 2,
        wrong_previews: 2,
        wrong_unread_counts: 1,
    };
    assert_eq!(report, expected);
}
