//! Every setting: its option, its environment variable, its default, its doc.
//!
//! A command flattens the groups that it uses. Where the ecosystem has a name
//! for a variable, that is the one.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::auth::{Issuers, TokenUse, UserPoolId};
use crate::graphql::Introspection;
use crate::loopback::is_loopback;
use crate::server::{Origin, Origins};
use crate::store::{DynamoTarget, PoolSettings};

/// The SDK's own variable for another DynamoDB than AWS's.
pub const DYNAMODB_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// The table.
#[derive(Args, Clone, Debug)]
pub struct TableArgs {
    /// Table that holds groups and messages
    #[arg(
        long,
        env = "DDB_MESSAGE_TABLE",
        default_value = "cruddur-messages",
        value_name = "NAME"
    )]
    pub table: String,
}

/// Where an operator's command finds DynamoDB.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// DynamoDB to use, if not AWS
    #[arg(
        long,
        env = DYNAMODB_ENDPOINT,
        default_value = "http://localhost:8000",
        value_name = "URL",
        conflicts_with = "prod"
    )]
    pub endpoint_url: String,
    /// Use AWS itself, with the SDK's settings for account and region
    #[arg(long)]
    pub prod: bool,
}

impl OperatorArgs {
    /// Where to.
    #[must_use]
    pub fn target(&self) -> DynamoTarget {
        if self.prod {
            return DynamoTarget::Sdk;
        }
        let url = self.endpoint_url.clone();
        let loopback = is_loopback(&url);
        DynamoTarget::Endpoint { url, loopback }
    }
}

/// Where a server finds DynamoDB: by the SDK's own settings.
#[must_use]
pub fn sdk_target() -> DynamoTarget {
    match std::env::var(DYNAMODB_ENDPOINT) {
        Ok(url) if is_loopback(&url) => DynamoTarget::Endpoint {
            url,
            loopback: true,
        },
        _ => DynamoTarget::Sdk,
    }
}

/// Postgres.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Postgres database that holds the users
    ///
    /// For a server that wants TLS, as RDS does, end it with
    /// `?sslmode=verify-full&sslrootcert=<file>`.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "postgres://postgres:password@localhost:5432/cruddur",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: String,
    /// Most connections to Postgres
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_name = "N"
    )]
    pub database_connections: u32,
    /// How long a request waits for a connection to Postgres, in milliseconds
    #[arg(
        long,
        env = "CRUDDUR_DATABASE_TIMEOUT_MS",
        default_value_t = 3000,
        value_name = "MS"
    )]
    pub database_timeout_ms: u64,
}

impl DatabaseArgs {
    /// How the pool behaves.
    #[must_use]
    pub fn pool(&self) -> PoolSettings {
        PoolSettings {
            max_connections: self.database_connections.max(1),
            acquire_timeout: Duration::from_millis(self.database_timeout_ms),
        }
    }
}

/// Whose tokens are taken.
#[derive(Args, Clone, Debug)]
pub struct SignInArgs {
    /// Cognito user pool whose tokens are taken
    #[arg(
        long,
        env = "AWS_COGNITO_USER_POOL_ID",
        value_name = "ID",
        required_unless_present = "cognito_issuer"
    )]
    pub cognito_user_pool_id: Option<UserPoolId>,
    /// App clients whose tokens are taken
    #[arg(
        long,
        env = "AWS_COGNITO_USER_POOL_CLIENT_ID",
        value_delimiter = ',',
        required = true,
        value_name = "ID,…"
    )]
    pub cognito_client_id: Vec<String>,
    /// Which of Cognito's tokens are taken
    #[arg(long, env = "CRUDDUR_COGNITO_TOKEN_USE", value_enum, default_value_t = TokenUse::Access)]
    pub cognito_token_use: TokenUse,
    /// Issuers whose tokens are taken, if not the pool's own
    #[arg(
        long,
        env = "COGNITO_ISSUER",
        value_delimiter = ',',
        value_name = "URL,…"
    )]
    pub cognito_issuer: Vec<String>,
    /// Where the keys are, if not at the issuer's `/.well-known/jwks.json`
    #[arg(long, env = "COGNITO_JWKS_URL", value_name = "URL")]
    pub cognito_jwks_url: Option<String>,
}

impl SignInArgs {
    /// The issuers; `None` when neither pool nor issuer is named.
    #[must_use]
    pub fn issuers(&self) -> Option<Issuers> {
        let named = Issuers::named(self.cognito_issuer.clone());
        let mut issuers =
            named.or_else(|| self.cognito_user_pool_id.as_ref().map(Issuers::of_pool))?;
        if let Some(jwks_url) = &self.cognito_jwks_url {
            issuers.jwks_url.clone_from(jwks_url);
        }
        Some(issuers)
    }
}

/// How the API behaves.
#[derive(Args, Clone, Debug)]
pub struct ApiArgs {
    /// Address to listen on
    #[arg(
        long,
        env = "LISTEN_ADDR",
        default_value = "127.0.0.1:4000",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,
    /// Who may ask for the schema
    #[arg(long, env = "CRUDDUR_INTROSPECTION", value_enum, default_value_t = Introspection::Authenticated)]
    pub introspection: Introspection,
    /// Origins whose pages may call the API from a browser
    #[arg(
        long,
        env = "CRUDDUR_CORS_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN,…"
    )]
    pub cors_origin: Vec<Origin>,
    /// How long a user is kept before Postgres is asked again, in seconds; 0 is
    /// not at all
    #[arg(
        long,
        env = "CRUDDUR_USER_CACHE_SECONDS",
        default_value_t = 30,
        value_name = "S"
    )]
    pub user_cache_seconds: u64,
}

impl ApiArgs {
    /// Whose pages may call.
    #[must_use]
    pub fn origins(&self) -> Origins {
        Origins {
            named: self.cors_origin.clone(),
            any_localhost: false,
        }
    }
}
