//! Messages per second into one group and into a hundred groups, by writers that wait for each
//! response, compared with a simple SDK loop that sends the same transactions one by one.
//!
//! `cargo run --release --example throughput -- [seconds per line]`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use cruddur::clock::Clock;
use cruddur::dev::{DataDir, DynamoDb, Postgres};
use cruddur::messaging::{Bus, Destination, Directory, Messaging, NewMessage, Viewer};
use cruddur::model::{MessageBody, MessageId};
use cruddur::store::{
    DynamoTarget, MessageStore, NewTable, NewUser, PoolSettings, UserStore, connect_database,
    connect_dynamo, create_database, migrate,
};
use tokio::time::Instant;
use uuid::Uuid;

const TABLE: &str = "throughput";
/// Maximum number of groups, each of two users.
const GROUPS: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let span = Duration::from_secs(seconds);
    let data = DataDir::temporary()?;
    let postgres = Postgres::start(&data, 0)?;
    let url = postgres.url("throughput");
    create_database(&url).await?;
    let pool = PoolSettings {
        max_connections: 4,
        acquire_timeout: span,
        ..PoolSettings::default()
    };
    let pool = connect_database(&url, pool).await?;
    migrate(&pool, None).await?;
    let users = UserStore::new(pool);
    users.create_missing(&people()).await?;

    let (_dynamodb, bare) = BareLoop::start().await?;
    let bare = bare.run(span).await?;
    println!("bare SDK loop             {bare:>7.0} transactions/s");
    for (writers, groups) in [(1, 1), (4, 1), (16, 1), (64, 1), (GROUPS, GROUPS)] {
        let rate = through_messaging(&users, writers, groups, span).await?;
        println!(
            "{writers:>3} writers, {groups:>3} groups   {rate:>7.0} messages/s  {:.2} of the bare loop",
            rate / bare
        );
    }
    Ok(())
}

/// Creates two users for each group.
fn people() -> Vec<NewUser> {
    let handles = (0..GROUPS).flat_map(|group| [format!("one-{group}"), format!("other-{group}")]);
    let new = handles.map(|handle| NewUser {
        display_name: handle.clone(),
        email: format!("{handle}@example.com"),
        cognito_user_id: Some(format!("sub-{handle}")),
        handle,
    });
    new.collect()
}

/// Starts a new DynamoDB, because the embedded one slows down with its
/// transactions.
async fn fresh() -> Result<(DynamoDb, MessageStore), Box<dyn std::error::Error>> {
    let dynamodb = DynamoDb::start(None, 0)?;
    let target = DynamoTarget::Endpoint(dynamodb.url());
    let messages = MessageStore::new(connect_dynamo(&target).await, TABLE.to_owned());
    messages.create_table(NewTable::default()).await?;
    Ok((dynamodb, messages))
}

