//! All settings: each with its option, environment variable, default and documentation.
//!
//! A command flattens the argument groups that it uses. Where the ecosystem has a name for an
//! environment variable, that name is used.

mod original;
mod values;

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::auth::{IssuerUrl, Issuers, TokenUse, UserPoolId};
use crate::limit_args::seconds;
use crate::messaging::{Bus, InvalidRedisUrl};
use crate::schema::{Api, Introspection, Limits, SendRate};
use crate::server::{
    Bounds, Documents, Graphiql, HeaderName, Origin, Origins, ProxyNetwork, TrustedProxies, WebApp,
    WebAppConfig, WebAppSettings, web_app_documents,
};
use crate::store::{DynamoTarget, InvalidAwsSetting, LOCAL_DYNAMODB, PoolSettings, Pooling};

pub use original::database_url_of_environment;
pub(crate) use values::socket_address;
pub use values::{ClientId, InvalidSetting, JwksUrl, ListEntry};
use values::{entries, table_name};

/// The AWS SDK's variable for a custom DynamoDB endpoint.
pub const DYNAMODB_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// The default address of the API.
pub const DEFAULT_LISTEN_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);

/// An hour and a day in seconds.
const AN_HOUR: u64 = 60 * 60;
const A_DAY: u64 = 24 * AN_HOUR;
/// The default drain period of a server in seconds. It is longer than Kubernetes needs to remove a
/// pod from every node's endpoints.
pub const DRAIN_SECONDS: u64 = 5;

/// The DynamoDB table.
#[derive(Args, Clone, Debug)]
pub struct TableArgs {
    /// Name or ARN of the table that contains groups and messages
    #[arg(
        long,
        env = "DDB_MESSAGE_TABLE",
        default_value = "cruddur-messages",
        value_name = "NAME",
        value_parser = table_name
    )]
    pub table: String,
}

/// Whether the table may have a stream.
#[derive(Args, Clone, Copy, Debug)]
pub struct StreamArgs {
    /// Allow a table that has a DynamoDB stream, although the stream function of the original Flask
    /// service may process it and undo the writes of this program
    #[arg(long, env = "CRUDDUR_ALLOW_STREAM", value_parser = BoolishValueParser::new())]
    pub allow_stream: bool,
}

/// Rate limit of a command that reads.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ReadUnitsArgs {
    /// Consume at most this many read units per second, over all segments
    ///
    /// Without this option a command reads as fast as DynamoDB responds, and slows down when it is
    /// throttled.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub read_units: Option<u32>,
}

/// The DynamoDB endpoint.
#[derive(Args, Clone, Debug)]
pub struct EndpointArgs {
    /// URL of the DynamoDB endpoint; overrides `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL` and
    /// the AWS profile
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl EndpointArgs {
    /// Returns the endpoint: the option, else the SDK's own settings, else the default.
    pub async fn target(&self, default: DynamoTarget) -> Result<DynamoTarget, InvalidAwsSetting> {
        DynamoTarget::find(self.endpoint_url.as_deref(), default).await
    }
}

/// The DynamoDB endpoint of an operator command.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Use the endpoint that `serve` uses, from the SDK's settings: AWS itself if no endpoint is
    /// configured [default without this option: `http://localhost:8000`]
    ///
    /// Also allows changes of data on another machine.
    #[arg(long, conflicts_with = "endpoint_url")]
    pub prod: bool,
}

impl OperatorArgs {
    /// Returns the endpoint.
    pub async fn target(&self) -> Result<DynamoTarget, InvalidAwsSetting> {
        let default = if self.prod {
            DynamoTarget::Sdk
        } else {
            DynamoTarget::Endpoint(LOCAL_DYNAMODB.to_owned())
        };
        self.endpoint.target(default).await
    }
}

/// Whether data on another machine may be changed.
#[derive(Args, Clone, Copy, Debug)]
pub struct RemoteArgs {
    /// Allow changes of data on another machine that is not AWS, such as `http://ddb:8000` in a
    /// container network
    #[arg(long)]
    pub allow_remote: bool,
}

