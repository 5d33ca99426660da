//! `schema-print`: prints the schema in the form of `schema.graphql`.

use super::CliResult;
use crate::schema::{Api, Introspection, Limits};

pub(super) fn run() -> CliResult<()> {
    let api = Api::new(Introspection::Authenticated, Limits::default())?;
    super::output::print(&api.sdl())
}
