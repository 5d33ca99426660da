//! Creates a database for each test, and drops it after the test.

use std::sync::OnceLock;

use cruddur::config::database_url_of_environment;
use cruddur::dev::{DataDir, Postgres};
use cruddur::store::create_database;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// The PostgreSQL server for all tests of the process. It stops with the
/// process.
static POSTGRES: OnceLock<(Postgres, DataDir)> = OnceLock::new();

/// Returns the URL of a database on the server for all tests.
fn server_url(database: &str) -> String {
    if let Some((_, given)) = database_url_of_environment() {
        let mut url = reqwest::Url::parse(&given).expect("an address");
        url.set_path(database);
        return url.into();
    }
    let (postgres, _) = POSTGRES.get_or_init(|| {
        let data = DataDir::temporary().expect("a temporary directory");
        let postgres = Postgres::start(&data, 0).unwrap_or_else(|error| panic!("{error}"));
        (postgres, data)
    });
    postgres.url(database)
}

pub struct Database {
    pub url: String,
    kind: Kind,
}

enum Kind {
    /// A database that another component drops.
    Given,
    /// A database on the server for all tests, by name.
    Shared(String),
}

impl Database {
    pub async fn create() -> Self {
        let name = format!("cruddur_test_{}", Uuid::new_v4().simple());
        let database = Self {
            url: server_url(&name),
            kind: Kind::Shared(name),
        };
        create_database(&database.url)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        database
    }

    /// A database on a server that the test starts and stops.
    pub async fn at(url: String) -> Self {
        create_database(&url)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            url,
            kind: Kind::Given,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Kind::Shared(name) = &self.kind else {
            return;
        };
        let (url, name) = (server_url("postgres"), name.clone());
        // A separate runtime, because the test's runtime may be shutting down.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url)
                    .await
                    .map_err(std::io::Error::other)?;
                let drop = format!("DROP DATABASE \"{name}\" WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(drop))
                    .execute(&mut connection)
                    .await
                    .map_err(std::io::Error::other)
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("{}: {error}", self.url);
        }
    }
}
