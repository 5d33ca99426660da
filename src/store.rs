//! The two stores: messages in DynamoDB, users in Postgres.
//!
//! The only place that knows `aws_sdk_dynamodb` and `sqlx`. Every key string
//! is built in `items`; each access pattern is one method of
//! [`MessageStore`] or [`UserStore`], with its key, order and cost.

mod commit;
mod database;
mod dynamo;
mod error;
mod items;
mod messages;
mod query;
mod rows;
mod table;
mod users;

pub use commit::{Commit, GroupRow, Outcome, Refusal, RowKey, Sent, SentKey};
pub use database::{
    DatabaseError, DatabaseState, PoolSettings, connect_database, create_database, database_state,
    migrate, remote_database_host,
};
pub use dynamo::{DynamoTarget, connect_dynamo};
pub use error::{Service, StoreError};
pub use messages::{Consistency, MessageStore};
pub use rows::{FoundRow, Preview};
pub use table::{TableError, TableStatus};
pub use users::{NewUser, UserStore};
