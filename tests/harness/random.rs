//! The random numbers of tests: the same on every run.
//!
//! `CRUDDUR_TEST_SEED` draws others and `CRUDDUR_TEST_CASES` sets how many cases
//! a random test has, as `.ci/run` does. An input that fails there becomes a
//! case of its test.

use std::sync::{LazyLock, Mutex, PoisonError};

use proptest::test_runner::{Config, RngSeed};

/// The seed of tests that are given none.
const USUAL_SEED: u64 = 20_261_127;

/// The generator of everything that is drawn outside of a property.
static GENERATOR: LazyLock<Mutex<fastrand::Rng>> =
    LazyLock::new(|| Mutex::new(fastrand::Rng::with_seed(seed().unwrap_or(USUAL_SEED))));

/// The seed that the environment sets.
pub fn seed() -> Option<u64> {
    setting("CRUDDUR_TEST_SEED")
}

/// How many cases a random test has, if the environment says so.
pub fn cases() -> Option<u32> {
    setting("CRUDDUR_TEST_CASES")
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name} is not a number: {text:?}")))
}

/// How properties are tested. Nothing is written beside the sources: an input
/// that fails is printed.
pub fn config() -> Config {
    let usual = Config::default();
    Config {
        cases: cases().unwrap_or(usual.cases),
        rng_seed: RngSeed::Fixed(seed().unwrap_or(USUAL_SEED)),
        failure_persistence: None,
        ..usual
    }
}

/// Draws from the generator that all tests of this process share.
pub fn draw<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    let mut generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    draw(&mut generator)
}
