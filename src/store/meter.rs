//! What DynamoDB's calls cost and answer, for the operator who makes them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{
    TransactGetItemsInput, TransactGetItemsOutput,
};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};

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

/// Counts what the calls of a client cost. Cheap to clone; clones count
/// together.
#[derive(Clone, Debug)]
pub struct Meter {
    shared: Arc<Shared>,
}

struct Shared {
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
    /// A meter at zero, which passes every answer on to `echo`.
    #[must_use]
    pub fn new(echo: Option<Echo>) -> Self {
        let cost = Mutex::default();
        Self {
            shared: Arc::new(Shared { cost, echo }),
        }
    }

    /// A client whose calls are counted.
    #[must_use]
    pub fn attach(&self, client: &Client) -> Client {
        let config = client.config().to_builder().interceptor(self.clone());
        Client::from_conf(config.build())
    }

    /// What the calls have cost so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cost> {
        let cost = &self.shared.cost;
        cost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each operation that has a cost: input, output, and which units it costs.
macro_rules! operations {
    ($operation:ident) => {
        $operation!(QueryInput, QueryOutput, read_units);
        $operation!(ScanInput, ScanOutput, read_units);
        $operation!(GetItemInput, GetItemOutput, read_units);
        $operation!(TransactGetItemsInput, TransactGetItemsOutput, read_units);
        $operation!(DeleteItemInput, DeleteItemOutput, write_units);
        $operation!(
            TransactWriteItemsInput,
            TransactWriteItemsOutput,
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
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        macro_rules! ask {
            ($input:ty, $output:ty, $units:ident) => {
                if let Some(input) = input.downcast_mut::<$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                }
            };
        }
        operations!(ask);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(echo), Some(body)) = (&self.shared.echo, context.response().body().bytes()) {
            echo(body);
        }
        let mut cost = self.lock();
        cost.calls += 1;
        let Ok(output) = context.output_or_error() else {
            return Ok(());
        };
        macro_rules! add {
            ($input:ty, $output:ty, $units:ident) => {
                if let Some(output) = output.downcast_ref::<$output>() {
                    cost.$units += units(&output.consumed_capacity);
                }
            };
        }
        operations!(add);
        Ok(())
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
