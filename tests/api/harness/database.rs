//! A database of its own for each test, dropped after it.

use std::sync::OnceLock;

use cruddur::dev::{DataDir, Postgres};
use cruddur::store::create_database;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// One private PostgreSQL for all tests. It goes when the process goes.
static POSTGRES: OnceLock<(Postgres, DataDir)> = OnceLock::new();

/// Address of the server, with the name of a database in it.
pub fn server_url(database: &str) -> String {
    if let Ok(given) = std::env::var("DATABASE_URL") {
        let mut url = reqwest::Url::parse(&given).expect("DATABASE_URL is an address");
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
    name: String,
}

impl Database {
    pub async fn create() -> Self {
        let name = format!("cruddur_test_{}", Uuid::new_v4().simple());
        let url = server_url(&name);
        create_database(&url)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self { url, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (server_url("postgres"), self.name.clone());
        // A runtime of its own: the test's may be ending.
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
            eprintln!("{}: {error}", self.name);
        }
    }
}
