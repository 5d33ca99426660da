//! The random numbers of tests, the same on every run.
//!
//! `CRUDDUR_TEST_SEED` sets another seed, and `CRUDDUR_TEST_CASES` the number of cases of a random
//! test, as in `.ci/run`. An input that fails there is added to its test as a fixed case.

use std::sync::{LazyLock, Mutex, PoisonError};

use proptest::test_runner::{Config, RngSeed};

/// The default seed.
const USUAL_SEED: u64 = 20_261_127;

/// The generator of all random values outside of properties.
static GENERATOR: LazyLock<Mutex<fastrand::Rng>> =
    LazyLock::new(|| Mutex::new(fastrand::Rng::with_seed(seed().unwrap_or(USUAL_SEED))));

/// Returns the seed from the environment.
pub fn seed() -> Option<u64> {
    setting("CRUDDUR_TEST_SEED")
}

/// Returns the number of cases of a random test, if the environment sets it.
pub fn cases() -> Option<u32> {
    setting("CRUDDUR_TEST_CASES")
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name} is not a number: {text:?}")))
}

/// The configuration of properties. Failing inputs are printed, not written to
/// files.
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
