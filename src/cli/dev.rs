//! `dev`: everything on one machine, ready to use.

mod places;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use tokio::net::TcpListener;

use super::listen::{begin_metrics, listen};
use super::signals::{INTERRUPTED, stop};
use super::{CliError, CliResult};
use crate::auth::{CognitoVerifier, Issuers, TokenUse};
use crate::clock::Clock;
use crate::config::{
    DEFAULT_LISTEN_ADDRESS, DocumentsArgs, MetricsArgs, TableArgs, database_url_of_environment,
    socket_address,
};
use crate::demo;
use crate::dev::{
    CLIENT_ID, DataDir, DevError, DevResult, DynamoDb, Issuer, Postgres, SigningKey, TOKEN_LIFETIME,
};
use crate::http_url::shown;
use crate::messaging::{Bus, Directory, Messaging};
use crate::schema::{Api, Introspection, Limits, SendRate};
use crate::server::{
    App, Bounds, Documents, Graphiql, Health, Origins, TrustedProxies, WebApp, WebAppConfig,
    WebAppSettings, serve,
};
use crate::store::{
    AwsService, DynamoTarget, MessageStore, NewTable, PoolSettings, TableStatus, UserStore,
    connect_database, connect_dynamo, create_database, endpoint_of_environment, migrate,
    remote_database_host,
};
use places::Places;

/// How long a user is cached before Postgres is queried again. It equals the default of `serve`.
const USERS_FRESH_FOR: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(super) struct DevArgs {
    /// Address that the API listens on [default: 127.0.0.1:4000, or a free port if that is in use]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    listen: Option<SocketAddr>,
    /// Store all data in this directory [default: a temporary directory, deleted on exit]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port of the embedded DynamoDB; a free one if it is in use
    #[arg(long, default_value_t = 8000, value_name = "PORT")]
    dynamodb_port: u16,
    /// Port of the private PostgreSQL; a free one if it is in use
    #[arg(long, default_value_t = 5432, value_name = "PORT")]
    postgres_port: u16,
    /// Port of the token issuer; a free one if it is in use
    #[arg(long, default_value_t = 4001, value_name = "PORT")]
    issuer_port: u16,
    /// Lifetime of the tokens of the issuer in seconds, for example a short one to test their renewal
    #[arg(
        long,
        default_value_t = TOKEN_LIFETIME.num_seconds(),
        value_name = "S",
        value_parser = clap::value_parser!(i64).range(1..=31_536_000)
    )]
    token_seconds: i64,
    /// Print one line of JSON when everything is ready, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    documents: DocumentsArgs,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
}

/// The running embedded services. They stop when this is dropped, and the data directory is dropped
/// last.
struct Services {
    dynamodb_url: String,
    database_url: String,
    _dynamodb: Option<DynamoDb>,
    _postgres: Option<Postgres>,
    data: DataDir,
}

/// Everything that is running, ready to serve.
struct Ready {
    listener: TcpListener,
    app: App,
    places: Places,
    services: Services,
}

