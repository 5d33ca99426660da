//! Shared code of the commands that read or write the table.

use clap::Args;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::output::{self, Format, OutputArgs, OutputList};
use super::throttling::report_throttling;
use super::{CliError, CliResult};
use crate::config::{OperatorArgs, ReadUnitsArgs, RemoteArgs, StreamArgs, TableArgs};
use crate::http_url::shown;
use crate::loopback::is_loopback;
use crate::store::{
    CapacityLimiter, DynamoTarget, MessageStore, Reason, Service, StoreError, check_credentials,
    connect_dynamo, connect_dynamo_for_operators, dynamo_address,
};

#[derive(Args, Clone, Debug)]
pub(super) struct Operator {
    #[command(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    pub dynamodb: OperatorArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A connection to the store, which counts its calls.
pub(super) struct OperatorSession {
    pub messages: MessageStore,
    /// The address of the endpoint.
    pub endpoint: String,
    /// Whether the endpoint is AWS itself, and not one from a setting.
    pub is_aws: bool,
    pub format: Format,
    _throttling: AbortOnDropHandle<()>,
}

impl Operator {
    /// Connects to the store, with a limit on reads. Throttled calls wait for capacity. If the
    /// endpoint is AWS, credentials are required.
    pub async fn connect_limited(&self, limit: ReadUnitsArgs) -> CliResult<OperatorSession> {
        let target = self.dynamodb.target().await?;
        self.connect_to(&target, limit).await
    }

    /// Connects to the store for a command that changes data. Another machine is allowed only with
    /// an option, so that a variable that happens to be set does not select it.
    pub async fn connect_to_change(
        &self,
        remote: RemoteArgs,
        limit: ReadUnitsArgs,
    ) -> CliResult<OperatorSession> {
        let target = self.dynamodb.target().await?;
        if let DynamoTarget::Endpoint(url) = &target
            && !is_loopback(url)
        {
            self.require_remote(remote, &shown(url))?;
        }
        self.connect_to(&target, limit).await
    }

    /// Fails unless changes on another machine are allowed.
    pub fn require_remote(&self, remote: RemoteArgs, endpoint: &str) -> CliResult<()> {
        if remote.allow_remote || self.dynamodb.prod {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "{endpoint} is not on this machine: add --allow-remote to seed or delete there, or --prod for production"
        )))
    }

    async fn connect_to(
        &self,
        target: &DynamoTarget,
        limit: ReadUnitsArgs,
    ) -> CliResult<OperatorSession> {
        let address = dynamo_address(target).await?;
        let table = &self.table.table;
        output::remark(&format!(
            "DynamoDB at {}, region {}, table {table}",
            address.url, address.region
        ));
        check_credentials(target).await?;
        let format = self.output.format();
        let on_response = (format == Format::Raw).then(output::response_printer);
        let client = connect_dynamo_for_operators(target).await;
        let limiter = CapacityLimiter::new(limit.read_units);
        let session = OperatorSession {
            messages: MessageStore::with_limiter(
                &client,
                table.clone(),
                on_response,
                limiter.clone(),
            ),
            endpoint: address.url,
            is_aws: target.is_aws(),
            format,
            _throttling: report_throttling(limiter),
        };
        // An unreachable address is reported at once, without the session's long retries.
        let impatient = connect_dynamo(target).await;
        let probe = MessageStore::new(impatient, self.table.table.clone());
        match probe.table_status().await {
            // The commands themselves retry these errors.
            Err(StoreError::Unavailable {
                reason: Reason::Throttled | Reason::Unavailable,
                ..
            })
            | Ok(_) => Ok(session),
            Err(error) => session.explained(Err(error.into())),
        }
    }
}

/// Creates the error for a table that has a stream.
pub(super) fn stream_error(table: &str) -> CliError {
    CliError::Failed(format!(
        "the table {table} has a stream, and the original's stream function would undo the writes of this program: \
         disable the stream, or use --allow-stream if no function that writes to the table processes it"
    ))
}

impl OperatorSession {
    /// Fails if the table has a stream, unless that is allowed.
    pub async fn reject_stream(&self, stream: StreamArgs) -> CliResult<()> {
        if !stream.allow_stream && self.messages.has_stream().await? {
            return Err(stream_error(self.messages.table()));
        }
        Ok(())
    }

    /// Prints the result and its cost: the cost goes to standard error and, with JSON, into the
    /// result.
    pub fn finish(&self, result: Value) -> CliResult<()> {
        self.finish_as(result, |result| result)
    }

    /// Ends output that has one JSON object per line: prints a last line with the summary and the
    /// cost.
    pub fn finish_lines(&self, summary: Value) -> CliResult<()> {
        self.finish_as(summary, |summary| json!({ "summary": summary }))
    }

    fn finish_as(&self, mut result: Value, line: impl FnOnce(Value) -> Value) -> CliResult<()> {
        let cost = self.messages.cost();
        if self.format == Format::Json {
            result["consumedCapacity"] = json!(cost);
            output::print(&output::line(&line(result)))?;
        }
        output::remark_cost(cost);
        output::responses_printed()
    }

    /// Ends a list.
    pub fn finish_list(&self, list: OutputList) -> CliResult<()> {
        list.finish(self.messages.cost())
    }

    /// Replaces errors by readable messages if the table does not exist or DynamoDB is not
    /// reachable.
    pub fn explained<T>(&self, result: CliResult<T>) -> CliResult<T> {
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let (table, endpoint) = (self.messages.table(), &self.endpoint);
        Err(match error.of_store() {
            Some(StoreError::Unavailable {
                service: Service::DynamoDb,
                reason: Reason::Unreachable,
                cause,
            }) => {
                let advice = if self.is_aws {
                    ""
                } else {
                    ". Start it, or select another with --endpoint-url, AWS_ENDPOINT_URL or --prod."
                };
                CliError::Failed(format!(
                    "DynamoDB at {endpoint} is not available: {cause}{advice}"
                ))
            }
            Some(StoreError::Rejected {
                service: Service::DynamoDb,
                reason: Reason::NotFound,
                ..
            }) => CliError::Failed(format!(
                "there is no table {table} at {endpoint}: create it with `cruddur schema-load`, or select another with \
                 --table"
            )),
            _ => error,
        })
    }
}
