//! Every setting: its option, its environment variable, its default, its doc.
//!
//! A command flattens the groups that it uses. Where the ecosystem has a name
//! for a variable, that is the one.

mod original;
mod values;

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderName;
use clap::Args;
use clap::builder::BoolishValueParser;

use crate::auth::{IssuerUrl, Issuers, TokenUse, UserPoolId};
use crate::messaging::{Bus, InvalidRedisUrl};
use crate::schema::{Api, Introspection, Limits, SendRate};
use crate::server::{Bounds, Documents, Graphiql, Origin, Origins};
use crate::store::{DynamoDefault, DynamoTarget, InvalidAwsSetting, PoolSettings, Pooling};

pub use original::database_url_of_environment;
pub(crate) use values::socket_address;
pub use values::{ClientId, Entry, InvalidSetting, JwksUrl};
use values::{entries, table_name};

/// The SDK's own variable for another DynamoDB than AWS's.
pub const DYNAMODB_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// The database of users where no setting names another, as the original's.
pub const DEFAULT_DATABASE_URL: &str = "postgres://postgres:password@localhost:5432/cruddur";

/// The address of the API where no setting names another.
pub const DEFAULT_LISTEN_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);

/// In seconds.
const AN_HOUR: u64 = 60 * 60;
const A_DAY: u64 = 24 * AN_HOUR;
/// How long a server drains unless set otherwise, in seconds: longer than
/// Kubernetes needs to remove a pod from every node's endpoints.
pub const DRAIN_SECONDS: u64 = 5;

/// The table.
#[derive(Args, Clone, Debug)]
pub struct TableArgs {
    /// Table that holds groups and messages
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
    /// Accept a table with a stream, although the original's stream function
    /// may read it, which would undo what is written here
    #[arg(long, env = "CRUDDUR_ALLOW_STREAM", value_parser = BoolishValueParser::new())]
    pub allow_stream: bool,
}

/// Limit of what a reading command consumes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ReadUnitsArgs {
    /// Consume at most so many read units a second, all parts together
    ///
    /// Without it a command reads as fast as DynamoDB answers, and slows down
    /// where it is throttled.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub read_units: Option<u32>,
}

/// Where DynamoDB is.
#[derive(Args, Clone, Debug)]
pub struct EndpointArgs {
    /// Address of DynamoDB, if not what `AWS_ENDPOINT_URL_DYNAMODB`,
    /// `AWS_ENDPOINT_URL` or the AWS profile say
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl EndpointArgs {
    /// The option, then the SDK's own settings, then the default.
    pub async fn target(&self, default: DynamoDefault) -> Result<DynamoTarget, InvalidAwsSetting> {
        DynamoTarget::find(self.endpoint_url.as_deref(), default).await
    }
}

/// Where an operator's command finds DynamoDB.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Use the store that `serve` uses by the SDK's settings: AWS itself, where
    /// no endpoint is configured [default: `http://localhost:8000` there]
    ///
    /// Also allows seeding and deleting on another machine.
    #[arg(long, conflicts_with = "endpoint_url")]
    pub prod: bool,
}

impl OperatorArgs {
    /// Where to.
    pub async fn target(&self) -> Result<DynamoTarget, InvalidAwsSetting> {
        let default = if self.prod {
            DynamoDefault::Aws
        } else {
            DynamoDefault::Local
        };
        self.endpoint.target(default).await
    }
}

/// Whether data on another machine may be changed.
#[derive(Args, Clone, Copy, Debug)]
pub struct RemoteArgs {
    /// Allow seeding and deleting on another machine that is not AWS, such as
    /// `http://ddb:8000` in a network of containers
    #[arg(long)]
    pub allow_remote: bool,
}

