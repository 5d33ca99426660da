//! Writes a table as the original's services and scripts did, with their
//! errors.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use cruddur::model::User;
use uuid::Uuid;

use super::TABLE;

/// A group of the original: a random UUID, no head, no numbers.
#[derive(Clone, Debug)]
pub struct OriginalGroup {
    pub uuid: Uuid,
    pub pair: [User; 2],
    /// Keys as stored, and texts, in the order of writing.
    pub messages: Vec<(String, String)>,
}

/// Writes with `PutItem`, as the original did.
pub struct Original {
    client: Client,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "its calls are shorter with values than with references"
)]
fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

impl Original {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes a complete group: each message, and a row for each user at the
    /// newest message.
    pub async fn conversation(&self, pair: [&User; 2], times: &[&str]) -> OriginalGroup {
        let mut group = OriginalGroup {
            uuid: Uuid::new_v4(),
            pair: pair.map(Clone::clone),
            messages: Vec::new(),
        };
        for (number, time) in times.iter().enumerate() {
            let body = format!("original {}", number + 1);
            self.message(&mut group, number % 2, time, &body).await;
        }
        if let Some((newest, body)) = group.messages.last().cloned() {
            self.row(&group, 0, &newest, &body).await;
            self.row(&group, 1, &newest, &body).await;
        }
        group
    }

    /// Writes a message of one of the two users to `MSG#<group>`.
    pub async fn message(&self, group: &mut OriginalGroup, sender: usize, time: &str, body: &str) {
        let sender = &group.pair[sender];
        self.put([
            ("pk", text(format!("MSG#{}", group.uuid))),
            ("sk", text(time)),
            ("message", text(body)),
            ("message_uuid", text(Uuid::new_v4())),
            ("user_uuid", text(sender.id.to_string())),
            ("user_display_name", text(&sender.display_name)),
            ("user_handle", text(&sender.handle)),
        ])
        .await;
        group.messages.push((time.to_owned(), body.to_owned()));
    }

    /// Writes the row of one of the two users to `GRP#<owner>`, with any
    /// preview.
    pub async fn row(&self, group: &OriginalGroup, owner: usize, time: &str, preview: &str) {
        let (owner, other) = (&group.pair[owner], &group.pair[1 - owner]);
        self.put([
            ("pk", text(format!("GRP#{}", owner.id))),
            ("sk", text(time)),
            ("message_group_uuid", text(group.uuid)),
            ("message", text(preview)),
            ("user_uuid", text(other.id.to_string())),
            ("user_display_name", text(&other.display_name)),
            ("user_handle", text(&other.handle)),
        ])
        .await;
    }

    pub async fn delete_row(&self, group: &OriginalGroup, owner: usize, time: &str) {
        self.client
            .delete_item()
            .table_name(TABLE)
            .key("pk", text(format!("GRP#{}", group.pair[owner].id)))
            .key("sk", text(time))
            .send()
            .await
            .expect("a deleted row");
    }

    /// Writes an item that the original does not write.
    pub async fn put<const N: usize>(&self, attributes: [(&str, AttributeValue); N]) {
        let item = attributes.map(|(name, value)| (name.to_owned(), value));
        self.client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item.into()))
            .send()
            .await
            .expect("an item");
    }
}
