//! Why a command did not do what it was asked.

use std::net::SocketAddr;

use crate::config::InvalidSetting;
use crate::messaging::SeedError;
use crate::store::{DatabaseError, InvalidAwsSetting, NoCredentials, StoreError, TableError};

/// Shown as one line after `cruddur: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The arguments do not fit together, or not what they are for.
    #[error("{0}")]
    Usage(String),
    /// It was refused, or did not work.
    #[error("{0}")]
    Failed(String),
    #[error("cannot listen on {address}: {cause}. Choose another address with --listen.")]
    Listen {
        address: SocketAddr,
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

/// An error and its causes on one line.
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
    /// The store's error, where it came from one.
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
            Self::Usage(_) | Self::Setting(_) | Self::AwsSetting(_) => 2,
            _ => 1,
        }
    }
}