/// The Postgres database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// URL of the Postgres database that contains the users (by default
    /// `postgres://postgres:password@localhost:5432/cruddur`)
    ///
    /// Percent-encode reserved characters in the user name and the password (/ as %2F, ? as %3F, #
    /// as %23, @ as %40). If the server requires TLS, as RDS does, append
    /// `?sslmode=verify-full&sslrootcert=<file>`. If the URL is not set, a variable of the original
    /// Flask service is used: `CONNECTION_URL`, or `PROD_CONNECTION_URL` with --prod.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// File that contains the password, instead of a password in the URL; it is read again for each
    /// new connection
    ///
    /// Use it for passwords that are rotated. The file contains only the password, or a secret of
    /// Secrets Manager: a JSON object with a `password`. libpq's own files (`?passfile=<file>`,
    /// PGPASSFILE, ~/.pgpass) are also read again.
    #[arg(long, env = "CRUDDUR_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Pooling mode of a connection pooler in front of Postgres: `session` (also without a pooler),
    /// or `transaction`, which cannot use prepared statements across transactions [default:
    /// detected at startup]
    ///
    /// Corresponds to the `pool_mode` of `PgBouncer`.
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_POOLING",
        value_enum,
        value_name = "MODE"
    )]
    database_pooling: Option<Pooling>,
    /// Maximum number of connections to Postgres
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub database_connections: u32,
    /// Timeout for a request to get a connection to Postgres, in milliseconds
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_TIMEOUT_MS",
        default_value_t = 3000,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=A_DAY * 1000)
    )]
    pub database_timeout_ms: u64,
}

impl DatabaseArgs {
    /// Returns the URL of the database, for a command without `--prod`.
    pub fn url(&self) -> Result<String, InvalidSetting> {
        original::database_url(self.database_url.as_deref(), false)
    }

    /// Returns the URL of the database, for a command that has `--prod`.
    pub fn url_with_prod(&self, prod: bool) -> Result<String, InvalidSetting> {
        original::database_url(self.database_url.as_deref(), prod)
    }

    /// Returns the settings of the connection pool.
    pub fn pool(&self) -> PoolSettings {
        PoolSettings {
            max_connections: self.database_connections,
            acquire_timeout: Duration::from_millis(self.database_timeout_ms),
            password_file: self.database_password_file.clone(),
            pooling: self.database_pooling,
        }
    }
}

/// How long to wait for a database that is starting.
#[derive(Args, Clone, Debug)]
pub struct DatabaseWaitArgs {
    /// Maximum time to wait for a database that is not reachable yet, in seconds; 0 makes one
    /// attempt
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_WAIT",
        default_value = "60",
        value_name = "S",
        value_parser = seconds(..=A_DAY)
    )]
    pub database_wait: Duration,
}

/// Which access tokens are accepted.
#[derive(Args, Clone, Debug)]
pub struct SignInArgs {
    /// Cognito user pool whose tokens are accepted
    #[arg(long, env = "AWS_COGNITO_USER_POOL_ID", value_name = "ID")]
    pub cognito_user_pool_id: Option<UserPoolId>,
    /// App clients whose tokens are accepted
    #[arg(
        long,
        env = "AWS_COGNITO_USER_POOL_CLIENT_ID",
        value_delimiter = ',',
        value_name = "ID,…"
    )]
    cognito_client_id: Vec<ListEntry<ClientId>>,
    /// Type of Cognito token that is accepted
    #[arg(long, env = "CRUDDUR_COGNITO_TOKEN_USE", value_enum, ignore_case = true, default_value_t = TokenUse::Access)]
    pub cognito_token_use: TokenUse,
    /// Issuers whose tokens are accepted, instead of the issuers of the user pool
    #[arg(
        long,
        env = "COGNITO_ISSUER",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "URL,…"
    )]
    cognito_issuer: Vec<ListEntry<IssuerUrl>>,
    /// URLs of the key sets (JWKS), instead of the issuers' `/.well-known/jwks.json`: one for all
    /// issuers, or one for each in the same order
    #[arg(
        long,
        env = "COGNITO_JWKS_URL",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "URL,…"
    )]
    cognito_jwks_url: Vec<ListEntry<JwksUrl>>,
}

