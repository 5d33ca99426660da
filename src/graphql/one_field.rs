//! A subscription has one field (GraphQL, 5.2.4.1), which may be selected more
//! than once: apollo-compiler counts selections where the specification counts
//! names.

use std::collections::HashSet;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::Name;
use apollo_compiler::executable::{Selection, SelectionSet};
use apollo_compiler::validation::{DiagnosticList, Valid, WithErrors};

/// How apollo-compiler calls a subscription of several selections.
const SEVERAL: &str = "SubscriptionUsesMultipleFields";

/// The document, where nothing is wrong with it but that a subscription selects
/// its one field more than once.
pub(super) fn valid_after_all(
    invalid: WithErrors<ExecutableDocument>,
) -> Result<Valid<ExecutableDocument>, DiagnosticList> {
    let WithErrors { partial, errors } = invalid;
    let is_about_it = errors
        .iter()
        .all(|error| error.error.unstable_error_name() == Some(SEVERAL));
    if is_about_it && have_one_name(&partial) {
        Ok(Valid::assume_valid(partial))
    } else {
        Err(errors)
    }
}

fn have_one_name(document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter();
    let mut subscriptions = operations.filter(|operation| operation.is_subscription());
    subscriptions.all(|operation| has_one_name(document, &operation.selection_set))
}

fn has_one_name(document: &ExecutableDocument, root: &SelectionSet) -> bool {
    let mut names = HashSet::new();
    collect(document, root, &mut names);
    names.len() <= 1
}

/// The names under which a selection set's own fields are answered. Fragments
/// are in no circles by now, and within the limits.
fn collect<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    names: &mut HashSet<&'a Name>,
) {
    for selection in &set.selections {
        match selection {
            Selection::Field(field) => {
                names.insert(field.response_key());
            }
            Selection::InlineFragment(inline) => collect(document, &inline.selection_set, names),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.fragment_name) {
                    collect(document, &fragment.selection_set, names);
                }
            }
        }
    }
}
