//! The data stores: messages in DynamoDB, users in Postgres, and the Cognito
//! user pool.
//!
//! Only this module uses the AWS SDK and `sqlx`. `keys` builds every key string.
//! Each access pattern is one method of [`MessageStore`] or
//! [`UserStore`], whose documentation states its key, order and cost.

mod capacity_limiter;
mod cause;
mod connect;
mod credentials;
mod database;
mod database_error;
mod database_pool;
mod database_url;
mod dynamo;
mod endpoint;
mod error;
mod fault;
mod gaps;
mod items;
mod keys;
mod mark;
mod message_store;
mod message_transaction;
mod messages;
mod meter;
mod migrations;
mod operations;
mod original_time_zone;
mod pairs;
mod password;
mod query;
mod records;
mod repair;
mod scan;
mod sdk_error;
#[cfg(test)]
pub(crate) mod simulated;
mod sql_error;
mod table;
mod table_description;
mod transaction;
mod units;
mod user_pool;
mod users;

pub use capacity_limiter::{CapacityLimiter, Throttling};
pub use cause::Cause;
pub use credentials::NoCredentials;
pub use database::{
    PoolSettings, connect_database, create_database, remote_database_host, shown_database,
};
pub use database_error::{DatabaseError, DatabaseResult};
pub use database_pool::{DatabasePool, Pooling};
pub use database_url::InvalidDatabaseUrl;
pub use dynamo::{
    DynamoAddress, DynamoTarget, LOCAL_DYNAMODB, check_credentials, connect_dynamo,
    connect_dynamo_for_operators, dynamo_address,
};
pub use endpoint::{AwsService, EndpointUrl, InvalidAwsSetting, endpoint_of_environment};
pub use error::{StoreError, StoreResult, UnreadableItem};
pub use fault::{Reason, Service};
pub use keys::{IdempotencyKey, ItemKind, RowKey, heads_marker_key, message_partition};
pub use mark::ReadMark;
pub use message_store::MessageStore;
pub use message_transaction::MessageTransaction;
pub use messages::Newest;
pub use meter::OnResponse;
pub use migrations::{DatabaseState, Migrated, database_state, migrate, require_current};
pub use pairs::MAX_PAIR_PAGES;
pub use password::PasswordFileError;
pub use records::{FoundRow, GroupRow, IdempotencyRecord, Preview, Stored};
pub use repair::{HeadSnapshot, Repair};
pub use scan::{ScanPage, ScanPosition, ScannedItem, Segment};
pub use table::{Billing, NewTable, TableError, TableStatus};
pub use table_description::TableDescription;
pub use transaction::{RejectionReason, TransactionOutcome};
pub use units::Cost;
pub use user_pool::{PoolUser, UserPool};
pub use users::{CognitoIds, NewUser, PoolNames, UserStore};