impl SignInArgs {
    /// Returns the issuers, or an error that names the missing or invalid setting.
    pub fn issuers(&self) -> Result<Issuers, InvalidSetting> {
        let urls = entries(&self.cognito_issuer);
        let names = urls.iter().map(|url| url.normal.clone());
        let issuers = Issuers::named(names.collect())
            .or_else(|| self.cognito_user_pool_id.as_ref().map(Issuers::of_pool))
            .ok_or_else(|| {
                InvalidSetting::missing(
                    "AWS_COGNITO_USER_POOL_ID (--cognito-user-pool-id) or COGNITO_ISSUER (--cognito-issuer)",
                )
            })?;
        let key_sets = entries(&self.cognito_jwks_url).into_iter();
        let key_sets: Vec<String> = key_sets.map(|JwksUrl(url)| url).collect();
        let invalid = |error| InvalidSetting::new("COGNITO_JWKS_URL (--cognito-jwks-url)", error);
        let issuers = issuers.with_jwks_urls(&key_sets).map_err(invalid)?;
        Ok(issuers.with_spellings(&urls))
    }

    /// Returns the IDs of the app clients.
    pub fn client_ids(&self) -> Result<Vec<String>, InvalidSetting> {
        let ids = entries(&self.cognito_client_id);
        if ids.is_empty() {
            return Err(InvalidSetting::missing(
                "AWS_COGNITO_USER_POOL_CLIENT_ID (--cognito-client-id)",
            ));
        }
        Ok(ids.into_iter().map(|ClientId(id)| id).collect())
    }
}

/// The web app.
#[derive(Args, Clone, Debug)]
pub struct WebAppArgs {
    /// Serve the web app at /, with its own sign-in
    #[arg(long, env = "CRUDDUR_APP", value_enum, ignore_case = true, default_value_t = Switch::Off)]
    app: Switch,
    /// App client with which users sign in to the web app [default: the first of
    /// --cognito-client-id]
    #[arg(long, env = "CRUDDUR_APP_CLIENT_ID", value_name = "ID")]
    app_client_id: Option<ClientId>,
    /// Origin of the user pool's domain, where users sign in to the web app, such as
    /// `https://cruddur.auth.eu-central-1.amazoncognito.com`; required with a user pool [default:
    /// the issuer's origin]
    #[arg(long, env = "CRUDDUR_APP_SIGN_IN_ORIGIN", value_name = "ORIGIN")]
    app_sign_in_origin: Option<Origin>,
}

impl WebAppArgs {
    /// Whether the web app is served.
    pub fn is_on(&self) -> bool {
        self.app == Switch::On
    }

    /// Returns whether and how the web app is served, or an error that names the missing or
    /// invalid setting.
    pub fn web_app(
        &self,
        sign_in: &SignInArgs,
        graphiql: &Graphiql,
        documents: &Documents,
    ) -> Result<WebApp, InvalidSetting> {
        if !self.is_on() {
            return Ok(WebApp::Off);
        }
        let sign_in_origin = self.app_sign_in_origin.as_ref().map(Origin::to_string);
        let issuers = sign_in.issuers()?;
        if sign_in_origin.is_none() && entries(&sign_in.cognito_issuer).is_empty() {
            return Err(InvalidSetting::missing(
                "CRUDDUR_APP_SIGN_IN_ORIGIN (--app-sign-in-origin), the origin of the user pool's domain",
            ));
        }
        let accepted = sign_in.client_ids()?;
        let client_id = match &self.app_client_id {
            None => accepted.first(),
            Some(ClientId(id)) => accepted.iter().find(|accepted| *accepted == id),
        };
        let client_id = client_id.cloned().ok_or_else(|| {
            let why = "it is not one of AWS_COGNITO_USER_POOL_CLIENT_ID (--cognito-client-id)";
            InvalidSetting::new("CRUDDUR_APP_CLIENT_ID (--app-client-id)", why)
        })?;
        let authority = issuers.iter().next().map(|issuer| issuer.name.clone());
        let settings = WebAppSettings {
            authority: authority.unwrap_or_default(),
            client_id,
            sign_in_origin,
            token_use: sign_in.cognito_token_use,
            graphiql: !matches!(graphiql, Graphiql::Off),
            trusted_documents: matches!(documents, Documents::Trusted(_)),
        };
        let config = WebAppConfig::new(&settings);
        Ok(WebApp::On(Arc::new(config)))
    }
}

