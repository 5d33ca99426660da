//! Declares limits that are settings: each once, with its documentation, default, option and
//! environment variable.

/// Declares a struct of limits, which is also a group of options.
///
/// Each line is a field, its option, its environment variable and its default. The field's comment
/// is also the help of the option.
macro_rules! limit_args {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* $field:ident: $long:literal, $env:literal, $default:expr;)+
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
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }
    };
}

pub(crate) use limit_args;