/// Postgres.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Postgres database that holds the users
    /// [default: `postgres://postgres:password@localhost:5432/cruddur`]
    ///
    /// Reserved characters of user name and password are percent-encoded (/ as
    /// %2F, ? as %3F, # as %23, @ as %40). For a server that wants TLS, as RDS
    /// does, end it with `?sslmode=verify-full&sslrootcert=<file>`. The
    /// original's `CONNECTION_URL`, and with --prod `PROD_CONNECTION_URL`, are read
    /// where this is not set.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// File that holds the password, instead of one in the URL; it is read again
    /// for each new connection
    ///
    /// For passwords that are rotated. The file holds the password alone, or a
    /// secret of Secrets Manager: a JSON object with a `password`. libpq's own
    /// files (`?passfile=<file>`, PGPASSFILE, ~/.pgpass) are read again as well.
    #[arg(long, env = "CRUDDUR_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// How a pooler between here and Postgres shares connections: by `session`,
    /// as without one, or by `transaction`, where statements cannot stay
    /// prepared [default: detected at the start]
    ///
    /// The `pool_mode` of a `PgBouncer`.
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_POOLING",
        value_enum,
        value_name = "MODE"
    )]
    database_pooling: Option<PoolMode>,
    /// Most connections to Postgres
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub database_connections: u32,
    /// How long a request waits for a connection to Postgres, in milliseconds
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
    /// The address of the database, for a command without `--prod`.
    pub fn url(&self) -> Result<String, InvalidSetting> {
        original::database_url(self.database_url.as_deref(), false)
    }

    /// The same for a command that has `--prod`.
    pub fn url_with_prod(&self, prod: bool) -> Result<String, InvalidSetting> {
        original::database_url(self.database_url.as_deref(), prod)
    }

    /// How the pool behaves.
    #[must_use]
    pub fn pool(&self) -> PoolSettings {
        PoolSettings {
            max_connections: self.database_connections,
            acquire_timeout: Duration::from_millis(self.database_timeout_ms),
            password_file: self.database_password_file.clone(),
            pooling: self.database_pooling.map(PoolMode::pooling),
        }
    }
}

/// When a pooler gives a connection another server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PoolMode {
    Session,
    Transaction,
}

impl PoolMode {
    fn pooling(self) -> Pooling {
        match self {
            Self::Session => Pooling::Session,
            Self::Transaction => Pooling::Transaction,
        }
    }
}

/// For how long a database that is starting is waited for.
#[derive(Args, Clone, Debug)]
pub struct DatabaseWaitArgs {
    /// How long to wait for a database that cannot be reached yet, in seconds; 0
    /// is one attempt
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_WAIT",
        default_value_t = 60,
        value_name = "S",
        value_parser = clap::value_parser!(u64).range(..=A_DAY)
    )]
    pub database_wait: u64,
}

impl DatabaseWaitArgs {
    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.database_wait)
    }
}

/// Whose tokens are taken.
#[derive(Args, Clone, Debug)]
pub struct SignInArgs {
    /// Cognito user pool whose tokens are taken
    #[arg(long, env = "AWS_COGNITO_USER_POOL_ID", value_name = "ID")]
    pub cognito_user_pool_id: Option<UserPoolId>,
    /// App clients whose tokens are taken
    #[arg(
        long,
        env = "AWS_COGNITO_USER_POOL_CLIENT_ID",
        value_delimiter = ',',
        value_name = "ID,…"
    )]
    cognito_client_id: Vec<Entry<ClientId>>,
    /// Which of Cognito's tokens are taken
    #[arg(long, env = "CRUDDUR_COGNITO_TOKEN_USE", value_enum, ignore_case = true, default_value_t = TokenUse::Access)]
    pub cognito_token_use: TokenUse,
    /// Issuers whose tokens are taken, if not the pool's own
    #[arg(
        long,
        env = "COGNITO_ISSUER",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "URL,…"
    )]
    cognito_issuer: Vec<Entry<IssuerUrl>>,
    /// Addresses of the key sets, if not the issuers' `/.well-known/jwks.json`:
    /// one for all issuers, or one for each in the same order
    #[arg(
        long,
        env = "COGNITO_JWKS_URL",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "URL,…"
    )]
    cognito_jwks_url: Vec<Entry<JwksUrl>>,
}