/// Which documents can be executed.
#[derive(Args, Clone, Debug)]
pub struct DocumentsArgs {
    /// Serve only the documents of this manifest, by their IDs: JSON in the format of
    /// graphql-codegen, relay-compiler or Apollo's tools; or `app`: only the documents of the web
    /// app. If the web app is served, its documents are always included
    #[arg(long, env = "CRUDDUR_TRUSTED_DOCUMENTS", value_name = "FILE|app")]
    trusted_documents: Option<PathBuf>,
}

impl DocumentsArgs {
    /// Returns the documents that requests can refer to by an ID, or a description of the problem
    /// with the manifest.
    pub fn read(&self, api: &Api, serves_app: bool) -> Result<Documents, String> {
        let Some(file) = &self.trusted_documents else {
            return Ok(Documents::default());
        };
        let wrong = |why: &dyn Display| format!("--trusted-documents {}: {why}", file.display());
        let is_app = file.as_os_str() == "app";
        let app = web_app_documents().filter(|_| is_app || serves_app);
        let manifest = if is_app {
            None
        } else {
            Some(std::fs::read_to_string(file).map_err(|error| wrong(&error))?)
        };
        if is_app && app.is_none() {
            return Err(wrong(&"this program was built without the web app"));
        }
        let manifests = manifest.iter().chain(&app).map(String::as_str);
        Documents::trusted(manifests, api).map_err(|error| wrong(&error))
    }
}

/// How instances notify each other of changes.
#[derive(Args, Clone, Debug)]
pub struct LiveArgs {
    /// URL of the Redis or Valkey server through which instances notify each other of new messages;
    /// required if there is more than one instance [default: none]
    ///
    /// `rediss://` uses TLS. While the server is unavailable, subscriptions deliver messages of
    /// other instances late, but lose no message.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
}

impl LiveArgs {
    /// Creates the bus to the instances that use the same table.
    pub fn bus(&self, table: &str) -> Result<Bus, InvalidRedisUrl> {
        match &self.redis_url {
            Some(url) => Bus::between_instances(url, table),
            None => Ok(Bus::local()),
        }
    }
}

/// The metrics endpoint.
#[derive(Args, Clone, Debug)]
pub struct MetricsArgs {
    /// Address on which to serve `GET /metrics` for Prometheus; clients must not be able to reach
    /// it [default: none]
    #[arg(long, env = "CRUDDUR_METRICS_LISTEN", value_name = "ADDRESS:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,
}

/// A feature that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    // With the value `skip`, the same variable excludes the page from a build.
    #[value(alias = "skip")]
    Off,
}

