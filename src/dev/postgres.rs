//! A private PostgreSQL: a cluster of an installed one, or else the embedded
//! one of the feature `embedded-postgres`.

mod cluster;
#[cfg(feature = "embedded-postgres")]
mod embedded;
mod programs;

use super::{DataDir, DevError};
use programs::find_programs;

/// User and password that it has: those of the default `DATABASE_URL`. The
/// embedded one asks for neither.
const USER: &str = "postgres";
const PASSWORD: &str = "password";
/// Name of the folder with the data of an embedded one.
const EMBEDDED: &str = "embedded";

/// A running PostgreSQL. It stops when this is dropped, or when the process
/// ends in whatever way.
#[derive(Debug)]
pub struct Postgres {
    running: Running,
}

#[derive(Debug)]
enum Running {
    Installed(cluster::Running),
    #[cfg(feature = "embedded-postgres")]
    Embedded(Box<embedded::Running>),
}

impl Postgres {
    /// Starts it in a data directory, where what was kept by an installed one
    /// is for an installed one, and so for an embedded one.
    pub fn start(data: &DataDir, port: u16) -> Result<Self, DevError> {
        let folder = data.path().join("postgres");
        if folder.join(EMBEDDED).exists() {
            return Self::start_embedded(data, port);
        }
        match find_programs() {
            Some(programs) => Ok(Self {
                running: Running::Installed(cluster::start(programs, data, folder, port)?),
            }),
            None if folder.join(cluster::CLUSTER).exists() => Err(DevError::NoPostgres),
            None => Self::start_embedded(data, port),
        }
    }

    #[cfg(feature = "embedded-postgres")]
    fn start_embedded(data: &DataDir, port: u16) -> Result<Self, DevError> {
        let folder = data.path().join("postgres").join(EMBEDDED);
        Ok(Self {
            running: Running::Embedded(Box::new(embedded::start(&folder, port)?)),
        })
    }

    #[cfg(not(feature = "embedded-postgres"))]
    fn start_embedded(data: &DataDir, _port: u16) -> Result<Self, DevError> {
        Err(if data.path().join("postgres").join(EMBEDDED).exists() {
            DevError::NotBuiltIn(data.path().to_owned())
        } else {
            DevError::NoPostgres
        })
    }

    /// Whether an installed one was found.
    #[must_use]
    pub fn is_installed() -> bool {
        find_programs().is_some()
    }

    /// Address of a database in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let port = match &self.running {
            Running::Installed(running) => running.port,
            #[cfg(feature = "embedded-postgres")]
            Running::Embedded(running) => running.port,
        };
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// How many connections a pool may have: the embedded one serves one at a
    /// time.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        match &self.running {
            Running::Installed(_) => 10,
            #[cfg(feature = "embedded-postgres")]
            Running::Embedded(_) => 1,
        }
    }
}
