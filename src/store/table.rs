//! The DynamoDB table itself: creation, status, deletion.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription as FoundTable,
    TableStatus as State, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::keys::INDEX;
use super::table_description::{EXPIRY, TableDescription, described, differences};
use super::{MessageStore, StoreError, StoreResult};

/// Maximum time until a new table is active, or a deleted table no longer
/// exists. DynamoDB usually needs some seconds.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(2);
/// Interval between two checks of the table's status.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// Read and write capacity units of the original's table and of its index.
const PROVISIONED: i64 = 5;

/// Result of comparing the table with the expected schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableStatus {
    /// The table does not exist.
    Missing,
    /// The table has the expected schema.
    AsExpected {
        /// Whether a stream is enabled, as the original's stream function requires.
        has_stream: bool,
    },
    /// The table differs from the expected schema. Contains one sentence for
    /// each difference.
    Different(Vec<String>),
}

/// The billing mode of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Billing {
    /// Provisioned, as in the original Flask service: 5 read and 5 write units
    /// per second, for the table and for the index.
    #[default]
    Provisioned,
    /// On demand: each call is billed, and there is no limit.
    PayPerRequest,
}

/// The options of a new table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewTable {
    /// The billing mode.
    pub billing: Billing,
    /// Whether deletion protection is enabled.
    pub deletion_protection: bool,
}

/// The reason for which a table cannot be created or used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The table was created, but is not active yet.
    #[error("the table {0} is not active yet: run the command again when it is")]
    NotActive(String),
    /// The table is being deleted, but still exists.
    #[error("the table {0} is still being deleted: wait until it no longer exists")]
    NotGone(String),
    /// Deletion protection is enabled.
    #[error(
        "the table {0} has deletion protection. To delete it, first run `aws dynamodb update-table --table-name {0} \
         --no-deletion-protection-enabled`"
    )]
    Protected(String),
    /// The store did not respond, or rejected the call.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MessageStore {
    /// Returns the name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns whether a stream is enabled.
    pub async fn has_stream(&self) -> StoreResult<bool> {
        let table = self.find_table().await?;
        Ok(table.is_some_and(|table| has_stream(&table)))
    }

    /// Compares the table with the expected schema.
    pub async fn table_status(&self) -> StoreResult<TableStatus> {
        let Some(table) = self.find_table().await? else {
            return Ok(TableStatus::Missing);
        };
        let differences = differences(&table);
        Ok(if differences.is_empty() {
            TableStatus::AsExpected {
                has_stream: has_stream(&table),
            }
        } else {
            TableStatus::Different(differences)
        })
    }

    /// Returns DynamoDB's description of the table; `None` if the table does
    /// not exist.
    pub async fn table_description(&self) -> StoreResult<Option<TableDescription>> {
        let Some(table) = self.find_table().await? else {
            return Ok(None);
        };
        let expiry = self.find_expiry().await?;
        Ok(Some(described(table, expiry)))
    }

    /// Creates the table as the original's `schema-load` did, and enables
    /// expiry in addition. Waits until the table is active.
    pub async fn create_table(&self, new: NewTable) -> Result<(), TableError> {
        let (billing, throughput) = match new.billing {
            Billing::Provisioned => (BillingMode::Provisioned, Some(throughput())),
            Billing::PayPerRequest => (BillingMode::PayPerRequest, None),
        };
        self.client
            .create_table()
            .table_name(&self.table)
            .billing_mode(billing)
            .set_provisioned_throughput(throughput.clone())
            .set_attribute_definitions(Some(attribute_definitions()))
            .set_key_schema(Some(key_schema("pk", "sk")))
            .global_secondary_indexes(index(throughput))
            .deletion_protection_enabled(new.deletion_protection)
            .send()
            .await
            .map_err(StoreError::from)?;
        self.until_active().await?;
        self.expire().await?;
        Ok(())
    }

    /// Waits until the table is active.
    pub async fn until_active(&self) -> Result<(), TableError> {
        let timed_out = TableError::NotActive(self.table.clone());
        let is_usable = |state| matches!(state, State::Active | State::Updating);
        self.until(|state| state.is_some_and(is_usable), timed_out)
            .await
    }

    /// Deletes the table with all its items, and waits until it no longer
    /// exists.
    pub async fn delete_table(&self) -> Result<(), TableError> {
        let table = self.find_table().await?;
        if table.is_some_and(|table| table.deletion_protection_enabled == Some(true)) {
            return Err(TableError::Protected(self.table.clone()));
        }
        self.client
            .delete_table()
            .table_name(&self.table)
            .send()
            .await
            .map_err(StoreError::from)?;
        let timed_out = TableError::NotGone(self.table.clone());
        self.until(|state| state.is_none(), timed_out).await
    }

    /// Returns the time-to-live attribute.
    async fn find_expiry(&self) -> StoreResult<Option<String>> {
        let call = self.client.describe_time_to_live();
        let found = call.table_name(&self.table).send().await?;
        let described = found.time_to_live_description.filter(|described| {
            matches!(
                described.time_to_live_status,
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        Ok(described.and_then(|described| described.attribute_name))
    }

    /// Enables expiry.
    async fn expire(&self) -> StoreResult<()> {
        let specification = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(EXPIRY)
            .build()
            .expect(COMPLETE);
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(specification)
            .send()
            .await?;
        Ok(())
    }

    /// Waits until the table has one of these states. Returns the error
    /// `timed_out` after a timeout.
    async fn until(
        &self,
        reached: impl Fn(Option<State>) -> bool,
        timed_out: TableError,
    ) -> Result<(), TableError> {
        let wait = async {
            loop {
                let table = self.find_table().await?;
                if reached(table.and_then(|table| table.table_status)) {
                    return Ok(());
                }
                tokio::time::sleep(STATUS_INTERVAL).await;
            }
        };
        let waited = tokio::time::timeout(CHANGE_TIMEOUT, wait).await;
        waited.unwrap_or(Err(timed_out))
    }

    async fn find_table(&self) -> StoreResult<Option<FoundTable>> {
        let call = self.client.describe_table().table_name(&self.table);
        match call.send().await {
            Ok(found) => Ok(found.table),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn has_stream(table: &FoundTable) -> bool {
    let stream = table.stream_specification.as_ref();
    stream.is_some_and(|stream| stream.stream_enabled)
}

/// Why a part of the definition can be built: its required fields are set.
const COMPLETE: &str = "the definition has all required fields";

fn throughput() -> ProvisionedThroughput {
    ProvisionedThroughput::builder()
        .read_capacity_units(PROVISIONED)
        .write_capacity_units(PROVISIONED)
        .build()
        .expect(COMPLETE)
}

fn attribute_definitions() -> Vec<AttributeDefinition> {
    let definition = |name| {
        let definition = AttributeDefinition::builder().attribute_name(name);
        let definition = definition.attribute_type(ScalarAttributeType::S);
        definition.build().expect(COMPLETE)
    };
    ["message_group_uuid", "pk", "sk"].map(definition).into()
}

fn key_schema(hash: &str, range: &str) -> Vec<KeySchemaElement> {
    let element = |(name, kind)| {
        let element = KeySchemaElement::builder().attribute_name(name);
        element.key_type(kind).build().expect(COMPLETE)
    };
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .map(element)
        .into()
}

fn index(throughput: Option<ProvisionedThroughput>) -> GlobalSecondaryIndex {
    let all = Projection::builder().projection_type(ProjectionType::All);
    GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .set_key_schema(Some(key_schema("message_group_uuid", "sk")))
        .projection(all.build())
        .set_provisioned_throughput(throughput)
        .build()
        .expect(COMPLETE)
}
