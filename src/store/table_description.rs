//! The description of a table, and its differences from the expected schema. This
//! module performs no I/O.

use aws_sdk_dynamodb::types::{
    BillingMode, KeySchemaElement, ProjectionType, TableDescription as FoundTable,
};

use serde::Serialize;

use super::keys::INDEX;

/// The time-to-live attribute, by which DynamoDB deletes expired items.
pub(super) const EXPIRY: &str = "expires_at";
/// The description of a table by DynamoDB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableDescription {
    /// Name of the table.
    pub name: String,
    /// Status of the table: `ACTIVE`, `CREATING`, ….
    pub status: String,
    /// Attribute and key type of each part of the primary key, such as
    /// `pk HASH`.
    pub key: Vec<String>,
    /// The indexes.
    pub indexes: Vec<IndexDescription>,
    /// The billing mode, as text.
    pub billing: String,
    /// The view type of the table's stream, such as `NEW_IMAGE`. `None` without
    /// a stream.
    pub stream: Option<String>,
    /// The time-to-live attribute. `None` if items do not expire.
    pub expiry: Option<String>,
    /// Whether deletion protection is enabled.
    pub deletion_protection: bool,
    /// Number of items, which may be up to six hours old.
    pub item_count: i64,
}

/// The description of an index by DynamoDB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexDescription {
    /// Name of the index.
    pub name: String,
    /// Attribute and key type of each part of the key.
    pub key: Vec<String>,
}

/// Returns one sentence for each difference of the table's keys and index.
pub(super) fn differences(table: &FoundTable) -> Vec<String> {
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
    let indexes = table.global_secondary_indexes.as_deref();
    let mut indexes = indexes.unwrap_or_default().iter();
    let index = indexes.find(|index| index.index_name.as_deref() == Some(INDEX));
    let key = index.and_then(|index| index.key_schema.as_deref());
    compare(
        &format!("the key of the index {INDEX}"),
        key.map(in_words),
        ["message_group_uuid HASH", "sk RANGE"],
    );
    let projection = index.and_then(|index| index.projection.as_ref());
    let projected = projection.and_then(|projection| projection.projection_type.as_ref());
    if index.is_some() && projected != Some(&ProjectionType::All) {
        let found = projected.map_or("nothing", ProjectionType::as_str);
        differences.push(format!("the index {INDEX} has {found} and should have ALL"));
    }
    differences
}

/// Converts DynamoDB's description of a table.
pub(super) fn described(table: FoundTable, expiry: Option<String>) -> TableDescription {
    let billing = table.billing_mode_summary;
    let billing = billing.and_then(|summary| summary.billing_mode);
    let billing = match (billing, table.provisioned_throughput) {
        (Some(BillingMode::PayPerRequest), _) | (_, None) => "pay per request".to_owned(),
        (_, Some(units)) => format!(
            "provisioned, {} read and {} write units a second",
            units.read_capacity_units.unwrap_or_default(),
            units.write_capacity_units.unwrap_or_default(),
        ),
    };
    let stream = table.stream_specification;
    let stream = stream.filter(|stream| stream.stream_enabled);
    let stream = stream.map(|stream| {
        let shows = stream.stream_view_type.as_ref();
        shows.map_or("enabled", |shows| shows.as_str()).to_owned()
    });
    let indexes = table.global_secondary_indexes.unwrap_or_default();
    let indexes = indexes.into_iter().map(|index| IndexDescription {
        name: index.index_name.unwrap_or_default(),
        key: in_words(&index.key_schema.unwrap_or_default()),
    });
    let status = table.table_status;
    TableDescription {
        name: table.table_name.unwrap_or_default(),
        status: status.map_or_else(String::new, |status| status.to_string()),
        key: in_words(&table.key_schema.unwrap_or_default()),
        indexes: indexes.collect(),
        billing,
        stream,
        expiry,
        deletion_protection: table.deletion_protection_enabled.unwrap_or_default(),
        item_count: table.item_count.unwrap_or_default(),
    }
}

impl TableDescription {
    /// Returns a message if the table has a stream, with the command that
    /// disables it.
    pub fn stream_difference(&self) -> Option<String> {
        let stream = self.stream.as_deref()?;
        let name = &self.name;
        Some(format!(
            "a stream ({stream}) is enabled, and the original's stream function would undo the writes of \
             this program: `aws dynamodb update-table --table-name {name} --stream-specification StreamEnabled=false`, or use \
             --allow-stream if no function that writes to the table processes it"
        ))
    }

    /// Returns the problem with the expiry of items, with the command that
    /// fixes it.
    pub fn expiry_difference(&self) -> Option<String> {
        let found = match self.expiry.as_deref() {
            Some(EXPIRY) => return None,
            Some(other) => {
                format!("items expire by the attribute {other} and should expire by {EXPIRY}")
            }
            None => "items do not expire".to_owned(),
        };
        let name = &self.name;
        Some(format!(
            "{found}: `aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification \
             Enabled=true,AttributeName={EXPIRY}`"
        ))
    }
}

fn in_words(key: &[KeySchemaElement]) -> Vec<String> {
    key.iter()
        .map(|element| format!("{} {}", element.attribute_name, element.key_type))
        .collect()
}
