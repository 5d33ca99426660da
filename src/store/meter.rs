//! What DynamoDB's calls cost and answer, for the operator who makes them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::delete_item::{
    DeleteItemError, DeleteItemInput, DeleteItemOutput,
};
use aws_sdk_dynamodb::operation::describe_table::{DescribeTableError, DescribeTableInput};
use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryError, QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{
    TransactGetItemsError, TransactGetItemsInput, TransactGetItemsOutput,
};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{CancellationReason, ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Input, Output};
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::error::{refused, worst};
use crate::telemetry::DynamoCall;

/// What calls have cost, in DynamoDB's capacity units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// How many calls were answered.
    pub calls: u64,
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
}

/// Where the answers go as they came: the bytes of one at a time.
pub type Echo = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Counts what the calls of a client cost, for its operator and for the
/// telemetry. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    shared: Arc<Shared>,
}

struct Shared {
    table: String,
    cost: Mutex<Cost>,
    echo: Option<Echo>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Meter {
    /// A meter at zero of what is done with a table, which passes every answer
    /// on to `echo`.
    pub fn new(table: String, echo: Option<Echo>) -> Self {
        let cost = Mutex::default();
        Self {
            shared: Arc::new(Shared { table, cost, echo }),
        }
    }

    /// A client whose calls are counted.
    pub fn attach(&self, client: &Client) -> Client {
        let config = client.config().to_builder().interceptor(self.clone());
        Client::from_conf(config.build())
    }

    /// What the calls have cost so far.
    pub fn cost(&self) -> Cost {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Cost> {
        let cost = &self.shared.cost;
        cost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call is, kept beside its configuration.
#[derive(Debug)]
struct Operation(&'static str);

impl Storable for Operation {
    type Storer = StoreReplace<Self>;
}

/// The attempt at it that is under way.
#[derive(Debug)]
struct UnderWay(Mutex<Option<DynamoCall>>);

impl Storable for UnderWay {
    type Storer = StoreReplace<Self>;
}

/// For each operation that has a cost: name, input, output, error, and which
/// units it costs.
macro_rules! operations {
    ($operation:ident) => {
        $operation!("Query", QueryInput, QueryOutput, QueryError, read_units);
        $operation!("Scan", ScanInput, ScanOutput, ScanError, read_units);
        $operation!(
            "GetItem",
            GetItemInput,
            GetItemOutput,
            GetItemError,
            read_units
        );
        $operation!(
            "TransactGetItems",
            TransactGetItemsInput,
            TransactGetItemsOutput,
            TransactGetItemsError,
            read_units
        );
        $operation!(
            "DeleteItem",
            DeleteItemInput,
            DeleteItemOutput,
            DeleteItemError,
            write_units
        );
        $operation!(
            "TransactWriteItems",
            TransactWriteItemsInput,
            TransactWriteItemsOutput,
            TransactWriteItemsError,
            write_units
        );
    };
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        let operation = Operation(operation(input));
        config.interceptor_state().store_put(operation);
        macro_rules! ask {
            ($name:literal, $input:ty, $output:ty, $error:ty, $units:ident) => {
                if let Some(input) = input.downcast_mut::<$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                }
            };
        }
        operations!(ask);
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Operation>().map_or("other", |known| known.0);
        let call = DynamoCall::begin(operation, &self.shared.table);
        let under_way = UnderWay(Mutex::new(Some(call)));
        config.interceptor_state().store_put(under_way);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        if let (Some(echo), Some(body)) = (
            &self.shared.echo,
            answer.and_then(|answer| answer.body().bytes()),
        ) {
            echo(body);
        }
        let ended = context.output_or_error();
        let spent = ended.and_then(Result::ok).map(cost_of).unwrap_or_default();
        if answer.is_some() {
            let mut cost = self.lock();
            cost.calls += 1;
            cost.read_units += spent.read_units;
            cost.write_units += spent.write_units;
        }
        let result = match ended {
            Some(Ok(_)) => "ok",
            Some(Err(error)) => result(error, answer.map(|answer| answer.status().as_u16())),
            None => "unknown",
        };
        let under_way = config.load::<UnderWay>();
        let call = under_way.and_then(|UnderWay(call)| {
            let mut call = call.lock().unwrap_or_else(PoisonError::into_inner);
            call.take()
        });
        if let Some(call) = call {
            call.end(result, spent.read_units, spent.write_units);
        }
        Ok(())
    }
}

/// The name of an operation: one that costs something, or the check that the
/// table is there.
fn operation(input: &Input) -> &'static str {
    macro_rules! name {
        ($name:literal, $input:ty, $output:ty, $error:ty, $units:ident) => {
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

/// What an answer says that it cost.
fn cost_of(output: &Output) -> Cost {
    let mut cost = Cost::default();
    macro_rules! add {
        ($name:literal, $input:ty, $output:ty, $error:ty, $units:ident) => {
            if let Some(output) = output.downcast_ref::<$output>() {
                cost.$units += units(&output.consumed_capacity);
            }
        };
    }
    operations!(add);
    cost
}

/// How an attempt ended that did not work, in one word.
fn result(error: &OrchestratorError<Error>, status: Option<u16>) -> &'static str {
    let Some(refusal) = error.as_operation_error() else {
        return "unknown";
    };
    let mut code = None;
    macro_rules! read_code {
        ($name:literal, $input:ty, $output:ty, $error:ty, $units:ident) => {
            if let Some(error) = refusal.downcast_ref::<$error>() {
                code = error.code();
            }
        };
    }
    operations!(read_code);
    if let Some(error) = refusal.downcast_ref::<DescribeTableError>() {
        code = error.code();
    }
    match cancelled(refusal) {
        Some(reasons) => worst(reasons.iter().filter_map(|reason| reason.code.as_deref())),
        None => refused(status, code),
    }
}

/// Why a transaction was cancelled, if it is that.
fn cancelled(refusal: &Error) -> Option<&[CancellationReason]> {
    use TransactGetItemsError::TransactionCanceledException as Read;
    use TransactWriteItemsError::TransactionCanceledException as Written;
    if let Some(Read(cancelled)) = refusal.downcast_ref() {
        return Some(cancelled.cancellation_reasons());
    }
    match refusal.downcast_ref() {
        Some(Written(cancelled)) => Some(cancelled.cancellation_reasons()),
        _ => None,
    }
}

/// The units of one table, or of each that a transaction touched.
fn units<'a>(consumed: impl IntoIterator<Item = &'a (impl Consumed + 'a)>) -> f64 {
    consumed.into_iter().map(Consumed::units).sum()
}

trait Consumed {
    fn units(&self) -> f64;
}

impl Consumed for ConsumedCapacity {
    fn units(&self) -> f64 {
        self.capacity_units.unwrap_or_default()
    }
}

impl Consumed for Vec<ConsumedCapacity> {
    fn units(&self) -> f64 {
        self.iter().map(Consumed::units).sum()
    }
}
