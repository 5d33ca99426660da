//! A subscription must have a single root field (GraphQL specification,
//! 5.2.4.1), which may be selected more than once. apollo-compiler counts
//! selections, but the specification counts response keys.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::validation::{DiagnosticList, Valid, WithErrors};

use crate::engine::plan::plan;
use crate::engine::positions::LineIndex;
use crate::engine::rules::Rules;

/// apollo-compiler's name of the error for a subscription with several root fields.
const MULTIPLE_FIELDS: &str = "SubscriptionUsesMultipleFields";

/// Returns the document if its only error is that a subscription selects its
/// single field more than once.
pub fn accept_repeated_field(
    rules: &Rules,
    invalid: WithErrors<ExecutableDocument>,
) -> Result<Valid<ExecutableDocument>, DiagnosticList> {
    let WithErrors { partial, errors } = invalid;
    let is_only_error = errors
        .iter()
        .all(|error| error.error.unstable_error_name() == Some(MULTIPLE_FIELDS));
    if is_only_error && have_one_field(rules, &partial) {
        Ok(Valid::assume_valid(partial))
    } else {
        Err(errors)
    }
}

fn have_one_field(rules: &Rules, document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter();
    let mut subscriptions = operations.filter(|operation| operation.is_subscription());
    // Fragments that contain themselves were rejected before.
    subscriptions.all(|subscription| {
        let plan = plan(rules, document, &LineIndex::default(), subscription, None);
        plan.is_ok_and(|plan| plan.root.len() < 2)
    })
}