impl SignInArgs {
    /// The issuers, or which setting is missing or wrong.
    pub fn issuers(&self) -> Result<Issuers, InvalidSetting> {
        let urls = entries(&self.cognito_issuer);
        let issuers = Issuers::named(urls.iter().map(IssuerUrl::normal).collect())
            .or_else(|| self.cognito_user_pool_id.as_ref().map(Issuers::of_pool))
            .ok_or_else(|| {
                InvalidSetting::missing(
                    "AWS_COGNITO_USER_POOL_ID (--cognito-user-pool-id) or COGNITO_ISSUER (--cognito-issuer)",
                )
            })?;
        let key_sets = entries(&self.cognito_jwks_url).into_iter();
        let key_sets: Vec<String> = key_sets.map(|JwksUrl(url)| url).collect();
        let issuers = issuers
            .with_jwks_urls(&key_sets)
            .map_err(|error| InvalidSetting::new("COGNITO_JWKS_URL (--cognito-jwks-url)", error))?;
        Ok(issuers.with_spellings(&urls))
    }

    /// The ids of the app clients.
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

/// What may be asked.
#[derive(Args, Clone, Debug)]
pub struct DocumentsArgs {
    /// Serve only the documents of this manifest, by their ids: JSON, as
    /// graphql-codegen, relay-compiler or Apollo's tools write it
    #[arg(long, env = "CRUDDUR_TRUSTED_DOCUMENTS", value_name = "FILE")]
    trusted_documents: Option<PathBuf>,
}

impl DocumentsArgs {
    /// The documents that are known by an id, or what is wrong with the manifest
    /// that is named.
    pub fn read(&self, api: &Api) -> Result<Documents, String> {
        let Some(file) = &self.trusted_documents else {
            return Ok(Documents::default());
        };
        let wrong = |why: &dyn Display| format!("--trusted-documents {}: {why}", file.display());
        let manifest = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        Documents::trusted(&manifest, api).map_err(|error| wrong(&error))
    }
}

/// How instances tell each other what happens.
#[derive(Args, Clone, Debug)]
pub struct LiveArgs {
    /// Redis or Valkey through which instances tell each other of new messages;
    /// needed as soon as there is more than one [default: none]
    ///
    /// `rediss://` is with TLS. While it is away subscriptions are late, and
    /// nothing is lost.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
}

impl LiveArgs {
    /// The bus to those instances that use the same table.
    pub fn bus(&self, table: &str) -> Result<Bus, InvalidRedisUrl> {
        match &self.redis_url {
            Some(url) => Bus::between_instances(url, table),
            None => Ok(Bus::local()),
        }
    }
}

/// What is told to those who run it.
#[derive(Args, Clone, Debug)]
pub struct MetricsArgs {
    /// Address of `GET /metrics` for Prometheus, to be out of clients' reach
    /// [default: none]
    #[arg(long, env = "CRUDDUR_METRICS_LISTEN", value_name = "ADDRESS:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,
}

/// Something that there is or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    // What the same variable says to leave it out of a build.
    #[value(alias = "skip")]
    Off,
}