/// The API.
#[derive(Args, Clone, Debug)]
pub struct ApiArgs {
    /// Address to listen on
    #[arg(
        long,
        env = "LISTEN_ADDR",
        default_value_t = DEFAULT_LISTEN_ADDRESS,
        value_name = "ADDRESS:PORT",
        value_parser = socket_address
    )]
    pub listen: SocketAddr,
    /// Who can query the schema (introspection)
    #[arg(long, env = "CRUDDUR_INTROSPECTION", value_enum, ignore_case = true, default_value_t = Introspection::Authenticated)]
    pub introspection: Introspection,
    /// Serve GraphiQL at /graphiql, with a field for a token
    #[arg(long, env = "CRUDDUR_GRAPHIQL", value_enum, ignore_case = true, default_value_t = Switch::Off)]
    graphiql: Switch,
    /// Origins whose pages can call the API from a browser, including those of apps' web views such
    /// as `capacitor://localhost`
    #[arg(
        long,
        env = "CRUDDUR_CORS_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN,…"
    )]
    cors_origin: Vec<ListEntry<Origin>>,
    /// Additional request headers that pages of these origins can send; `*` allows any header
    ///
    /// Headers of common tools are always allowed: Apollo Client, OpenTelemetry, Sentry, Datadog,
    /// New Relic and others.
    #[arg(
        long,
        env = "CRUDDUR_CORS_HEADER",
        value_delimiter = ',',
        value_parser = header_name,
        value_name = "NAME,…"
    )]
    cors_header: Vec<ListEntry<HeaderName>>,
    /// Networks of the proxies and load balancers in front of the server, such as `10.0.0.0/8`:
    /// for a request from one of them, the log contains the client's address from the
    /// `X-Forwarded-For` or `Forwarded` header [default: none]
    #[arg(
        long,
        env = "CRUDDUR_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR,…"
    )]
    trusted_proxies: Vec<ListEntry<ProxyNetwork>>,
    /// Which documents can be executed.
    #[command(flatten)]
    pub documents: DocumentsArgs,
    /// Time to cache a user before querying Postgres again, in seconds; 0 disables the cache
    #[arg(
        long,
        env = "CRUDDUR_USER_CACHE_SECONDS",
        default_value = "30",
        value_name = "S",
        value_parser = seconds(..=A_DAY)
    )]
    pub user_cache_seconds: Duration,
    /// Drain period after SIGTERM in seconds, in which requests are still served and /readyz
    /// returns 503; 0 shuts down at once
    ///
    /// Set it to at least the time that load balancers need to stop sending requests. A second
    /// signal ends the drain period. After it, requests in flight have 25 seconds to complete.
    #[arg(
        long,
        env = "CRUDDUR_DRAIN_SECONDS",
        default_value_t = DRAIN_SECONDS,
        value_name = "S",
        value_parser = clap::value_parser!(u64).range(..=AN_HOUR)
    )]
    pub drain_seconds: u64,
    /// The limits of the server.
    #[command(flatten)]
    pub bounds: Bounds,
    /// The limits of an operation.
    #[command(flatten)]
    pub limits: Limits,
    /// Maximum number of messages that one caller can send per second, including group lookups that
    /// read all rows of two users; 0 disables the limit
    #[arg(long, env = "CRUDDUR_SEND_RATE", help_heading = "Limits", default_value_t = SendRate::PER_SECOND, value_name = "N")]
    send_rate: u32,
    /// Maximum number of messages, including group lookups that read all rows of two users, that
    /// one caller can send in a burst
    #[arg(
        long,
        env = "CRUDDUR_SEND_BURST",
        help_heading = "Limits",
        default_value_t = SendRate::BURST,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    send_burst: u32,
}

fn header_name(text: &str) -> Result<ListEntry<HeaderName>, String> {
    let name = text.parse();
    name.map_err(|_| "it is not the name of an HTTP header".to_owned())
}

impl ApiArgs {
    /// Returns how GraphiQL is served.
    pub fn graphiql(&self) -> Graphiql {
        match self.graphiql {
            Switch::On => Graphiql::On,
            Switch::Off => Graphiql::Off,
        }
    }

    /// Returns the rate limit on the messages that one caller sends.
    pub fn send_rate(&self) -> SendRate {
        SendRate::new(self.send_rate, self.send_burst)
    }

    /// Returns the proxies whose forwarding headers are trusted.
    pub fn trusted_proxies(&self) -> TrustedProxies {
        entries(&self.trusted_proxies).into_iter().collect()
    }

    /// Returns the origins that can call the API from a browser.
    pub fn origins(&self) -> Result<Origins, InvalidSetting> {
        let mut named = entries(&self.cors_origin);
        if named.is_empty() {
            named = original::origins()?;
        }
        Ok(Origins {
            named,
            request_headers: entries(&self.cors_header),
            ..Origins::default()
        })
    }
}