impl DevArgs {
    pub async fn run(self) -> CliResult<ExitCode> {
        let json = self.json;
        // Boxed because the future is used here and then moved to the server.
        let mut stop = Box::pin(stop()?);
        let ready = tokio::select! {
            ready = self.start() => ready?,
            () = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let serving = tokio::spawn(serve(ready.listener, ready.app, stop));
        let places = ready.places;
        super::output::print(&if json { places.json() } else { places.text() })?;
        serving.await.map_err(std::io::Error::other)??;
        drop(ready.services);
        Ok(ExitCode::SUCCESS)
    }

    async fn start(self) -> CliResult<Ready> {
        let api = Api::new(Introspection::Public, Limits::default())?;
        let documents = self.documents.read(&api, true).map_err(CliError::Failed)?;
        let listener = self.listener().await?;
        begin_metrics(&self.metrics).await?;
        let given = ConfiguredServices::from_environment()?;
        let (data_dir, ports) = (
            self.data_dir.clone(),
            (self.dynamodb_port, self.postgres_port),
        );
        // Starting the services blocks for a second or two. It runs on a blocking thread, so that
        // Ctrl-C is still handled.
        let services = tokio::task::spawn_blocking(move || Services::start(data_dir, given, ports));
        let services = services.await.map_err(std::io::Error::other)??;
        let (users, messages) = self.stores(&services).await?;
        let clock = Clock::system();
        let key = if services.data.is_temporary() {
            SigningKey::generate()?
        } else {
            SigningKey::open(&services.data.path().join("issuer-key.pem"))?
        };
        let issuer = Issuer::start(
            key,
            self.issuer_port,
            users.clone(),
            clock.clone(),
            TimeDelta::seconds(self.token_seconds),
        )?;
        let directory = Directory::new(users.clone(), USERS_FRESH_FOR);
        let messaging = Messaging::new(messages.clone(), directory, clock.clone(), Bus::local());
        demo::seed(&messaging, &users, clock.now()).await?;
        let places = Places {
            api: listener.local_addr()?,
            dynamodb: services.dynamodb_url.clone(),
            database: services.database_url.clone(),
            issuer: issuer.url().to_owned(),
            token_url: format!("{}/token", issuer.root()),
            table: messages.table().to_owned(),
            tokens: tokens(&issuer, &users).await?,
        };
        let app = App {
            web_app: web_app(&issuer, &documents),
            documents,
            api,
            health: Health::new(messages, users),
            messaging,
            verifier: verifier(&issuer),
            graphiql: graphiql(&issuer, listener.local_addr()?.ip()),
            origins: Origins {
                any_localhost: true,
                ..Origins::default()
            },
            trusted_proxies: TrustedProxies::default(),
            send_rate: SendRate::default(),
            bounds: Bounds::default(),
        };
        Ok(Ready {
            listener,
            app,
            places,
            services,
        })
    }

    /// Listens on the `--listen` address, or by default on port 4000, or a free port if that is in use.
    async fn listener(&self) -> CliResult<TcpListener> {
        let address = self.listen.unwrap_or(DEFAULT_LISTEN_ADDRESS);
        match listen(address, "--listen").await {
            Err(_) if self.listen.is_none() => Ok(TcpListener::bind(("127.0.0.1", 0)).await?),
            listening => listening,
        }
    }

    /// Connects to the stores, migrates the database and creates the table.
    async fn stores(&self, services: &Services) -> CliResult<(UserStore, MessageStore)> {
        let pool = PoolSettings {
            acquire_timeout: Duration::from_secs(5),
            ..PoolSettings::default()
        };
        create_database(&services.database_url).await?;
        let database = connect_database(&services.database_url, pool).await?;
        migrate(&database, None).await?;
        let target = DynamoTarget::Endpoint(services.dynamodb_url.clone());
        let messages = MessageStore::new(connect_dynamo(&target).await, self.table.table.clone());
        if messages.table_status().await? == TableStatus::Missing {
            messages.create_table(NewTable::default()).await?;
            messages.put_heads_marker().await?;
        }
        Ok((UserStore::new(database), messages))
    }
}

/// Services that the environment configures. They must be on this machine.
struct ConfiguredServices {
    dynamodb: Option<String>,
    database: Option<String>,
}

impl ConfiguredServices {
    fn from_environment() -> CliResult<Self> {
        let dynamodb = endpoint_of_environment(AwsService::DynamoDb)?;
        if let Some(endpoint) = dynamodb.as_ref().filter(|endpoint| !endpoint.is_loopback()) {
            let (variable, host) = (endpoint.setting, shown(&endpoint.url));
            return Err(DevError::NotLoopback { variable, host }.into());
        }
        let database = database_url_of_environment();
        if let Some((variable, url)) = &database
            && let Some(host) = remote_database_host(url)?
        {
            return Err(DevError::NotLoopback { variable, host }.into());
        }
        Ok(Self {
            dynamodb: dynamodb.map(|endpoint| endpoint.url),
            database: database.map(|(_, url)| url),
        })
    }
}

impl Services {
    fn start(
        data_dir: Option<PathBuf>,
        given: ConfiguredServices,
        (dynamodb_port, postgres_port): (u16, u16),
    ) -> DevResult<Self> {
        let data = match data_dir {
            Some(path) => DataDir::open(&path)?,
            None => DataDir::temporary()?,
        };
        let (database_url, postgres) = if let Some(url) = given.database {
            (url, None)
        } else {
            let postgres = Postgres::start(&data, postgres_port)?;
            (postgres.url("cruddur"), Some(postgres))
        };
        let (dynamodb_url, dynamodb) = if let Some(url) = given.dynamodb {
            (url, None)
        } else {
            let file = data.path().join("dynamodb.sqlite");
            let file = (!data.is_temporary()).then_some(&*file);
            let dynamodb = DynamoDb::start(file, dynamodb_port)?;
            (dynamodb.url(), Some(dynamodb))
        };
        Ok(Self {
            dynamodb_url,
            database_url,
            _dynamodb: dynamodb,
            _postgres: postgres,
            data,
        })
    }
}

async fn tokens(issuer: &Issuer, users: &UserStore) -> CliResult<BTreeMap<&'static str, String>> {
    let mut tokens = BTreeMap::new();
    for handle in demo::handles() {
        if let Some(sub) = users.find_cognito_id(handle).await? {
            tokens.insert(handle, issuer.token(&sub)?);
        }
    }
    Ok(tokens)
}

/// GraphiQL is signed in only if no other machine can reach it.
fn graphiql(issuer: &Issuer, listening_at: IpAddr) -> Graphiql {
    if listening_at.is_loopback() {
        Graphiql::SignedIn(issuer.session_routes(&demo::handles()))
    } else {
        Graphiql::On
    }
}

fn web_app(issuer: &Issuer, documents: &Documents) -> WebApp {
    let settings = WebAppSettings {
        authority: issuer.url().to_owned(),
        client_id: CLIENT_ID.to_owned(),
        sign_in_origin: None,
        token_use: TokenUse::Access,
        graphiql: true,
        trusted_documents: matches!(documents, Documents::Trusted(_)),
    };
    WebApp::On(Arc::new(WebAppConfig::new(&settings)))
}

fn verifier(issuer: &Issuer) -> CognitoVerifier {
    let issuers = Issuers::of_issuer(issuer.url().to_owned());
    let clients = HashSet::from([CLIENT_ID.to_owned()]);
    CognitoVerifier::start(&issuers, clients, TokenUse::Access)
}