/// How the API behaves.
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
    /// Who may ask for the schema
    #[arg(long, env = "CRUDDUR_INTROSPECTION", value_enum, ignore_case = true, default_value_t = Introspection::Authenticated)]
    pub introspection: Introspection,
    /// Whether there is a GraphiQL at /graphiql, with a field for a token
    #[arg(long, env = "CRUDDUR_GRAPHIQL", value_enum, ignore_case = true, default_value_t = Switch::Off)]
    graphiql: Switch,
    /// Origins whose pages may call the API from a browser, those of apps' web
    /// views such as `capacitor://localhost` included
    #[arg(
        long,
        env = "CRUDDUR_CORS_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN,…"
    )]
    cors_origin: Vec<Entry<Origin>>,
    /// More request headers that those pages may send; `*` is any
    ///
    /// Those of the usual tools are allowed anyway: Apollo Client, OpenTelemetry,
    /// Sentry, Datadog, New Relic and others.
    #[arg(
        long,
        env = "CRUDDUR_CORS_HEADER",
        value_delimiter = ',',
        value_parser = header_name,
        value_name = "NAME,…"
    )]
    cors_header: Vec<Entry<HeaderName>>,
    /// What may be asked.
    #[command(flatten)]
    pub documents: DocumentsArgs,
    /// How long a user is kept before Postgres is asked again, in seconds; 0 is
    /// not at all
    #[arg(
        long,
        env = "CRUDDUR_USER_CACHE_SECONDS",
        default_value_t = 30,
        value_name = "S",
        value_parser = clap::value_parser!(u64).range(..=A_DAY)
    )]
    pub user_cache_seconds: u64,
    /// How long everything is still served after SIGTERM, in seconds, while
    /// /readyz answers 503; 0 stops at once
    ///
    /// At least as long as load balancers take to send nothing more here. A
    /// second signal ends this period. What is in flight then has 25 seconds to
    /// finish.
    #[arg(
        long,
        env = "CRUDDUR_DRAIN_SECONDS",
        default_value_t = DRAIN_SECONDS,
        value_name = "S",
        value_parser = clap::value_parser!(u64).range(..=AN_HOUR)
    )]
    pub drain_seconds: u64,
    #[command(flatten)]
    bounds: BoundsArgs,
}

/// How much may be asked for, and how fast.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct BoundsArgs {
    /// Bytes of a request's body
    #[arg(long, env = "CRUDDUR_MAX_BODY_BYTES", default_value_t = Bounds::default().body_bytes, value_name = "N", value_parser = at_least_one())]
    max_body_bytes: usize,
    /// GraphQL requests that are worked on at a time; others get 503
    #[arg(long, env = "CRUDDUR_MAX_IN_FLIGHT", default_value_t = Bounds::default().in_flight, value_name = "N", value_parser = at_least_one())]
    max_in_flight: usize,
    /// Bytes of answers that are being made or wait to be read; others get 503
    #[arg(long, env = "CRUDDUR_MAX_UNREAD_BYTES", default_value_t = Bounds::default().unread_bytes, value_name = "N", value_parser = at_least_one())]
    max_unread_bytes: usize,
    /// Connections at a time; others get 503
    #[arg(long, env = "CRUDDUR_MAX_CONNECTIONS", default_value_t = Bounds::default().connections, value_name = "N", value_parser = at_least_one())]
    max_connections: usize,
    /// How long a connection is kept between two requests, in seconds: longer
    /// than a load balancer in front of it keeps it
    #[arg(long, env = "CRUDDUR_IDLE_SECONDS", default_value_t = Bounds::default().idle_for.as_secs(), value_name = "S", value_parser = clap::value_parser!(u64).range(1..=A_DAY))]
    idle_seconds: u64,
    /// Subscriptions of a WebSocket at a time
    #[arg(long, env = "CRUDDUR_MAX_SUBSCRIPTIONS", default_value_t = Bounds::default().subscriptions, value_name = "N", value_parser = at_least_one())]
    max_subscriptions: usize,
    /// Sockets of a user at a time; others are closed with 1013
    #[arg(long, env = "CRUDDUR_MAX_SOCKETS_PER_USER", default_value_t = Bounds::default().sockets_per_user, value_name = "N", value_parser = at_least_one())]
    max_sockets_per_user: usize,
    /// Bytes of a document
    #[arg(long, env = "CRUDDUR_MAX_DOCUMENT_BYTES", default_value_t = Limits::default().document_bytes, value_name = "N", value_parser = at_least_one())]
    max_document_bytes: usize,
    /// Tokens of a document
    #[arg(long, env = "CRUDDUR_MAX_TOKENS", default_value_t = Limits::default().tokens, value_name = "N", value_parser = at_least_one())]
    max_tokens: usize,
    /// Selections of an operation, with its fragments expanded
    #[arg(long, env = "CRUDDUR_MAX_SELECTIONS", default_value_t = Limits::default().selections, value_name = "N", value_parser = at_least_one())]
    max_selections: usize,
    /// Aliases of an operation, with its fragments expanded
    #[arg(long, env = "CRUDDUR_MAX_ALIASES", default_value_t = Limits::default().aliases, value_name = "N", value_parser = at_least_one())]
    max_aliases: usize,
    /// Fields at the root of an operation
    #[arg(long, env = "CRUDDUR_MAX_ROOT_FIELDS", default_value_t = Limits::default().root_fields, value_name = "N", value_parser = at_least_one())]
    max_root_fields: usize,
    /// Fields inside of each other
    #[arg(long, env = "CRUDDUR_MAX_DEPTH", default_value_t = Limits::default().depth, value_name = "N", value_parser = at_least_one())]
    max_depth: usize,
    /// Fields inside of each other below `__schema` and `__type`
    #[arg(long, env = "CRUDDUR_MAX_INTROSPECTION_DEPTH", default_value_t = Limits::default().introspection_depth, value_name = "N", value_parser = at_least_one())]
    max_introspection_depth: usize,
    /// Bytes that an operation can answer, were every message as long as it may be
    #[arg(long, env = "CRUDDUR_MAX_ANSWER_BYTES", default_value_t = Limits::default().answer_bytes, value_name = "N", value_parser = at_least_one())]
    max_answer_bytes: usize,
    /// Objects that an operation can answer
    #[arg(long, env = "CRUDDUR_MAX_NODES", default_value_t = Limits::default().nodes, value_name = "N", value_parser = at_least_one())]
    max_nodes: usize,
    /// Messages that one caller may send in a second, counting lookups of a group that read all rows of two users; 0 is no limit
    #[arg(
        long,
        env = "CRUDDUR_SEND_RATE",
        default_value_t = 10,
        value_name = "N"
    )]
    send_rate: u32,
    /// Messages and such lookups that one caller may send at once
    #[arg(
        long,
        env = "CRUDDUR_SEND_BURST",
        default_value_t = 50,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    send_burst: u32,
}

