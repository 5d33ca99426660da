//! Parses, counts, validates and normalizes any bytes as a document and its
//! variables. There must be no panic, and the limits must hold.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run documents -- -max_len=32768 -len_control=0
//! -timeout=2 -rss_limit_mb=512`
#![no_main]

use std::sync::LazyLock;

use cruddur::schema::{Api, GraphqlRequest, Introspection, Limits};
use libfuzzer_sys::fuzz_target;

static API: LazyLock<Api> =
    LazyLock::new(|| Api::new(Introspection::Authenticated, Limits::default()).expect("a valid schema"));

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // Variables behind the first NUL, if there is one.
    let (query, variables) = text.split_once('\0').unwrap_or((&text, "{}"));
    let request = GraphqlRequest {
        query: query.to_owned(),
        operation_name: first_name(query),
        variables: serde_json::from_str(variables).unwrap_or_default(),
    };
    if let Ok(operation) = API.parse(request) {
        // The result does not matter, but the call must end.
        let _ = API.prepare(&operation, false);
    }
});

/// Returns the probable name of the first operation, so that documents with
/// several operations are tested, too.
fn first_name(query: &str) -> Option<String> {
    let (_, behind) = ["query ", "mutation "]
        .iter()
        .find_map(|keyword| query.split_once(keyword))?;
    let name = behind.trim_start();
    let ends = name.find(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    let name = &name[..ends.unwrap_or(name.len())];
    (!name.is_empty()).then(|| name.to_owned())
}
