//! The data stores: messages in DynamoDB, users in Postgres, and the Cognito
//! user pool.
//!
//! Only this module uses the AWS SDK and `sqlx`. `items` builds every key
//! string. Each access pattern is one method of [`MessageStore`] or
//! [`UserStore`], whose documentation states its key, order and cost.

mod commit;
mod connect;
mod credentials;
mod database;
mod database_pool;
mod database_url;
mod dynamo;
mod endpoint;
mod error;
mod holes;
mod items;
mod mark;
mod messages;
mod meter;
mod migrations;
mod operations;
mod original_time_zone;
mod pacer;
mod pairs;
mod password;
mod query;
mod repair;
mod rows;
mod scan;
mod sdk_error;
#[cfg(test)]
pub(crate) mod simulated;
mod sql_error;
mod table;
mod user_pool;
mod users;

pub use commit::{Commit, GroupRow, Outcome, Refusal, RowKey, Sent, SentKey};
pub use credentials::NoCredentials;
pub use database::{
    DatabaseError, PoolSettings, connect_database, create_database, remote_database_host,
    shown_database,
};
pub use database_pool::{DatabasePool, Pooling};
pub use database_url::InvalidDatabaseUrl;
pub use dynamo::{
    DynamoAddress, DynamoDefault, DynamoTarget, LOCAL_DYNAMODB, check_credentials, connect_dynamo,
    connect_dynamo_patiently, dynamo_address,
};
pub use endpoint::{AwsService, EndpointUrl, InvalidAwsSetting, endpoint_of_environment};
pub use error::{Reason, Service, StoreError};
pub use items::Stored;
pub use mark::ReadMark;
pub use messages::{Consistency, MessageStore, Newest};
pub use meter::{Cost, Echo};
pub use migrations::{DatabaseState, Migrated, database_state, migrate, require_current};
pub use pacer::{Pacer, Throttling};
pub use password::PasswordFileError;
pub use repair::{GroupAtOnce, Move, Repair};
pub use rows::{FoundRow, Preview};
pub use scan::{ItemKind, ScanPage, ScanPosition, ScannedItem, Segment};
pub use table::{Billing, NewTable, TableDescription, TableError, TableStatus};
pub use user_pool::{PoolUser, UserPool};
pub use users::{CognitoIds, NewUser, PoolNames, UserStore};