fn header_name(text: &str) -> Result<Entry<HeaderName>, String> {
    let name = text.parse();
    name.map_err(|_| "it is not the name of an HTTP header".to_owned())
}

/// How much there may be of something.
fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=u32::MAX.into())
}

impl ApiArgs {
    /// How much an operation may ask for.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            document_bytes: self.bounds.max_document_bytes,
            tokens: self.bounds.max_tokens,
            selections: self.bounds.max_selections,
            aliases: self.bounds.max_aliases,
            root_fields: self.bounds.max_root_fields,
            depth: self.bounds.max_depth,
            introspection_depth: self.bounds.max_introspection_depth,
            nodes: self.bounds.max_nodes,
            answer_bytes: self.bounds.max_answer_bytes,
        }
    }

    /// The explorer in the browser.
    #[must_use]
    pub fn graphiql(&self) -> Graphiql {
        match self.graphiql {
            Switch::On => Graphiql::On,
            Switch::Off => Graphiql::Off,
        }
    }

    /// How much there may be at a time.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            body_bytes: self.bounds.max_body_bytes,
            in_flight: self.bounds.max_in_flight,
            unread_bytes: self.bounds.max_unread_bytes,
            connections: self.bounds.max_connections,
            idle_for: Duration::from_secs(self.bounds.idle_seconds),
            subscriptions: self.bounds.max_subscriptions,
            sockets_per_user: self.bounds.max_sockets_per_user,
            ..Bounds::default()
        }
    }

    /// How fast one caller may send.
    #[must_use]
    pub fn send_rate(&self) -> SendRate {
        SendRate::new(self.bounds.send_rate, self.bounds.send_burst)
    }

    /// Whose pages may call.
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
