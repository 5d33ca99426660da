//! Messages a second into one group, by writers that each wait for their
//! answer, beside a bare SDK loop that does the same transactions one by one.
//!
//! `cargo run --release --example throughput -- [seconds per line]`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use cruddur::clock::Clock;
use cruddur::dev::{DataDir, DynamoDb, Postgres};
use cruddur::messaging::{Bus, Destination, Directory, Messaging, NewMessage};
use cruddur::model::{MessageBody, MessageId};
use cruddur::store::{
    DynamoTarget, MessageStore, NewTable, NewUser, PoolSettings, UserStore, connect_database,
    connect_dynamo, create_database, migrate,
};
use tokio::time::Instant;
use uuid::Uuid;

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
    };
    let pool = connect_database(&url, pool).await?;
    migrate(&pool).await?;
    let users = UserStore::new(pool);
    let new = ["one", "other"].map(|handle| NewUser {
        handle: handle.to_owned(),
        display_name: handle.to_owned(),
        email: format!("{handle}@example.com"),
        cognito_user_id: Some(format!("sub-{handle}")),
    });
    users.create_missing(&new).await?;

    let bare = bare_loop(span).await?;
    println!("bare SDK loop  {bare:>7.0} transactions/s");
    for writers in [1, 16, 64] {
        let rate = through_messaging(&users, writers, span).await?;
        println!(
            "{writers:>3} writers    {rate:>7.0} messages/s  {:.2} of the bare loop",
            rate / bare
        );
    }
    Ok(())
}

/// A fresh DynamoDB, since the embedded one slows down with its transactions.
async fn fresh() -> Result<(DynamoDb, MessageStore), Box<dyn std::error::Error>> {
    let dynamodb = DynamoDb::start(None, 0)?;
    let target = DynamoTarget::Endpoint {
        url: dynamodb.url(),
        loopback: true,
    };
    let messages = MessageStore::new(connect_dynamo(&target).await, "throughput".to_owned());
    messages.create_table(NewTable::default()).await?;
    Ok((dynamodb, messages))
}

async fn through_messaging(
    users: &UserStore,
    writers: usize,
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
            let (sub, to) = if number % 2 == 0 {
                ("sub-one", "other")
            } else {
                ("sub-other", "one")
            };
            tokio::spawn(async move {
                let loader = messaging.user_loader();
                let Ok(Some(viewer)) = messaging.viewer(&loader, sub).await else {
                    return;
                };
                while began.elapsed() < span {
                    let new = NewMessage::new(
                        MessageId(Uuid::new_v4()),
                        Destination::Receiver(to.to_owned()),
                        MessageBody::parse("a short text".to_owned()).expect("a body"),
                        None,
                    );
                    let deadline = Instant::now() + Duration::from_secs(10);
                    let new = new.expect("no key");
                    match messaging
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

/// Transactions of six puts, one after the other.
async fn bare_loop(span: Duration) -> Result<f64, Box<dyn std::error::Error>> {
    let (dynamodb, _messages) = fresh().await?;
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
            "a", "b", None, None, "bench",
        ))
        .endpoint_url(dynamodb.url())
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let began = Instant::now();
    let mut count = 0.0;
    while began.elapsed() < span {
        let mut transaction = client.transact_write_items();
        for _ in 0..6 {
            let put = Put::builder()
                .table_name("throughput")
                .item("pk", AttributeValue::S(Uuid::new_v4().to_string()))
                .item("sk", AttributeValue::S("a short text".to_owned()))
                .build()?;
            transaction = transaction.transact_items(TransactWriteItem::builder().put(put).build());
        }
        transaction.send().await?;
        count += 1.0;
    }
    Ok(count / began.elapsed().as_secs_f64())
}
