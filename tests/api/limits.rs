//! The cost of a document before its execution in allocated memory, which also
//! measures work and is the same on every machine.

use allocation_counter::{AllocationInfo, measure};
use cruddur::schema::{Api, GraphqlRequest, Introspection, Limits};
use proptest::prelude::*;

use crate::harness::random;
use crate::hostile::hostile;
use crate::properties::document;

/// Returns the result of a document, and its cost.
fn check_document(limits: Limits, document: &str) -> (String, AllocationInfo) {
    let api = Api::new(Introspection::Authenticated, limits).expect("a valid schema");
    let request = GraphqlRequest {
        query: document.to_owned(),
        ..GraphqlRequest::default()
    };
    let mut result = None;
    let cost = measure(|| {
        let prepared = api.engine().parse(request);
        let prepared = prepared.and_then(|parsed| api.engine().prepare(&parsed, false));
        result = Some(prepared.map(drop));
    });
    let message = match result.expect("a result") {
        Ok(()) => "fits".to_owned(),
        Err(rejected) => rejected.errors[0].message.clone(),
    };
    (message, cost)
}

#[test]
fn limits_each_reject_their_document_at_a_bounded_cost() {
    let usual = Limits::default();
    let any_bytes = Limits {
        document_bytes: usize::MAX,
        ..usual
    };
    let any_tokens = Limits {
        tokens: usize::MAX,
        ..any_bytes
    };
    let mut rejections = Vec::new();
    for (name, document) in hostile() {
        let mut rejected = Vec::new();
        for limits in [usual, any_bytes, any_tokens] {
            let (message, cost) = check_document(limits, &document);
            println!("{name}, {} bytes: {message} {cost:?}", document.len());
            let length = u64::try_from(document.len()).expect("a length");
            assert!(
                cost.bytes_max <= 1_000_000 + 200 * length,
                "{name}: {cost:?}"
            );
            assert!(cost.count_total <= 10_000 + 10 * length, "{name}: {cost:?}");
            let limit = message.split([',', ':']).next().unwrap_or_default();
            rejected.push(limit.trim_start_matches("The operation has ").to_owned());
        }
        rejected.dedup();
        rejections.push(format!("{name}: {}", rejected.join("; ")));
    }
    insta::assert_snapshot!(rejections.join("\n"), @r#"
    fragments that double: 12582911 selections
    fragments in fragments: 18331 tokens; 92 levels of nested selections
    introspection by fragments: 17 levels of nested introspection lists
    aliases: 168892 bytes; 30002 tokens; 10000 selections
    few aliases too many: 31 aliases
    duplicate fields: 110002 bytes; 10002 tokens; 10000 selections
    levels: 1600000 bytes; 600000 tokens; 200000 levels of nested brackets
    lists in lists: 20007 tokens; 20002 levels of nested brackets
    a comment: 2000023 bytes; fits
    unused variables: 108918 bytes; 40009 tokens; Variable "$v0" is never used.
    operations: 158890 bytes; 40000 tokens; The document has 5000 operations
    introspection in circles: 10 levels of nested introspection lists
    no tokens: Syntax error
    a large answer: 295472557 bytes in its largest possible response
    objects: 30301 objects in its response
    depth: 14 levels of nested fields
    "#);
}

/// Each kind of token, and characters that are no tokens.
const TOKENS: [&str; 28] = [
    "!",
    "$",
    "&",
    "(",
    ")",
    "...",
    ":",
    "=",
    "@",
    "[",
    "]",
    "{",
    "|",
    "}",
    "a",
    "on",
    "query",
    "fragment",
    "type",
    "extend",
    "1",
    "1.5",
    "\"s\"",
    "\"\"\"b\"\"\"",
    "%",
    "é",
    "..",
    "\"",
];

/// Documents before the first invalid token.
const PLACES: [&str; 14] = [
    "",
    "{ ",
    "{ a ",
    "{ a: ",
    "{ a(",
    "{ a(b: ",
    "{ a(b: [",
    "{ a(b: {c: ",
    "{ a @",
    "{ ...",
    "query Q(",
    "query Q($a: ",
    "query Q($a: A = ",
    "fragment ",
];

/// Maximum allocated memory of a document at a time, in bytes.
const MAX_BYTES: u64 = 2_000_000;

#[test]
fn syntax_errors_have_a_bounded_cost_for_every_token() {
    let limits = Limits::default();
    for (place, token) in PLACES
        .iter()
        .flat_map(|place| TOKENS.map(|token| (place, token)))
    {
        // As many as the limit of tokens allows in a document of 32 kB.
        for count in [3_900, 32_000 / (token.len() + 1)] {
            let document = format!("{place}{}", format!("{token} ").repeat(count));
            let (message, cost) = check_document(limits, &document);
            assert_ne!(message, "fits");
            let bytes = cost.bytes_max;
            assert!(
                bytes <= 1_000_000,
                "{place}{token} {token} … costs {bytes} bytes: {message}"
            );
        }
    }
    // An error at each nesting level, each with the whole text.
    let text = "x".repeat(31_000);
    for open in ["{a", "{a(b:{c:{d:", "{a(b:[[[["] {
        let document = format!("{}\"{text}\"", open.repeat(150 / open.len()));
        let (message, cost) = check_document(limits, &document);
        assert!(
            message.len() < 600 && cost.bytes_max <= 1_000_000,
            "{open}: {cost:?}"
        );
    }
}

#[test]
fn validation_errors_have_a_bounded_cost() {
    let many =
        |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    for document in [
        format!("{{ {} }}", "a ".repeat(990)),
        format!("{{ viewer {} {{ handle }} }}", "@a ".repeat(1_990)),
        format!("{{ viewer {} {{ handle }} }}", "@skip ".repeat(1_990)),
        format!("{{ viewer({}) {{ handle }} }}", "a: 1 ".repeat(1_300)),
        format!(
            "{{ viewer({}) {{ handle }} }}",
            many(1_300, &|number| format!("a{number}: 1 "))
        ),
        format!("query({}) {{ viewer {{ handle }} }}", "$a: A ".repeat(990)),
        format!(
            "query({}) {{ viewer {{ handle }} }}",
            many(990, &|number| format!("$a{number}: A "))
        ),
        format!(
            "{{ messageGroups({}) {{ edges {{ cursor }} }} }}",
            "first: $a ".repeat(990)
        ),
        format!("{{ {} }}", many(990, &|number| format!("...f{number} "))),
        format!(
            "{{ viewer {{ {} }} }}",
            "a: handle a: uuid a: id ".repeat(9)
        ),
        format!("{{ user(handle: [{}]) {{ handle }} }}", "1 ".repeat(3_900)),
        format!(
            "{{ user(handle: {{{}}}) {{ handle }} }}",
            "a: 1 ".repeat(1_300)
        ),
    ] {
        let (message, cost) = check_document(Limits::default(), &document);
        assert_ne!(message, "fits");
        assert!(
            cost.bytes_max <= MAX_BYTES,
            "{}… {cost:?}: {message}",
            &document[..40]
        );
    }
}

proptest! {
    #![proptest_config(random::config())]

    #[test]
    fn random_documents_have_a_bounded_cost(document in document()) {
        let (_, cost) = check_document(Limits::default(), &document);
        prop_assert!(cost.bytes_max <= MAX_BYTES, "{cost:?}");
        prop_assert!(cost.count_total <= 100_000, "{cost:?}");
    }
}
