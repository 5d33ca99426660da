//! The schema file.

use cruddur::schema::{Api, Introspection, Limits};

#[test]
fn schema_file_equals_the_printed_schema() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    let printed = Api::new(Introspection::Authenticated, Limits::default())
        .expect("a valid schema")
        .sdl();
    assert!(
        written == printed,
        "schema.graphql is stale: run `cargo run -- schema-print > schema.graphql`"
    );
}
