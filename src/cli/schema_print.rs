//! `schema-print`: the schema, as `schema.graphql` holds it.

use std::process::ExitCode;

use super::CliError;
use crate::graphql::{Api, Introspection};

pub(super) fn run() -> Result<ExitCode, CliError> {
    super::output::print(&Api::new(Introspection::Authenticated).sdl())?;
    Ok(ExitCode::SUCCESS)
}
