//! `issuer`: a token issuer for machines without Cognito, for use with a separate `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::net::TcpListener;

use super::CliError;
use super::signals::stop;
use crate::clock::Clock;
use crate::config::{DatabaseArgs, socket_address};
use crate::dev::{Issuer, SigningKey};
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
    /// Public URL of the issuer, which is the issuer in its tokens
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
    #[command(flatten)]
    database: DatabaseArgs,
}

impl IssuerArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let stop = stop()?;
        let pool = connect_database(&self.database.url()?, self.database.pool()).await?;
        require_current(&pool).await?;
        let key = match &self.key {
            Some(file) => SigningKey::open(file)?,
            None => SigningKey::generate()?,
        };
        let issuer = Issuer::new(key, &self.url, UserStore::new(pool), Clock::system());
        let address = self.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|cause| CliError::Listen { address, cause })?;
        super::output::print(&format!("issuing as {}\n", issuer.url()))?;
        issuer.serve(listener, stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}
