//! `schema-print`: prints the schema in the form of `schema.graphql`.

use std::process::ExitCode;

use super::CliError;
use crate::schema::{Api, Introspection, Limits};

pub(super) fn run() -> Result<ExitCode, CliError> {
    super::output::print(&Api::new(Introspection::Authenticated, Limits::default()).sdl())?;
    Ok(ExitCode::SUCCESS)
}
