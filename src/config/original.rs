//! The original's environment variables for settings. Each applies only if the setting's own
//! variable is not set.

use std::env::var;

use super::values::{InvalidSetting, ListEntry, entries};
use crate::server::Origin;

/// The default URL of the users' database, the same as the original's.
const DEFAULT_DATABASE_URL: &str = "postgres://postgres:password@localhost:5432/cruddur";

const DATABASE: &str = "CONNECTION_URL";
/// The variable that the original's scripts use with `prod`.
const PRODUCTION_DATABASE: &str = "PROD_CONNECTION_URL";
/// The variable of the origin that can call the original's API.
const FRONT_END: &str = "FRONTEND_URL";

/// Returns the URL of the database: `DATABASE_URL`, else the original's variables, else the
/// default.
pub(super) fn database_url(given: Option<&str>, prod: bool) -> Result<String, InvalidSetting> {
    choose(
        given,
        var(DATABASE).ok(),
        var(PRODUCTION_DATABASE).ok(),
        prod,
    )
}

fn choose(
    given: Option<&str>,
    original: Option<String>,
    production: Option<String>,
    prod: bool,
) -> Result<String, InvalidSetting> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    match (original, production) {
        (_, Some(production)) if prod => Ok(production),
        (Some(original), _) => Ok(original),
        // If only the production database is configured, the default on this machine is not used in
        // its place.
        (None, Some(_)) => Err(InvalidSetting::new(
            PRODUCTION_DATABASE,
            "it is used only with --prod: set DATABASE_URL (--database-url) to the database to use",
        )),
        (None, None) => Ok(DEFAULT_DATABASE_URL.to_owned()),
    }
}

/// Returns the database that the environment names for use on this machine: the variable and the
/// URL.
pub fn database_url_of_environment() -> Option<(&'static str, String)> {
    ["DATABASE_URL", DATABASE]
        .into_iter()
        .find_map(|name| Some((name, var(name).ok().filter(|url| !url.trim().is_empty())?)))
}

/// Returns the origins that can call the original's API.
pub(super) fn origins() -> Result<Vec<Origin>, InvalidSetting> {
    let Ok(text) = var(FRONT_END) else {
        return Ok(Vec::new());
    };
    let origins: Result<Vec<ListEntry<Origin>>, _> = text.split(',').map(str::parse).collect();
    let origins = origins.map_err(|why| {
        let why = format!("{why}; set CRUDDUR_CORS_ORIGIN (--cors-origin) instead");
        InvalidSetting::new(FRONT_END, why)
    })?;
    let origins = entries(&origins);
    tracing::info!("CRUDDUR_CORS_ORIGIN is not set: the origin in FRONTEND_URL is allowed instead");
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn original_names_of_the_database_count_where_its_own_name_is_not_set() {
        let own = Some("own");
        let original = Some("original".to_owned());
        let production = Some("production".to_owned());
        for (given, original, production, prod, expected) in [
            (own, &original, &production, true, "own"),
            (None, &original, &production, true, "production"),
            (None, &original, &production, false, "original"),
            (None, &original, &None, true, "original"),
            (None, &None, &None, true, DEFAULT_DATABASE_URL),
        ] {
            let url = choose(given, original.clone(), production.clone(), prod);
            assert_eq!(url.as_deref(), Ok(expected));
        }
        let refused = choose(None, None, production, false).expect_err("no default");
        assert!(refused.to_string().contains("DATABASE_URL"), "{refused}");
    }
}
