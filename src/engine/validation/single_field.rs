//! A subscription has one field (GraphQL, 5.2.4.1), which may be selected more
//! than once: apollo-compiler counts selections where the specification counts
//! names.

use apollo_compiler::validation::{DiagnosticList, Valid, WithErrors};
use apollo_compiler::{ExecutableDocument, Schema};

use crate::engine::plan::root_keys;

/// How apollo-compiler calls a subscription of several selections.
const SEVERAL: &str = "SubscriptionUsesMultipleFields";

/// The document, where nothing is wrong with it but that a subscription selects
/// its one field more than once.
pub fn valid_after_all(
    schema: &Schema,
    invalid: WithErrors<ExecutableDocument>,
) -> Result<Valid<ExecutableDocument>, DiagnosticList> {
    let WithErrors { partial, errors } = invalid;
    let is_about_it = errors
        .iter()
        .all(|error| error.error.unstable_error_name() == Some(SEVERAL));
    if is_about_it && have_one_field(schema, &partial) {
        Ok(Valid::assume_valid(partial))
    } else {
        Err(errors)
    }
}

fn have_one_field(schema: &Schema, document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter();
    let mut subscriptions = operations.filter(|operation| operation.is_subscription());
    subscriptions.all(|operation| root_keys(schema, document, operation).is_ok_and(|keys| keys < 2))
}
