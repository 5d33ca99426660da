//! Settings of processes: environment variables and options.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::commands::run;
use crate::harness::{Cruddur, Serving, TABLE, cruddur, free_port, relay, start, with_stores};

fn serve(stores: &Cruddur, arguments: &[&str]) -> Command {
    let mut command = cruddur(&[&["serve"], arguments].concat());
    with_stores(&mut command, stores);
    command
}

/// Returns a command that finds a test's stores only by the given settings.
fn bare(stores: &Cruddur, arguments: &[&str]) -> Command {
    let mut command = cruddur(arguments);
    with_stores(&mut command, stores);
    command.env_remove("AWS_ENDPOINT_URL_DYNAMODB");
    command
}

async fn allowed_origin(url: &str, origin: &str) -> Option<String> {
    let preflight = reqwest::Client::new()
        .request(Method::OPTIONS, format!("{url}/graphql"))
        .header("origin", origin)
        .header("access-control-request-method", "POST");
    let response = preflight.send().await.expect("a response");
    let allowed = response.headers().get("access-control-allow-origin");
    allowed.map(|origin| origin.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn malformed_database_url_is_rejected_in_one_line_without_any_part_of_it() {
    for (url, reason) in [
        (
            "postgres://postgres:12/secret@127.0.0.1:5432/cruddur",
            "percent-encoded",
        ),
        (
            "postgres://postgres:secret/12@127.0.0.1:5432/cruddur",
            "percent-encoded",
        ),
        (
            "postgres://postgres:1?secret=1@127.0.0.1:5432/cruddur",
            "percent-encoded",
        ),
        (
            "postgres://postgres:1#secret@127.0.0.1:5432/cruddur",
            "percent-encoded",
        ),
        (
            "postgres://postgres:1@secret/2@127.0.0.1:5432/cruddur",
            "percent-encoded",
        ),
        ("postgres:secret@127.0.0.1:5432/cruddur", "postgres://"),
        ("postgres:secret@127.0.0.1/cruddur", "postgres://"),
        ("mysql://u:secret@127.0.0.1/cruddur", "mysql://"),
        (
            "jdbc:postgresql://127.0.0.1/cruddur?password=secret",
            "jdbc:postgresql://",
        ),
    ] {
        for command in [
            &["migrate"][..],
            &["seed"],
            &["dev"],
            &["migrate", "--database-url", url],
        ] {
            let mut command = cruddur(command);
            let (code, out, stderr) =
                run(command.env("DATABASE_URL", url).env("RUST_LOG", "trace")).await;
            assert!(code == 1 || code == 2, "{stderr}");
            let line = stderr.lines().last().unwrap_or_default();
            assert!(
                line.starts_with("cruddur: ") && line.contains(reason),
                "{stderr}"
            );
            assert!(
                !format!("{out}{stderr}").contains("secret"),
                "{url}: {stderr}"
            );
        }
    }
    let address = "postgres://u:secret@127.0.0.1/cruddur";
    for arguments in [
        &["migrate", address][..],
        &["migrate", "--database", address],
    ] {
        let (code, _, stderr) = run(&mut cruddur(arguments)).await;
        assert_eq!(code, 2);
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[tokio::test]
async fn unknown_database_parameter_is_logged_without_its_value() {
    let stores = start().await;
    let url = format!(
        "{}&schema=secret&application_name=known",
        stores.database.url
    );
    let url = if url.contains('?') {
        url
    } else {
        url.replacen('&', "?", 1)
    };
    let mut migrate = cruddur(&["migrate"]);
    let (code, out, stderr) = run(migrate.env("DATABASE_URL", url).env("RUST_LOG", "trace")).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(r#""parameter":"schema""#), "{stderr}");
    assert!(!format!("{out}{stderr}").contains("secret"), "{stderr}");
}

#[tokio::test]
async fn ipv6_address_of_the_database_works_and_is_this_machine() {
    let stores = start().await;
    let url = reqwest::Url::parse(&stores.database.url).expect("an address");
    let target = format!("127.0.0.1:{}", url.port().unwrap_or(5432));
    let port = relay("[::1]:0", target).await.port();
    let own = format!("127.0.0.1:{}", url.port().unwrap_or(5432));
    let url = stores.database.url.replace(&own, &format!("[::1]:{port}"));
    assert!(url.contains("[::1]"), "{url}");
    let mut seed = cruddur(&["seed"]);
    with_stores(&mut seed, &stores);
    let (code, _, stderr) = run(seed.env("DATABASE_URL", url)).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("at [::1]:{port}")), "{stderr}");
}

#[tokio::test]
async fn every_command_uses_the_endpoint_of_the_sdks_own_settings() {
    let stores = start().await;
    stores.users(["luu", "tove"]).await;
    stores.send("luu", "tove", "here").await;
    let url = &stores.dynamo.url;
    let other = "http://127.0.0.1:1";
    let profile = tempfile::tempdir().expect("a directory");
    let config = profile.path().join("config");
    let text = format!(
        "[profile local]\nservices = dynamo\n[services dynamo]\ndynamodb =\n  endpoint_url = {url}\n"
    );
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("text");
    let settings: [&[(&str, &str)]; 4] = [
        &[("AWS_ENDPOINT_URL", url)],
        &[
            ("AWS_ENDPOINT_URL_DYNAMODB", url),
            ("AWS_ENDPOINT_URL", other),
        ],
        &[("AWS_ENDPOINT_URL_DYNAMODB", ""), ("AWS_ENDPOINT_URL", url)],
        &[("AWS_CONFIG_FILE", config), ("AWS_PROFILE", "local")],
    ];
    let place = format!("DynamoDB at {url}, region us-east-1, table {TABLE}\n");
    for setting in settings {
        for arguments in [
            &["scan"][..],
            &["scan", "--prod"],
            &["schema-load"],
            &["check"],
            &["list-conversations", "luu"],
            &["get-conversation", "--between", "luu", "tove"],
        ] {
            let mut command = bare(&stores, arguments);
            let (code, _, stderr) = run(command.envs(setting.iter().copied())).await;
            assert_eq!(code, 0, "{setting:?} {arguments:?}: {stderr}");
            assert!(
                stderr.contains(&place),
                "{setting:?} {arguments:?}: {stderr}"
            );
        }
        let mut command = bare(&stores, &["serve"]);
        Serving::run(command.envs(setting.iter().copied()))
            .await
            .stop()
            .await;
    }

    let ignored = [
        ("AWS_ENDPOINT_URL", other),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ];
    let mut command = bare(&stores, &["scan", "--endpoint-url", url]);
    assert_eq!(run(command.envs(ignored)).await.0, 0);
    let mut command = bare(&stores, &["scan"]);
    let (_, _, stderr) = run(command.envs(ignored)).await;
    assert!(
        stderr.starts_with("DynamoDB at http://localhost:8000, "),
        "{stderr}"
    );
}

#[tokio::test]
async fn destructive_command_prints_the_address_that_it_uses() {
    let stores = start().await;
    let url = &stores.dynamo.url;
    let mut drop = bare(&stores, &["drop", "--prod"]);
    let (code, _, stderr) = run(drop.env("AWS_ENDPOINT_URL", url)).await;
    assert_eq!(code, 2);
    let question = format!("the table {TABLE} at {url} and all its data");
    assert!(
        stderr.contains(&question) && !stderr.contains("AWS"),
        "{stderr}"
    );

    let mut aws = bare(&stores, &["drop", "--prod"]);
    let (code, _, stderr) = run(aws
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", "eu-central-1"))
    .await;
    assert_eq!(code, 1);
    let place =
        "DynamoDB at https://dynamodb.eu-central-1.amazonaws.com, region eu-central-1, table";
    assert!(stderr.starts_with(place), "{stderr}");
}

#[tokio::test]
async fn endpoint_in_a_container_network_requires_allow_remote() {
    let stores = start().await;
    let dynamo = reqwest::Url::parse(&stores.dynamo.url).expect("an address");
    let target = format!("127.0.0.1:{}", dynamo.port().expect("a port"));
    // Only this proxy resolves the name.
    let proxy = format!("http://{}", relay("127.0.0.1:0", target).await);
    let there = |arguments: &[&str]| {
        let mut command = bare(&stores, arguments);
        command.envs([
            ("AWS_ENDPOINT_URL", "http://ddb:8000"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "us-east-1"),
            ("HTTP_PROXY", &*proxy),
        ]);
        command
    };
    for (arguments, allowed) in [
        (&["seed"][..], &["seed", "--allow-remote"][..]),
        (
            &["check", "--repair"],
            &["check", "--repair", "--allow-remote"],
        ),
        (
            &["schema-load", "--recreate", "--yes"],
            &["schema-load", "--recreate", "--yes", "--allow-remote"],
        ),
        (&["drop", "--yes"], &["drop", "--yes", "--allow-remote"]),
    ] {
        let (code, _, stderr) = run(&mut there(arguments)).await;
        assert_eq!(code, 2, "{stderr}");
        assert_eq!(
            stderr,
            "cruddur: http://ddb:8000 is not on this machine: add --allow-remote to seed or delete there, or --prod \
             for production\n"
        );
        let (code, _, stderr) = run(&mut there(allowed)).await;
        assert_eq!(code, 0, "{allowed:?}: {stderr}");
        assert!(
            stderr.starts_with("DynamoDB at http://ddb:8000, region us-east-1, "),
            "{stderr}"
        );
    }
    let (code, out, _) = run(&mut there(&["schema-load", "--prod"])).await;
    assert_eq!(code, 0);
    assert!(out.contains("deletion  not protected"), "{out}");
}

/// Variables that the program or its libraries read.
const READ: [&str; 40] = [
    "ALL_PROXY",
    "AWS_ACCESS_KEY_ID",
    "AWS_COGNITO_USER_POOL_ID",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "COGNITO_JWKS_URL",
    "CONNECTION_URL",
    "CRUDDUR_ALLOW_STREAM",
    "CRUDDUR_APP",
    "CRUDDUR_APP_CLIENT_ID",
    "CRUDDUR_APP_SIGN_IN_ORIGIN",
    "CRUDDUR_CORS_ORIGIN",
    "CRUDDUR_GRAPHIQL",
    "CRUDDUR_INTROSPECTION",
    "CRUDDUR_MAX_DEPTH",
    "CRUDDUR_METRICS_LISTEN",
    "CRUDDUR_TRUSTED_DOCUMENTS",
    "CRUDDUR_TRUSTED_PROXIES",
    "DDB_MESSAGE_TABLE",
    "FRONTEND_URL",
    "HTTPS_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_TRACES_SAMPLER",
    "PGAPPNAME",
    "PGHOST",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGSSLROOTCERT",
    "REDIS_URL",
    "RUST_LOG",
    "SSL_CERT_FILE",
];

#[tokio::test]
async fn empty_variable_counts_as_unset() {
    let stores = start().await;
    stores.users(["luu"]).await;
    for empty in ["", " ", "\n"] {
        let mut command = serve(&stores, &["--cors-origin", empty, "--redis-url", empty]);
        let serving = Serving::run(command.envs(READ.map(|name| (name, empty)))).await;
        let response = stores
            .execute_at(&serving.url, "luu", "{ viewer { handle } }", json!({}))
            .await;
        assert_eq!(
            response,
            json!({ "data": { "viewer": { "handle": "luu" } } })
        );
        // On a busy machine, libraries log that a connection took long.
        let mut log = serving.lines();
        log.retain(|line| {
            let target = line["target"].as_str();
            target.is_some_and(|target| target.starts_with("cruddur"))
        });
        assert_eq!(log[0]["message"], "serving", "{log:#?}");
        serving.stop().await;

        let mut scan = bare(&stores, &["scan", "--endpoint-url", &stores.dynamo.url]);
        scan.env("AWS_ENDPOINT_URL_DYNAMODB", empty);
        let (code, _, stderr) = run(scan.envs(READ.map(|name| (name, empty)))).await;
        assert_eq!(code, 0, "{stderr}");
    }
}

#[tokio::test]
async fn empty_required_setting_ends_the_program_with_one_line_that_names_it() {
    let stores = start().await;
    for empty in ["", " ,", "\n"] {
        for variable in ["COGNITO_ISSUER", "AWS_COGNITO_USER_POOL_CLIENT_ID"] {
            let mut command = serve(&stores, &[]);
            command.env("AWS_COGNITO_USER_POOL_ID", "");
            let (code, out, stderr) = run(command.env(variable, empty)).await;
            assert_eq!(
                (code, &*out, stderr.lines().count()),
                (2, "", 1),
                "{stderr}"
            );
            assert!(
                stderr.starts_with("cruddur: ") && stderr.contains(variable),
                "{stderr}"
            );
        }
    }
    let mut update = cruddur(&["update-cognito-user-ids"]);
    let (code, _, stderr) = run(update.env("AWS_COGNITO_USER_POOL_ID", "")).await;
    assert_eq!(
        (code, &*stderr),
        (
            2,
            "cruddur: a required setting is missing or empty: AWS_COGNITO_USER_POOL_ID (--cognito-user-pool-id)\n"
        )
    );
}

#[tokio::test]
async fn web_app_signs_in_at_the_configured_pool_with_one_of_the_accepted_clients() {
    let stores = start().await;
    let domain = "https://cruddur.auth.eu-central-1.amazoncognito.com";
    let config = async |serving: &Serving| -> Value {
        let url = format!("{}/app/config.json", serving.url);
        let response = reqwest::get(url).await.expect("a response");
        response.json().await.expect("JSON")
    };

    let mut of_issuer = serve(&stores, &["--app", "on"]);
    let serving = Serving::run(&mut of_issuer).await;
    let sign_in = &config(&serving).await["signIn"];
    assert_eq!(sign_in["authority"], stores.issuer.url());
    assert_eq!(sign_in["clientId"], cruddur::dev::CLIENT_ID);
    serving.stop().await;

    let of_pool = |more: &[(&str, &str)]| {
        let mut command = serve(&stores, &[]);
        command.env_remove("COGNITO_ISSUER").envs([
            ("CRUDDUR_APP", "on"),
            ("AWS_COGNITO_USER_POOL_ID", "eu-central-1_Ab12Cd34E"),
            ("AWS_COGNITO_USER_POOL_CLIENT_ID", "first,second"),
        ]);
        command.envs(more.iter().copied());
        command
    };
    let mut second = of_pool(&[
        ("CRUDDUR_APP_SIGN_IN_ORIGIN", domain),
        ("CRUDDUR_APP_CLIENT_ID", "second"),
        ("CRUDDUR_COGNITO_TOKEN_USE", "id"),
    ]);
    let serving = Serving::run(&mut second).await;
    assert_eq!(
        config(&serving).await["signIn"],
        json!({
            "authority": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E",
            "clientId": "second",
            "scope": "openid",
            "tokenUse": "id",
        })
    );
    serving.stop().await;

    for (more, setting) in [
        (&[][..], "CRUDDUR_APP_SIGN_IN_ORIGIN"),
        (
            &[
                ("CRUDDUR_APP_SIGN_IN_ORIGIN", domain),
                ("CRUDDUR_APP_CLIENT_ID", "third"),
            ],
            "CRUDDUR_APP_CLIENT_ID",
        ),
    ] {
        let (code, out, stderr) = run(&mut of_pool(more)).await;
        assert_eq!(
            (code, &*out, stderr.lines().count()),
            (2, "", 1),
            "{stderr}"
        );
        assert!(stderr.contains(setting), "{stderr}");
    }
}

#[tokio::test]
async fn lists_and_addresses_are_normalized() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let mut command = serve(&stores, &[]);
    command.envs([
        ("COGNITO_ISSUER", format!(" {}/ ,\n", stores.issuer.url())),
        (
            "AWS_COGNITO_USER_POOL_CLIENT_ID",
            format!("another , {}\n", cruddur::dev::CLIENT_ID),
        ),
        (
            "CRUDDUR_CORS_ORIGIN",
            "HTTPS://Cruddur.COM:443/ , http://localhost:80".to_owned(),
        ),
        ("LISTEN_ADDR", " 127.0.0.1:0\n".to_owned()),
        ("DATABASE_URL", format!("{}\n", stores.database.url)),
        ("CRUDDUR_INTROSPECTION", "Public".to_owned()),
    ]);
    let serving = Serving::run(&mut command).await;
    let response = stores
        .execute_at(&serving.url, "luu", "{ viewer { handle } }", json!({}))
        .await;
    assert_eq!(
        response,
        json!({ "data": { "viewer": { "handle": "luu" } } })
    );
    for origin in ["https://cruddur.com", "http://localhost"] {
        let allowed = allowed_origin(&serving.url, origin).await;
        assert_eq!(allowed.as_deref(), Some(origin));
    }
    assert_eq!(
        allowed_origin(&serving.url, "https://cruddur.com:8443").await,
        None
    );
    serving.stop().await;
}

#[tokio::test]
async fn invalid_value_is_rejected_in_one_line_that_names_the_setting() {
    let stores = start().await;
    for (variable, value) in [
        ("AWS_COGNITO_USER_POOL_CLIENT_ID", "one two"),
        ("AWS_COGNITO_USER_POOL_ID", "eu-central-1"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000"),
        (
            "AWS_ENDPOINT_URL_DYNAMODB",
            "http://u:secret@localhost:8000",
        ),
        ("COGNITO_ISSUER", "https://*.example"),
        ("COGNITO_ISSUER", "eu-central-1_Ab12Cd34E"),
        ("COGNITO_ISSUER", "https://u:secret@issuer.example"),
        ("COGNITO_JWKS_URL", "issuer.example/jwks.json?secret"),
        ("CRUDDUR_ALLOW_STREAM", "maybe"),
        ("CRUDDUR_CORS_ORIGIN", "*"),
        ("CRUDDUR_CORS_ORIGIN", "https://*.example"),
        ("CRUDDUR_CORS_ORIGIN", "https://a.example https://b.example"),
        ("CRUDDUR_IDLE_SECONDS", "soon"),
        ("CRUDDUR_INTROSPECTION", "sometimes"),
        ("CRUDDUR_METRICS_LISTEN", "9464"),
        ("CRUDDUR_TRUSTED_PROXIES", "proxy.example"),
        ("DATABASE_URL", "\"postgres://u:secret@localhost/cruddur\""),
        ("DDB_MESSAGE_TABLE", "no table"),
        ("FRONTEND_URL", "*"),
        ("LISTEN_ADDR", "localhost:4000"),
        ("PGSSLMODE", "verify_full"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://u:12/secret@localhost:6379"),
    ] {
        let mut command = serve(&stores, &[]);
        if variable == "PGSSLMODE" {
            let (url, _) = stores
                .database
                .url
                .split_once("?sslmode")
                .unwrap_or((&stores.database.url, ""));
            command.env("DATABASE_URL", url);
        }
        let (code, out, stderr) = run(command.env(variable, value)).await;
        assert!(
            code == 1 || code == 2,
            "{variable}={value}: {code} {stderr}"
        );
        assert_eq!(
            (&*out, stderr.lines().count()),
            ("", 1),
            "{variable}={value}: {stderr}"
        );
        assert!(stderr.starts_with("cruddur: "), "{stderr}");
        assert!(stderr.contains(variable), "{variable}={value}: {stderr}");
        let debug = ["Err(", "Invalid", "ParseError", "secret", "Some("];
        assert!(!debug.iter().any(|word| stderr.contains(word)), "{stderr}");
    }
}

#[tokio::test]
async fn unreadable_file_of_a_setting_is_named() {
    let stores = start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    let bare_url = stores.database.url.split('?').next().expect("an address");
    for file in [&missing, &empty] {
        let file = file.to_str().expect("text");
        for parameter in ["sslrootcert", "sslcert", "sslkey"] {
            let url = format!("{bare_url}?sslmode=verify-full&{parameter}={file}");
            let (code, _, stderr) = run(cruddur(&["migrate"]).env("DATABASE_URL", url)).await;
            assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
            assert!(
                stderr.contains(file) && stderr.contains(parameter),
                "{stderr}"
            );
        }
        let url = format!("{bare_url}?sslmode=verify-full");
        let mut migrate = cruddur(&["migrate"]);
        let (code, _, stderr) =
            run(migrate.env("DATABASE_URL", url).env("PGSSLROOTCERT", file)).await;
        assert_eq!(code, 1);
        assert!(
            stderr.contains(file) && stderr.contains("PGSSLROOTCERT"),
            "{stderr}"
        );
    }
    for variable in [
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "CRUDDUR_TRUSTED_DOCUMENTS",
        "SSL_CERT_FILE",
    ] {
        let (code, _, stderr) = run(serve(&stores, &[]).env(variable, &missing)).await;
        assert!(code == 1 || code == 2, "{variable}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{variable}: {stderr}");
        assert!(
            stderr.contains(missing.to_str().expect("text")),
            "{variable}: {stderr}"
        );
    }
    let (code, _, stderr) = run(serve(&stores, &[]).env("SSL_CERT_FILE", &empty)).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains(empty.to_str().expect("text")), "{stderr}");
}

#[tokio::test]
async fn unsupported_setting_of_opentelemetry_is_logged_at_startup() {
    let stores = start().await;
    for (variable, value, outcome) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "no traces are sent"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4317",
            "no traces are sent",
        ),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", "not supported"),
        ("OTEL_TRACES_SAMPLER", "xray", "not supported"),
        ("RUST_LOG", "=,=", "RUST_LOG is ignored"),
    ] {
        let mut command = serve(&stores, &[]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        let serving = Serving::run(command.env(variable, value)).await;
        let is_warning = |line: &str| line.contains(variable) && line.contains(outcome);
        serving
            .line_that(|line| is_warning(&line.to_string()))
            .await;
        serving.stop().await;
    }
}

#[tokio::test]
async fn healthcheck_finds_the_address_that_was_given_to_serve_as_an_option() {
    let stores = start().await;
    // A variable that an image sets. No server listens there.
    let variable = format!("0.0.0.0:{}", free_port());
    for listen in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::1]:0"] {
        let folder = tempfile::tempdir().expect("a directory");
        let shared = |command: &mut Command, folder: &Path| {
            command.env("LISTEN_ADDR", &variable);
            command.env("TMPDIR", folder);
        };
        let healthy = async |variable: Option<&str>| {
            let mut healthcheck = cruddur(&["healthcheck"]);
            shared(&mut healthcheck, folder.path());
            if let Some(variable) = variable {
                healthcheck.env("LISTEN_ADDR", variable);
            }
            run(&mut healthcheck).await
        };
        let mut command = serve(&stores, &["--listen", listen]);
        shared(&mut command, folder.path());
        let mut serving = Serving::run(&mut command).await;
        let (code, _, stderr) = healthy(None).await;
        assert_eq!(code, 0, "{listen}: {stderr}");
        // With another environment, the command finds another server.
        assert_eq!(healthy(Some("127.0.0.1:1")).await.0, 1);

        let mut second = serve(&stores, &["--listen", listen]);
        shared(&mut second, folder.path());
        let second = Serving::run(&mut second).await;
        let (code, _, stderr) = healthy(None).await;
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("several servers run here"), "{stderr}");
        second.stop().await;
        assert_eq!(healthy(None).await.0, 0);

        serving.signal("KILL").await;
        serving.ended().await;
        let (code, _, stderr) = healthy(None).await;
        assert_eq!(code, 1);
        assert!(stderr.contains(&variable), "{stderr}");
    }
}

