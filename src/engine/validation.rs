//! Rules of validation that apollo-compiler does not have, or has otherwise.

mod single_field;
mod values;

pub(super) use single_field::valid_after_all;
pub(super) use values::{CheckScalar, InvalidValue, check_values, check_variables};
