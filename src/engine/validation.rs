//! Validation rules that apollo-compiler does not have, or implements
//! differently.

mod single_field;
mod values;

pub(super) use single_field::accept_repeated_field;
pub(super) use values::{CheckScalar, InvalidValue, check_values, one_of};
