//! Postgres over TLS, as RDS requires it.

use cruddur::dev::{DataDir, Postgres};
use cruddur::store::{PoolSettings, connect_database, create_database};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sqlx::{AssertSqlSafe, PgPool};

/// A certificate authority, and its certificate and key for `localhost`.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

fn certificates() -> Certificates {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("a name");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certified = authority.self_signed(&authority_key).expect("an authority");
    let issuer = Issuer::from_params(&authority, &authority_key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    Certificates {
        authority: certified.pem(),
        certificate: server
            .signed_by(&key, &issuer)
            .expect("a certificate")
            .pem(),
        key: key.serialize_pem(),
    }
}

/// Makes the server write a file that only its user can read.
async fn write(server: &PgPool, name: &str, pem: &str) {
    let copy = format!(
        "COPY (SELECT regexp_split_to_table('{}', E'\\n')) TO PROGRAM 'umask 077; cat > {name}'",
        pem.trim()
    );
    sqlx::raw_sql(AssertSqlSafe(copy))
        .execute(server)
        .await
        .expect("a file");
}

/// Starts a PostgreSQL with TLS.
async fn with_tls(data: &DataDir, certificates: &Certificates) -> Postgres {
    let postgres = Postgres::start(data, 0).unwrap_or_else(|error| panic!("{error}"));
    create_database(&postgres.url("tls"))
        .await
        .expect("a database");
    let server = PgPool::connect(&postgres.url("tls"))
        .await
        .expect("a connection");
    write(&server, "server.crt", &certificates.certificate).await;
    write(&server, "server.key", &certificates.key).await;
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement)
            .execute(&server)
            .await
            .expect("a setting");
    }
    while sqlx::query_scalar::<_, String>("SHOW ssl")
        .fetch_one(&server)
        .await
        .expect("a setting")
        == "off"
    {
        tokio::task::yield_now().await;
    }
    postgres
}

#[tokio::test]
async fn tls_certificate_and_host_name_of_postgres_are_verified() {
    let data = DataDir::temporary().expect("a directory");
    let files = tempfile::tempdir().expect("a directory");
    let ours = certificates();
    let postgres = with_tls(&data, &ours).await;
    let ca = |name: &str, pem: &str| {
        let file = files.path().join(name);
        std::fs::write(&file, pem).expect("a file");
        format!("sslmode=verify-full&sslrootcert={}", file.display())
    };
    let by_ours = ca("ours.pem", &ours.authority);
    let by_another = ca("another.pem", &certificates().authority);
    let url = |host: &str, settings: &str| {
        let url = postgres.url("tls").replace("127.0.0.1", host);
        url.replace("sslmode=disable", settings)
    };

    let checked = url("localhost", &by_ours);
    connect_database(&checked, PoolSettings::default())
        .await
        .expect("a checked connection");
    let pool = PgPool::connect(&checked).await.expect("a connection");
    let encrypted: bool =
        sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&pool)
            .await
            .expect("a response");
    assert!(encrypted);

    for wrong in [
        url("127.0.0.1", &by_ours),
        url("localhost", &by_another),
        url("localhost", "sslmode=verify-full"),
    ] {
        let rejected = connect_database(&wrong, PoolSettings::default())
            .await
            .expect_err("no connection");
        assert!(rejected.to_string().contains("certificate"), "{rejected}");
    }
}
