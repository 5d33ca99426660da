//! docs/scaling.md contains the figures that the example prints.

#[allow(dead_code, reason = "the test does not use the example's `main`")]
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
