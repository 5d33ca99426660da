//! `cruddur serve` as a process.

use std::ops::{Deref, DerefMut};

use tokio::process::Command;

use super::{Cruddur, Process, cruddur, with_stores};

pub struct Serving {
    pub url: String,
    process: Process,
}

impl Serving {
    /// Starts a server on a test's stores, with further options.
    pub async fn start(stores: &Cruddur, options: &[&str]) -> Self {
        Self::start_with(stores, options, &[]).await
    }

    /// Starts a server with further options and environment variables.
    pub async fn start_with(
        stores: &Cruddur,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        Self::ready(Self::spawn(stores, options, variables)).await
    }

    /// Spawns a server, and does not wait until it serves.
    pub fn spawn(stores: &Cruddur, options: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut command = cruddur(&["serve"]);
        with_stores(&mut command, stores);
        command.args(options).envs(variables.iter().copied());
        Process::spawn(&mut command)
    }

    /// Runs a `cruddur serve`, and waits until it serves.
    pub async fn run(command: &mut Command) -> Self {
        Self::ready(Process::spawn(command)).await
    }

    /// Waits until a server serves.
    pub async fn ready(process: Process) -> Self {
        let url = process.address("serving").await;
        Self { url, process }
    }

    /// Stops the process like an orchestrator.
    pub async fn stop(mut self) {
        assert!(self.end("TERM").await.success());
    }
}

impl Deref for Serving {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Serving {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
