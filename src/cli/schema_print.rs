//! `schema-print`: prints the schema in the form of `schema.graphql`.

use std::process::ExitCode;

use super::CliError;
use crate::schema::{Api, Introspection, Limits};

pub(super) fn run() -> Result<ExitCode, CliError> {
    let api = Api::new(Introspection::Authenticated, Limits::default())?;
    super::output::print(&api.sdl())?;
    Ok(ExitCode::SUCCESS)
}
