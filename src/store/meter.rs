//! Measurement of the cost and the results of DynamoDB calls, for operators and
//! for the telemetry.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::capacity_limiter::CapacityLimiter;
use super::operations::{THROTTLED, ask_for_cost, cost_of, operation, result, units_of};
use super::units::Cost;
use crate::lock::lock;
use crate::telemetry::DynamoCall;

/// A function that receives the bytes of each response.
pub type OnResponse = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Counts the cost of a client's calls, for operators and for the telemetry.
///
/// Cloning is cheap: all clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    shared: Arc<MeterState>,
}

struct MeterState {
    table: String,
    cost: Mutex<Cost>,
    on_response: Option<OnResponse>,
    limiter: Option<CapacityLimiter>,
}

impl fmt::Debug for MeterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeterState")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Meter {
    /// Creates a meter at zero for the calls to a table.
    ///
    /// It passes every response to `on_response`, and the cost of every call to
    /// `limiter`.
    pub fn new(
        table: String,
        on_response: Option<OnResponse>,
        limiter: Option<CapacityLimiter>,
    ) -> Self {
        let cost = Mutex::default();
        Self {
            shared: Arc::new(MeterState {
                table,
                cost,
                on_response,
                limiter,
            }),
        }
    }

    /// Returns the limiter that delays the calls, if there is one.
    pub fn limiter(&self) -> Option<&CapacityLimiter> {
        self.shared.limiter.as_ref()
    }

    /// Returns a client whose calls are counted.
    pub fn attach(&self, client: &Client) -> Client {
        let mut config = client.config().to_builder().interceptor(self.clone());
        if self.shared.limiter.is_some() {
            config = config.retry_classifier(NoRetryOfThrottling);
        }
        Client::from_conf(config.build())
    }

    /// Returns the cost of the calls so far.
    pub fn cost(&self) -> Cost {
        *lock(&self.shared.cost)
    }
}

/// A call, stored in its configuration.
#[derive(Debug)]
struct MeteredCall {
    operation: &'static str,
    /// The current attempt.
    attempt: Mutex<Option<DynamoCall>>,
}

impl Storable for MeteredCall {
    type Storer = StoreReplace<Self>;
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
        let call = MeteredCall {
            operation: operation(input),
            attempt: Mutex::default(),
        };
        config.interceptor_state().store_put(call);
        ask_for_cost(input);
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = config.load::<MeteredCall>() {
            let attempt = DynamoCall::begin(call.operation, &self.shared.table);
            *lock(&call.attempt) = Some(attempt);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if let (Some(on_response), Some(body)) = (
            &self.shared.on_response,
            response.and_then(|response| response.body().bytes()),
        ) {
            on_response(body);
        }
        let ended = context.output_or_error();
        let spent = ended.and_then(Result::ok).map(cost_of).unwrap_or_default();
        if response.is_some() {
            let mut cost = lock(&self.shared.cost);
            cost.calls += 1;
            cost.read_units += spent.read_units;
            cost.write_units += spent.write_units;
        }
        let result = match ended {
            Some(Ok(_)) => "ok",
            Some(Err(error)) => result(error, response.map(|response| response.status().as_u16())),
            None => "unknown",
        };
        let call = config.load::<MeteredCall>();
        if let Some(limiter) = &self.shared.limiter {
            limiter.consumed(spent.read_units, spent.write_units);
            if result == THROTTLED {
                limiter.throttled(units_of(call.map_or("other", |call| call.operation)));
            }
        }
        let attempt = call.and_then(|call| lock(&call.attempt).take());
        if let Some(attempt) = attempt {
            attempt.end(result, spent.read_units, spent.write_units);
        }
        Ok(())
    }
}

/// Disables the SDK's retries of throttled calls.
///
/// The limiter retries them, for all calls together and without a maximum number
/// of attempts.
#[derive(Debug)]
pub(super) struct NoRetryOfThrottling;

impl ClassifyRetry for NoRetryOfThrottling {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response();
        let status = response.map(|response| response.status().as_u16());
        match context.output_or_error() {
            Some(Err(error)) if result(error, status) == THROTTLED => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NoRetryOfThrottling"
    }

    fn priority(&self) -> RetryClassifierPriority {
        // The first classifier that forbids a retry decides.
        RetryClassifierPriority::run_before(RetryClassifierPriority::http_status_code_classifier())
    }
}