async fn through_messaging(
    users: &UserStore,
    writers: usize,
    groups: usize,
    span: Duration,
) -> Result<f64, Box<dyn std::error::Error>> {
    let (_dynamodb, messages) = fresh().await?;
    let directory = Directory::new(users.clone(), Duration::from_secs(30));
    let messaging = Messaging::new(messages, directory, Clock::system(), Bus::local());
    let written = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|number| {
            let (messaging, written) = (messaging.clone(), Arc::clone(&written));
            let group = number % groups;
            let (from, to) = match number / groups % 2 {
                0 => (format!("sub-one-{group}"), format!("other-{group}")),
                _ => (format!("sub-other-{group}"), format!("one-{group}")),
            };
            tokio::spawn(async move {
                let loader = messaging.directory.loader();
                let Ok(Some(viewer)) = Viewer::find(&loader, &from).await else {
                    return;
                };
                while began.elapsed() < span {
                    let new = NewMessage::new(
                        MessageId(Uuid::new_v4()),
                        Destination::Receiver(to.clone()),
                        MessageBody::parse("a short text".to_owned()).expect("a body"),
                        None,
                    );
                    let deadline = Instant::now() + Duration::from_secs(10);
                    let new = new.expect("no key");
                    match messaging
                        .writer
                        .create_message(&viewer, &loader, new, deadline)
                        .await
                    {
                        Ok(_) => drop(written.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => eprintln!("{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds' work")]
    Ok(written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// Writes messages of one group with the SDK only: the transaction puts a
/// message, updates the head from its version, and replaces both rows, one
/// after the other.
struct BareLoop {
    client: aws_sdk_dynamodb::Client,
    group: String,
    owners: [String; 2],
}

impl BareLoop {
    async fn start() -> Result<(DynamoDb, Self), Box<dyn std::error::Error>> {
        let (dynamodb, _messages) = fresh().await?;
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
                "a", "b", None, None, "bench",
            ))
            .endpoint_url(dynamodb.url())
            .build();
        let bare = Self {
            client: aws_sdk_dynamodb::Client::from_conf(config),
            group: Uuid::new_v4().to_string(),
            owners: [Uuid::new_v4(), Uuid::new_v4()].map(|owner| owner.to_string()),
        };
        Ok((dynamodb, bare))
    }

    async fn run(&self, span: Duration) -> Result<f64, Box<dyn std::error::Error>> {
        let began = Instant::now();
        let mut version = 0_u32;
        while began.elapsed() < span {
            let actions = self.actions(version)?;
            let transaction = self.client.transact_write_items();
            transaction.set_transact_items(Some(actions)).send().await?;
            version += 1;
        }
        Ok(f64::from(version) / began.elapsed().as_secs_f64())
    }

    fn actions(&self, version: u32) -> Result<Vec<TransactWriteItem>, BuildError> {
        let (old, new) = (key_at(version), key_at(version + 1));
        let message = self.put(&format!("MSG#{}", self.group), &new, version)?;
        let mut actions = vec![self.update_head(version)?, message];
        for owner in &self.owners {
            let partition = format!("GRP#{owner}");
            actions.push(self.put(&partition, &new, version)?);
            actions.push(self.delete(&partition, &old)?);
        }
        Ok(actions)
    }

    fn update_head(&self, version: u32) -> Result<TransactWriteItem, BuildError> {
        let condition = match version {
            0 => "attribute_not_exists(pk)",
            _ => "#version = :expected",
        };
        let mut update = Update::builder()
            .table_name(TABLE)
            .key("pk", text(&format!("HEAD#{}", self.group)))
            .key("sk", text("HEAD"))
            .update_expression(
                "SET #version = :version, last_message_at = :last, message_count = :version, \
                 participants = :participants, read_counts = :read",
            )
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", number(version + 1))
            .expression_attribute_values(":last", text(&key_at(version + 1)))
            .expression_attribute_values(":participants", AttributeValue::Ss(self.owners.to_vec()))
            .expression_attribute_values(":read", self.read_counts(version));
        if version > 0 {
            update = update.expression_attribute_values(":expected", number(version));
        }
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    }

    fn read_counts(&self, version: u32) -> AttributeValue {
        let counts = self
            .owners
            .iter()
            .map(|owner| (owner.clone(), number(version)));
        AttributeValue::M(counts.collect())
    }

    fn put(&self, pk: &str, sk: &str, seq: u32) -> Result<TransactWriteItem, BuildError> {
        let put = Put::builder()
            .table_name(TABLE)
            .item("pk", text(pk))
            .item("sk", text(sk))
            .item("message", text("a short text"))
            .item("message_uuid", text(&Uuid::new_v4().to_string()))
            .item("message_group_uuid", text(&self.group))
            .item("user_uuid", text(&self.owners[0]))
            .item("user_handle", text("one"))
            .item("user_display_name", text("one"))
            .item("seq", number(seq + 1))
            .condition_expression("attribute_not_exists(pk)")
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn delete(&self, pk: &str, sk: &str) -> Result<TransactWriteItem, BuildError> {
        let delete = Delete::builder()
            .table_name(TABLE)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .condition_expression("attribute_not_exists(pk) OR message_group_uuid = :group")
            .expression_attribute_values(":group", text(&self.group))
            .build()?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

fn key_at(version: u32) -> String {
    format!("2026-11-22T06:29:{version:014}+00:00")
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u32) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
