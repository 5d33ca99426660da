//! The figures of docs/scaling.md are those of the example.

#[allow(dead_code, reason = "it has a `main`")]
#[path = "../../examples/capacity.rs"]
mod capacity;

#[test]
fn capacity_tables_of_the_manual_are_what_the_example_prints() {
    let manual = include_str!("../../docs/scaling.md");
    let report = capacity::report();
    assert!(
        manual.contains(&report),
        "replace the tables by those of `cargo run --example capacity`:\n{report}"
    );
}
