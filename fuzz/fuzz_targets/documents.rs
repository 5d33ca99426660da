//! Any bytes as a document and its variables: parsed, counted, validated and
//! made normal, without a panic and within the limits.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run documents -- -max_len=32768`
#![no_main]

use std::sync::LazyLock;

use cruddur::graphql::{Api, GraphqlRequest, Introspection, Limits};
use libfuzzer_sys::fuzz_target;

static API: LazyLock<Api> =
    LazyLock::new(|| Api::new(Introspection::Authenticated, Limits::default()));

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // Variables behind the first NUL, if there is one.
    let (query, variables) = text.split_once('\0').unwrap_or((&text, "{}"));
    let request = GraphqlRequest {
        query: query.to_owned(),
        operation_name: None,
        variables: serde_json::from_str(variables).unwrap_or_default(),
    };
    if let Ok(operation) = API.parse(request) {
        // Refused or not: it has to end.
        let _ = API.check(&operation);
    }
});