#[tokio::test]
async fn original_names_of_settings_apply_if_the_own_name_is_unset() {
    let stores = start().await;
    let url = &stores.database.url;
    let nowhere = "postgres://postgres:password@127.0.0.1:1/cruddur";
    for (arguments, variables, code) in [
        (&["migrate"][..], &[("CONNECTION_URL", &**url)][..], 0),
        (
            &["migrate"],
            &[("CONNECTION_URL", nowhere), ("DATABASE_URL", url)],
            0,
        ),
        (&["migrate"], &[("CONNECTION_URL", nowhere)], 1),
        (
            &["migrate"],
            &[("CONNECTION_URL", url), ("PROD_CONNECTION_URL", nowhere)],
            0,
        ),
        (&["migrate"], &[("PROD_CONNECTION_URL", nowhere)], 2),
        (&["seed"], &[("CONNECTION_URL", url)], 0),
        (
            &["seed", "--prod"],
            &[("CONNECTION_URL", nowhere), ("PROD_CONNECTION_URL", url)],
            0,
        ),
    ] {
        let mut command = cruddur(arguments);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &stores.dynamo.url);
        command.env("CRUDDUR_DATABASE_WAIT", "0");
        let (found, _, stderr) = run(command.envs(variables.iter().copied())).await;
        assert_eq!(found, code, "{arguments:?} {variables:?}: {stderr}");
        assert!(code != 2 || stderr.contains("DATABASE_URL"), "{stderr}");
    }

    let mut command = serve(&stores, &[]);
    command
        .env_remove("DATABASE_URL")
        .env("CONNECTION_URL", url);
    command.env("FRONTEND_URL", "https://Cruddur.com/");
    let serving = Serving::run(&mut command).await;
    let allowed = allowed_origin(&serving.url, "https://cruddur.com").await;
    assert_eq!(allowed.as_deref(), Some("https://cruddur.com"));
    serving.stop().await;
}
