//! What the commands that read or write the table have in common.

use clap::Args;
use serde_json::{Map, Value, json};

use super::CliError;
use super::output::{self, Format, List, OutputArgs};
use super::throttling::ThrottlingReport;
use crate::config::{OperatorArgs, ReadUnitsArgs, StreamArgs, TableArgs};
use crate::store::{
    DynamoTarget, MessageStore, Pacer, Reason, Service, StoreError, check_credentials,
    connect_dynamo, connect_dynamo_patiently,
};

/// AWS itself, in words.
const AWS: &str = "AWS";

#[derive(Args, Clone, Debug)]
pub(super) struct Operator {
    #[command(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    pub dynamodb: OperatorArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A store whose calls are counted.
pub(super) struct Session {
    pub messages: MessageStore,
    place: String,
    pub format: Format,
    _throttling: ThrottlingReport,
}

impl Operator {
    /// The store. Asks for credentials where it is AWS itself.
    pub async fn connect(&self) -> Result<Session, CliError> {
        self.connect_limited(ReadUnitsArgs { read_units: None })
            .await
    }

    /// The store, whose reads are limited. Its calls wait out throttling.
    pub async fn connect_limited(&self, limit: ReadUnitsArgs) -> Result<Session, CliError> {
        let target = self.dynamodb.target();
        check_credentials(&target).await?;
        let format = self.output.format();
        let echo = (format == Format::Raw).then(output::echo);
        let client = connect_dynamo_patiently(&target).await;
        let pacer = Pacer::new(limit.read_units);
        let table = self.table.table.clone();
        let session = Session {
            messages: MessageStore::paced(&client, table, echo, pacer.clone()),
            place: self.place(),
            format,
            _throttling: ThrottlingReport::start(pacer),
        };
        // A wrong address is told at once, and not after all the patience.
        let impatient = connect_dynamo(&target).await;
        let probe = MessageStore::new(impatient, self.table.table.clone());
        match probe.table_status().await {
            // The commands themselves wait that out.
            Err(StoreError::Unavailable {
                reason: Reason::Throttled | Reason::Unavailable,
                ..
            })
            | Ok(_) => Ok(session),
            Err(error) => session.explained(Err(error.into())),
        }
    }

    /// Where the table is, in words.
    pub fn place(&self) -> String {
        match self.dynamodb.target() {
            DynamoTarget::Sdk => AWS.to_owned(),
            DynamoTarget::Endpoint { url, .. } => url,
        }
    }

    /// Nothing on another machine is destroyed, or filled with demo data, by a
    /// variable that happens to be set.
    pub fn refuse_elsewhere(&self) -> Result<(), CliError> {
        match self.dynamodb.target() {
            DynamoTarget::Endpoint {
                url,
                loopback: false,
            } => Err(elsewhere(&url)),
            _ => Ok(()),
        }
    }
}

/// Something is on another machine.
pub(super) fn elsewhere(place: &str) -> CliError {
    CliError::Usage(format!(
        "{place} is not on this machine: what seeds or destroys is done elsewhere only with --prod"
    ))
}

/// A table has a stream.
pub(super) fn stream_refusal(table: &str) -> CliError {
    CliError::Failed(format!(
        "the table {table} has a stream, and the original's stream function behind it would undo what is written here: \
         switch the stream off, or say --allow-stream if nothing is behind it that writes"
    ))
}

impl Session {
    /// Where the table is, in words.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Refuses to write to a table with a stream, unless that is allowed.
    pub async fn refuse_stream(&self, stream: StreamArgs) -> Result<(), CliError> {
        if !stream.allow_stream && self.messages.has_stream().await? {
            return Err(stream_refusal(self.messages.table()));
        }
        Ok(())
    }

    /// For the end: what it cost, on standard error and in the JSON.
    pub fn finish(&self, result: Map<String, Value>) -> Result<(), CliError> {
        let cost = self.messages.cost();
        if self.format == Format::Json {
            let mut result = result;
            result.insert("consumedCapacity".to_owned(), output::cost_json(cost));
            output::print(&output::line(&Value::Object(result)))?;
        }
        output::remark_cost(cost);
        output::echoed()
    }

    /// The end of lines of JSON: a last line with a summary, and what it cost.
    pub fn finish_lines(&self, summary: Map<String, Value>) -> Result<(), CliError> {
        let cost = self.messages.cost();
        if self.format == Format::Json {
            let mut summary = summary;
            summary.insert("consumedCapacity".to_owned(), output::cost_json(cost));
            output::print(&output::line(&json!({ "summary": summary })))?;
        }
        output::remark_cost(cost);
        output::echoed()
    }

    /// The end of a list.
    pub fn finish_list(&self, list: List) -> Result<(), CliError> {
        list.finish(self.messages.cost())
    }

    /// A result whose failure is put in words: a table that is not there is
    /// named as that, and so is a store that is not.
    pub fn explained<T>(&self, result: Result<T, CliError>) -> Result<T, CliError> {
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let (table, place) = (self.messages.table(), &self.place);
        Err(match error.of_store() {
            Some(StoreError::Unavailable {
                service: Service::DynamoDb,
                reason: Reason::Unreachable,
                cause,
            }) if place == AWS => {
                CliError::Failed(format!("DynamoDB at {place} is not available: {cause}"))
            }
            Some(StoreError::Unavailable {
                service: Service::DynamoDb,
                reason: Reason::Unreachable,
                cause,
            }) => CliError::Failed(format!(
                "DynamoDB at {place} is not available: {cause}. Start it, or name another with --endpoint-url or --prod."
            )),
            Some(StoreError::Refused {
                service: Service::DynamoDb,
                reason: Reason::NotFound,
                ..
            }) => CliError::Failed(format!(
                "there is no table {table} at {place}: create it with `cruddur schema-load`, or name another with \
                 --table"
            )),
            _ => error,
        })
    }
}
