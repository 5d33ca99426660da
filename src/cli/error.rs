//! Errors of commands.

use std::net::SocketAddr;

use crate::config::InvalidSetting;
use crate::messaging::SeedError;
use crate::schema::InvalidSchema;
use crate::store::{DatabaseError, InvalidAwsSetting, NoCredentials, StoreError, TableError};

/// The result of a command or of one of its steps.
pub(super) type CliResult<T> = Result<T, CliError>;

/// An error of a command. It is printed on one line after `cruddur: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The arguments contradict each other, or do not apply to the target.
    #[error("{0}")]
    Usage(String),
    /// The command failed, or was rejected.
    #[error("{0}")]
    Failed(String),
    /// The schema of the API is not valid.
    #[error(transparent)]
    Schema(#[from] InvalidSchema),
    #[error("cannot listen on {address}: {cause}. Choose another address with {option}.")]
    Listen {
        address: SocketAddr,
        option: &'static str,
        cause: std::io::Error,
    },
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    #[error(transparent)]
    AwsSetting(#[from] InvalidAwsSetting),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[cfg(feature = "dev")]
    #[error(transparent)]
    Dev(#[from] crate::dev::DevError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Returns an error and its sources on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl CliError {
    /// Returns the store's error, if a store caused this one.
    pub fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error)
            | Self::Table(TableError::Store(error))
            | Self::Seed(SeedError::Store(error)) => Some(error),
            _ => None,
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Setting(_)
            | Self::AwsSetting(InvalidAwsSetting::Address { .. }) => 2,
            _ => 1,
        }
    }
}
