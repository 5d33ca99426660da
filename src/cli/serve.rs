//! `serve`: the API in production.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::database_wait::wait_for_database;
use super::listen::{begin_metrics, listen};
use super::operator::stream_error;
use super::running::record;
use super::signals::{INTERRUPTED, Signals};
use super::{CliError, CliResult};
use crate::auth::CognitoVerifier;
use crate::clock::Clock;
use crate::config::{
    ApiArgs, DatabaseArgs, DatabaseWaitArgs, EndpointArgs, LiveArgs, MetricsArgs, SignInArgs,
    StreamArgs, TableArgs, WebAppArgs,
};
use crate::messaging::{Directory, Messaging};
use crate::schema::Api;
use crate::server::{App, Health, Stopped, serve};
use crate::store::{
    DynamoTarget, MessageStore, TableStatus, UserStore, check_credentials, connect_database,
    connect_dynamo, require_current,
};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    sign_in: SignInArgs,
    #[command(flatten)]
    web_app: WebAppArgs,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    dynamodb: EndpointArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    wait: DatabaseWaitArgs,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    stream: StreamArgs,
}

impl ServeArgs {
    pub async fn run(self) -> CliResult<ExitCode> {
        let mut signals = Signals::listen()?;
        let api = Api::new(self.api.introspection, self.api.limits)?;
        let documents = self.api.documents.read(&api, self.web_app.is_on());
        let documents = documents.map_err(CliError::Failed)?;
        let target = self.dynamodb.target(DynamoTarget::Sdk).await?;
        let graphiql = self.api.graphiql();
        let web_app = self.web_app.web_app(&self.sign_in, &graphiql, &documents)?;
        let (verifier, origins) = (self.verifier()?, self.api.origins()?);
        let bus = self.live.bus(&self.table.table);
        let bus =
            bus.map_err(|invalid| CliError::Usage(format!("REDIS_URL (--redis-url): {invalid}")))?;
        let database = self.database.url()?;
        let stores = async {
            let users = wait_for_database(self.wait.database_wait, async || {
                self.users(&database).await
            });
            // Boxed: the two states are needed only until the server listens.
            tokio::try_join!(Box::pin(self.messages(&target)), Box::pin(users))
        };
        let (messages, users) = tokio::select! {
            stores = stores => stores?,
            () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let directory = Directory::new(users.clone(), self.api.user_cache_seconds);
        let health = Health::new(messages.clone(), users);
        let app = App {
            documents,
            api,
            health: Arc::clone(&health),
            messaging: Messaging::new(messages, directory, Clock::system(), bus),
            verifier,
            graphiql,
            web_app,
            origins,
            trusted_proxies: self.api.trusted_proxies(),
            send_rate: self.api.send_rate(),
            bounds: self.api.bounds,
        };
        begin_metrics(&self.metrics).await?;
        let listener = listen(self.api.listen, "--listen").await?;
        let address = listener.local_addr()?;
        let running = record(address);
        if let Err(cause) = &running {
            tracing::warn!(%cause, "the listen address could not be recorded: healthcheck requires --listen or LISTEN_ADDR");
        }
        tracing::info!(%address, "serving");
        let drain = Duration::from_secs(self.api.drain_seconds);
        let stop = signals.stop_after(drain, move || {
            health.drain();
            tracing::info!(seconds = drain.as_secs(), "draining");
        });
        let stopped = serve(listener, app, stop).await?;
        drop(running);
        tracing::info!(?stopped, "stopped");
        Ok(match stopped {
            Stopped::Cleanly => ExitCode::SUCCESS,
            Stopped::CutOff => ExitCode::FAILURE,
        })
    }

    fn verifier(&self) -> CliResult<CognitoVerifier> {
        let issuers = self.sign_in.issuers()?;
        let clients: HashSet<String> = self.sign_in.client_ids()?.into_iter().collect();
        let token_use = self.sign_in.cognito_token_use;
        Ok(CognitoVerifier::start(&issuers, clients, token_use))
    }

    async fn messages(&self, target: &DynamoTarget) -> CliResult<MessageStore> {
        let table = self.table.table.clone();
        if *target == DynamoTarget::Sdk {
            check_credentials(target).await?;
        }
        let messages = MessageStore::new(connect_dynamo(target).await, table.clone());
        match messages.table_status().await? {
            TableStatus::AsExpected { has_stream: true } if !self.stream.allow_stream => {
                Err(stream_error(&table))
            }
            TableStatus::AsExpected { .. } => Ok(messages),
            TableStatus::Missing => Err(CliError::Failed(format!(
                "there is no table {table}: create it with `cruddur schema-load`, or select another with --table"
            ))),
            TableStatus::Different(differences) => Err(CliError::Failed(format!(
                "the table {table} differs from the expected definition: {}",
                differences.join("; ")
            ))),
        }
    }

    async fn users(&self, url: &str) -> CliResult<UserStore> {
        let pool = connect_database(url, self.database.pool()).await?;
        require_current(&pool).await?;
        pool.fill().await;
        Ok(UserStore::new(pool))
    }
}
