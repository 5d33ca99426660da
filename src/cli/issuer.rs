//! `issuer`: a token issuer for machines without Cognito, for use with a separate `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::CliResult;
use super::listen::listen;
use super::signals::stop;
use crate::clock::Clock;
use crate::config::{DatabaseArgs, socket_address};
use crate::dev::{Clients, Issuer, SigningKey, TOKEN_LIFETIME};
use crate::store::{UserStore, connect_database, require_current};

#[derive(Args, Debug)]
pub(super) struct IssuerArgs {
    /// Address to listen on
    #[arg(
        long,
        env = "CRUDDUR_ISSUER_LISTEN",
        default_value = "127.0.0.1:4001",
        value_name = "ADDRESS:PORT",
        value_parser = socket_address
    )]
    listen: SocketAddr,
    /// Public URL of the issuer, which is the `iss` claim of its tokens
    #[arg(
        long,
        env = "CRUDDUR_ISSUER_URL",
        default_value = "http://localhost:4001",
        value_name = "URL"
    )]
    url: String,
    /// File with the signing key, created if it does not exist [default: a new key at each start]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Also issue tokens to clients on other machines, such as the host of a container; anyone who
    /// can reach the issuer then gets a token
    #[arg(long, env = "CRUDDUR_ISSUER_ALLOW_REMOTE", value_parser = BoolishValueParser::new())]
    allow_remote: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl IssuerArgs {
    pub async fn run(self) -> CliResult<()> {
        let stop = stop()?;
        let pool = connect_database(&self.database.url()?, self.database.pool()).await?;
        require_current(&pool).await?;
        let key = match &self.key {
            Some(file) => SigningKey::open(file)?,
            None => SigningKey::generate()?,
        };
        let users = UserStore::new(pool);
        let issuer = Issuer::new(key, &self.url, users, Clock::system(), TOKEN_LIFETIME);
        let clients = if self.allow_remote {
            Clients::Any
        } else {
            Clients::Local
        };
        let listener = listen(self.listen, "--listen").await?;
        super::output::print(&format!("issuing as {}\n", issuer.url()))?;
        Ok(issuer.serve(listener, clients, stop).await?)
    }
}
