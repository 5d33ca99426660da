//! The client of the DynamoDB table of message groups and messages.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::capacity_limiter::CapacityLimiter;
use super::dynamo::without_retries;
use super::fault::was_throttled;
use super::meter::{Meter, OnResponse};
use super::units::{Cost, Units};

/// The DynamoDB table of message groups and messages.
#[derive(Clone, Debug)]
pub struct MessageStore {
    pub(super) client: Client,
    /// The same client without retries, for transactions.
    pub(super) client_without_retries: Client,
    pub(super) table: String,
    meter: Meter,
}

impl MessageStore {
    /// Creates a store from a client and the name of a table.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller must not use the client beside the store, because such calls are not counted"
    )]
    pub fn new(client: Client, table: String) -> Self {
        Self::with_meter(&client, Meter::new(table.clone(), None, None), table)
    }

    /// Creates a store for an operator's command: `limiter` delays its calls, and
    /// `on_response` receives every response.
    pub fn with_limiter(
        client: &Client,
        table: String,
        on_response: Option<OnResponse>,
        limiter: CapacityLimiter,
    ) -> Self {
        let meter = Meter::new(table.clone(), on_response, Some(limiter));
        Self::with_meter(client, meter, table)
    }

    fn with_meter(client: &Client, meter: Meter, table: String) -> Self {
        let client = meter.attach(client);
        Self {
            client_without_retries: without_retries(&client),
            client,
            table,
            meter,
        }
    }

    /// Returns the cost of all calls so far, including those of clones.
    pub fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// Returns the limiter that delays the calls, if there is one.
    pub(super) fn limiter(&self) -> Option<&CapacityLimiter> {
        self.meter.limiter()
    }

    /// Sends a call.
    ///
    /// With a limiter, the call waits until the limiter permits it, and is retried
    /// as long as DynamoDB throttles it.
    pub(super) async fn send<C: Clone, T, E, F>(
        &self,
        units: Units,
        call: C,
        send: impl Fn(C) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: Error + 'static,
        SdkError<E, HttpResponse>: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        // Boxed because the SDK's futures are large, and a caller may make several
        // calls.
        match self.limiter() {
            Some(limiter) => {
                let send = || send(call.clone());
                Box::pin(limiter.send(units, send, was_throttled)).await
            }
            None => Box::pin(send(call)).await,
        }
    }
}
