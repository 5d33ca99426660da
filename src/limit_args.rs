//! Declares limits that are settings: each once, with its documentation, default, option and
//! environment variable.

use std::ops::RangeBounds;
use std::time::Duration;

use clap::builder::TypedValueParser;

/// Parses a number of seconds.
pub(crate) fn seconds(range: impl RangeBounds<u64>) -> impl TypedValueParser<Value = Duration> {
    clap::value_parser!(u64)
        .range(range)
        .map(Duration::from_secs)
}

/// Declares a struct of limits, which is also a group of options.
///
/// Each line is a field, its option, its environment variable and its default; the field's comment
/// is also the help of the option. Timeouts are in seconds. Internal limits have no option.
macro_rules! limit_args {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* $field:ident: $long:literal, $env:literal, $default:expr;)+
            $(@timeouts {
                $($(#[$time_doc:meta])* $time:ident: $time_long:literal, $time_env:literal, $seconds:literal;)+
            })?
            $(@internal {
                $($(#[$internal_doc:meta])* $internal:ident: $ty:ty = $internal_default:expr;)+
            })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
        #[command(next_help_heading = "Limits")]
        pub struct $name {
            $(
                $(#[$doc])*
                #[arg(
                    long = $long,
                    env = $env,
                    default_value_t = $default,
                    value_name = "N",
                    value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=u32::MAX.into())
                )]
                pub $field: usize,
            )+
            $($(
                $(#[$time_doc])*
                #[arg(
                    long = $time_long,
                    env = $time_env,
                    default_value = stringify!($seconds),
                    value_name = "S",
                    value_parser = crate::limit_args::seconds(1..=24 * 60 * 60)
                )]
                pub $time: std::time::Duration,
            )+)?
            $($(
                $(#[$internal_doc])*
                #[arg(skip = $internal_default)]
                pub $internal: $ty,
            )+)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    $($($time: std::time::Duration::from_secs($seconds),)+)?
                    $($($internal: $internal_default,)+)?
                }
            }
        }
    };
}

pub(crate) use limit_args;
