//! The DynamoDB operations that consume capacity units.
//!
//! The SDK passes them to an interceptor as type-erased values.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::delete_item::{
    DeleteItemError, DeleteItemInput, DeleteItemOutput,
};
use aws_sdk_dynamodb::operation::describe_table::{DescribeTableError, DescribeTableInput};
use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryError, QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{
    TransactGetItemsError, TransactGetItemsInput, TransactGetItemsOutput,
};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Input, Output};
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;

use super::fault::{cancellation_reasons, refused, worst};
use super::units::{Cost, Units};

/// The result of a call that exceeded the table's capacity.
pub(super) const THROTTLED: &str = "throttled";

/// Invokes a macro for each operation that consumes capacity: name, input,
/// output, error, and the kind of units.
macro_rules! operations {
    ($operation:ident) => {
        $operation! { "Query" QueryInput QueryOutput QueryError read_units }
        $operation! { "Scan" ScanInput ScanOutput ScanError read_units }
        $operation! { "GetItem" GetItemInput GetItemOutput GetItemError read_units }
        $operation! { "TransactGetItems" TransactGetItemsInput TransactGetItemsOutput TransactGetItemsError read_units }
        $operation! { "DeleteItem" DeleteItemInput DeleteItemOutput DeleteItemError write_units }
        $operation! { "PutItem" PutItemInput PutItemOutput PutItemError write_units }
        $operation! { "TransactWriteItems" TransactWriteItemsInput TransactWriteItemsOutput TransactWriteItemsError write_units }
    };
}

/// Requests the consumed capacity in the response, if the operation consumes
/// any.
pub(super) fn ask_for_cost(input: &mut Input) {
    macro_rules! ask {
        ($name:literal $input:ident $output:ident $error:ident $units:ident) => {
            if let Some(input) = input.downcast_mut::<$input>() {
                input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
            }
        };
    }
    operations!(ask);
}

/// Returns the name of an operation that consumes capacity, or of
/// `DescribeTable`, which checks that the table exists.
pub(super) fn operation(input: &Input) -> &'static str {
    macro_rules! name {
        ($name:literal $input:ident $output:ident $error:ident $units:ident) => {
            if input.downcast_ref::<$input>().is_some() {
                return $name;
            }
        };
    }
    operations!(name);
    if input.downcast_ref::<DescribeTableInput>().is_some() {
        return "DescribeTable";
    }
    "other"
}

/// Returns the kind of units that an operation consumes.
pub(super) fn units_of(operation: &str) -> Units {
    match operation {
        "DeleteItem" | "PutItem" | "TransactWriteItems" => Units::Write,
        _ => Units::Read,
    }
}

/// Returns the cost that a response reports.
pub(super) fn cost_of(output: &Output) -> Cost {
    let mut cost = Cost::default();
    macro_rules! add {
        ($name:literal $input:ident $output:ident $error:ident $units:ident) => {
            if let Some(output) = output.downcast_ref::<$output>() {
                cost.$units += units(output.consumed_capacity());
            }
        };
    }
    operations!(add);
    cost
}

/// Returns the result of a failed attempt as one word.
pub(super) fn result(error: &OrchestratorError<Error>, status: Option<u16>) -> &'static str {
    let Some(error) = error.as_operation_error() else {
        return "unknown";
    };
    let mut code = None;
    macro_rules! read_code {
        ($name:literal $input:ident $output:ident $error:ident $units:ident) => {
            if let Some(error) = error.downcast_ref::<$error>() {
                code = error.code();
            }
        };
    }
    operations!(read_code);
    if let Some(error) = error.downcast_ref::<DescribeTableError>() {
        code = error.code();
    }
    match cancellation_reasons(error.downcast_ref(), error.downcast_ref()) {
        Some(reasons) => worst(reasons.iter().filter_map(|reason| reason.code.as_deref())),
        None => refused(status, code),
    }
}

/// Returns the consumed units: those of one table, or the sum over all tables
/// of a transaction.
fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    let units = consumed.into_iter().filter_map(|one| one.capacity_units);
    units.sum()
}
