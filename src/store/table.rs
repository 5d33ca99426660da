//! The table itself: made, compared, waited for.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription,
    TableStatus as State, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{MessageStore, Service, StoreError};

/// The index over a group's rows.
pub(super) const INDEX: &str = "message-group-sk-index";
/// The attribute that DynamoDB deletes expired items by.
const EXPIRY: &str = "expires_at";
/// How long a new table may take until it can be used.
const CREATION_TIMEOUT: Duration = Duration::from_mins(2);

/// What the table must look like, and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableStatus {
    /// There is none.
    Missing,
    /// As it should be.
    AsItShouldBe,
    /// There is one, but not as it should be: each difference in a sentence.
    Different(Vec<String>),
}

/// The table cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It was made, but did not get ready.
    #[error("the table {0} was made but is not active yet: wait for it and go on")]
    NotActive(String),
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MessageStore {
    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Whether the store answers and has the table: one `DescribeTable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self.find_table().await? {
            Some(_) => Ok(()),
            None => Err(StoreError::refused(
                Service::DynamoDb,
                format!("there is no table {}", self.table),
            )),
        }
    }

    /// Whether a stream is on, as the original's stream function needs it.
    pub async fn has_stream(&self) -> Result<bool, StoreError> {
        let table = self.find_table().await?;
        let stream = table.and_then(|table| table.stream_specification);
        Ok(stream.is_some_and(|stream| stream.stream_enabled))
    }

    /// Compares the table with what it must look like.
    pub async fn table_status(&self) -> Result<TableStatus, StoreError> {
        let Some(table) = self.find_table().await? else {
            return Ok(TableStatus::Missing);
        };
        let differences = differences(&table);
        Ok(if differences.is_empty() {
            TableStatus::AsItShouldBe
        } else {
            TableStatus::Different(differences)
        })
    }

    /// Makes the table as the original's `schema-load` did, with expiry on top,
    /// and waits until it can be used.
    pub async fn create_table(&self) -> Result<(), TableError> {
        self.client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::Provisioned)
            .provisioned_throughput(throughput()?)
            .set_attribute_definitions(Some(attribute_definitions()?))
            .set_key_schema(Some(key_schema("pk", "sk")?))
            .global_secondary_indexes(index()?)
            .send()
            .await
            .map_err(StoreError::from)?;
        self.active().await?;
        self.expire().await?;
        Ok(())
    }

    /// Switches expiry on, where it is not.
    async fn expire(&self) -> Result<(), StoreError> {
        let found = self
            .client
            .describe_time_to_live()
            .table_name(&self.table)
            .send()
            .await?;
        let status = found
            .time_to_live_description
            .and_then(|described| described.time_to_live_status);
        if matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        ) {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(EXPIRY)
            .build()
            .map_err(refused)?;
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(specification)
            .send()
            .await?;
        Ok(())
    }

    async fn active(&self) -> Result<(), TableError> {
        let wait = async {
            loop {
                let table = self.find_table().await?;
                if table.is_some_and(|table| table.table_status == Some(State::Active)) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::time::timeout(CREATION_TIMEOUT, wait)
            .await
            .unwrap_or_else(|_| Err(TableError::NotActive(self.table.clone())))
    }

    async fn find_table(&self) -> Result<Option<TableDescription>, StoreError> {
        match self
            .client
            .describe_table()
            .table_name(&self.table)
            .send()
            .await
        {
            Ok(found) => Ok(found.table),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn differences(table: &TableDescription) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: Option<Vec<String>>, wanted: [&str; 2]| {
        let found = found.unwrap_or_default();
        if found != wanted {
            differences.push(format!(
                "{what} is [{}] and should be [{}]",
                found.join(", "),
                wanted.join(", ")
            ));
        }
    };
    compare(
        "the key",
        table.key_schema.as_deref().map(in_words),
        ["pk HASH", "sk RANGE"],
    );
    let indexes = table
        .global_secondary_indexes
        .as_deref()
        .unwrap_or_default();
    let index = indexes
        .iter()
        .find(|index| index.index_name.as_deref() == Some(INDEX));
    compare(
        &format!("the key of the index {INDEX}"),
        index
            .and_then(|index| index.key_schema.as_deref())
            .map(in_words),
        ["message_group_uuid HASH", "sk RANGE"],
    );
    differences
}

fn in_words(key: &[KeySchemaElement]) -> Vec<String> {
    key.iter()
        .map(|element| format!("{} {}", element.attribute_name, element.key_type))
        .collect()
}

fn throughput() -> Result<ProvisionedThroughput, StoreError> {
    ProvisionedThroughput::builder()
        .read_capacity_units(5)
        .write_capacity_units(5)
        .build()
        .map_err(refused)
}

fn attribute_definitions() -> Result<Vec<AttributeDefinition>, StoreError> {
    ["message_group_uuid", "pk", "sk"]
        .into_iter()
        .map(|name| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(refused)
        })
        .collect()
}

fn key_schema(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, StoreError> {
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .map_err(refused)
        })
        .collect()
}

fn index() -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .set_key_schema(Some(key_schema("message_group_uuid", "sk")?))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::All)
                .build(),
        )
        .provisioned_throughput(throughput()?)
        .build()
        .map_err(refused)
}

fn refused(cause: impl std::fmt::Display) -> StoreError {
    StoreError::refused(Service::DynamoDb, cause)
}
