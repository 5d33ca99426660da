//! The commands as processes.

use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use cruddur::server::web_app_documents;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;

use crate::harness::{
    CREATE, Process, Serving, TABLE, bodies, checker, cruddur, start, wait_for, wait_until,
    with_stores,
};
use crate::issuer::claims;

/// Runs a command. Returns exit code, standard output and standard error.
pub async fn run(command: &mut Command) -> (i32, String, String) {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = wait_for("the end of the command", output)
        .await
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        status.code().expect("no signal"),
        text(stdout),
        text(stderr),
    )
}

/// A `cruddur dev` that has printed its addresses.
struct Dev {
    process: Process,
    places: Value,
    http: reqwest::Client,
}

impl Dev {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = cruddur(&["dev", "--json", "--listen", "127.0.0.1:0"]);
        command.args([
            "--dynamodb-port",
            "0",
            "--postgres-port",
            "0",
            "--issuer-port",
            "0",
        ]);
        command.args(arguments);
        let process = Process::spawn(&mut command);
        let places = process.line_that(|line| line["graphql"].is_string()).await;
        Self {
            process,
            places,
            http: reqwest::Client::new(),
        }
    }

    async fn data(&self, handle: &str, document: &str, variables: Value) -> Value {
        let body = json!({ "query": document, "variables": variables });
        let mut response = self.request(handle, &body).await;
        assert_eq!(response.get("errors"), None);
        response["data"].take()
    }

    async fn request(&self, handle: &str, body: &Value) -> Value {
        let token = self.places["tokens"][handle].as_str().expect("a token");
        let url = self.places["graphql"].as_str().expect("an address");
        let request = self.http.post(url).bearer_auth(token).json(body);
        let response = request.send().await.expect("a response");
        response.json().await.expect("JSON")
    }

    /// Waits until an address accepts no connections.
    async fn is_gone(&self) {
        for place in ["graphql", "dynamodb", "database_url", "issuer"] {
            let url = self.places[place].as_str().expect("an address");
            let url = reqwest::Url::parse(url).expect("an address");
            let address = ("127.0.0.1", url.port().expect("a port"));
            // After a kill, the guard stops PostgreSQL after a moment.
            wait_until(&format!("{place} accepts no connections"), async || {
                TcpStream::connect(address).await.is_err()
            })
            .await;
        }
    }
}

const GROUPS: &str = "{
    viewer { handle }
    messageGroups { edges { node { uuid otherUser { handle } lastMessage { body } } } }
}";

const MESSAGES: &str = "query($group: UUID!, $before: String) {
    messages(messageGroupUuid: $group, last: 20, before: $before) {
        edges { node { body createdAt } }
        pageInfo { startCursor hasPreviousPage }
    }
}";

#[tokio::test]
async fn dev_serves_demo_users_and_message_groups_and_leaves_no_files() {
    let mut dev = Dev::start(&[]).await;

    let data = dev.data("luu", GROUPS, json!({})).await;
    let groups = data["messageGroups"]["edges"].as_array().expect("edges");
    let with_unamused = groups
        .iter()
        .map(|edge| &edge["node"])
        .find(|group| group["otherUser"]["handle"] == "unamused")
        .expect("a group with unamused");
    let group = &with_unamused["uuid"];
    let mut pages = Vec::new();
    let mut before = Value::Null;
    loop {
        let variables = json!({ "group": group, "before": before });
        let mut page = dev.data("luu", MESSAGES, variables).await["messages"].take();
        before = page["pageInfo"]["startCursor"].take();
        let last = page["pageInfo"]["hasPreviousPage"] == false;
        pages.insert(0, page);
        if last {
            break;
        }
    }
    let walked: Vec<&str> = pages.iter().flat_map(bodies).collect();
    assert!(
        (90..=180).contains(&walked.len()),
        "{} messages",
        walked.len()
    );
    assert_eq!(
        walked.last().copied(),
        with_unamused["lastMessage"]["body"].as_str()
    );
    assert_eq!(
        walked[0],
        "Are you awake? I have a question about the lighthouse."
    );

    let to_new = json!({ "input": { "to": { "receiverHandle": "tove" }, "body": "welcome" } });
    dev.data("luu", CREATE, to_new).await;
    let theirs = dev.data("tove", GROUPS, json!({})).await;
    assert_eq!(
        theirs["messageGroups"]["edges"][0]["node"]["lastMessage"]["body"],
        "welcome"
    );

    assert!(dev.process.end("INT").await.success());
    dev.is_gone().await;
}

#[tokio::test]
async fn dev_token_seconds_is_the_lifetime_of_all_tokens() {
    let mut dev = Dev::start(&["--token-seconds", "20"]).await;

    let url = dev.places["token_url"].as_str().expect("an address");
    let issued = dev.http.post(url).json(&json!({ "handle": "unamused" }));
    let issued = issued.send().await.expect("a response");
    assert_eq!(issued.status(), 200);
    let issued: Value = issued.json().await.expect("JSON");

    assert_eq!(issued["expires_in"], 20);
    for token in [&issued["access_token"], &dev.places["tokens"]["luu"]] {
        let claims = claims(token);
        let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(20));
    }
    dev.process.end("INT").await;
}

#[tokio::test]
async fn dev_trusted_documents_of_the_app_exclude_all_others() {
    let Some(manifest) = web_app_documents() else {
        println!("left out: this program was built without the web app");
        return;
    };
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let documents = manifest.as_object().expect("ids and documents");
    let of_app = documents.iter().find(|(_, document)| {
        let document = document.as_str().expect("a document");
        document.starts_with("query UnreadMessageGroupCount")
    });
    let (id, _) = of_app.expect("a document without variables");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), r#"{ "viewer": "{ viewer { handle } }" }"#).expect("a manifest");

    for (given, viewer) in [
        ("app", "PERSISTED_QUERY_NOT_FOUND"),
        (file.path().to_str().expect("UTF-8"), ""),
    ] {
        let mut dev = Dev::start(&["--trusted-documents", given]).await;
        let config = format!(
            "{}app/config.json",
            dev.places["app"].as_str().expect("a URL")
        );
        let config = dev.http.get(config).send().await.expect("a response");
        let config: Value = config.json().await.expect("JSON");
        assert_eq!(config["trustedDocuments"], true);
        for (body, expected) in [
            (json!({ "documentId": id }), ""),
            (json!({ "documentId": "viewer" }), viewer),
            (
                json!({ "query": "{ viewer { handle } }" }),
                "PERSISTED_QUERY_NOT_FOUND",
            ),
        ] {
            let response = dev.request("luu", &body).await;
            let code = response["errors"][0]["extensions"]["code"].as_str();
            assert_eq!(code.unwrap_or_default(), expected, "{given}: {response}");
        }
        dev.process.end("INT").await;
    }
}

#[tokio::test]
async fn dev_data_dir_keeps_data_after_a_restart_and_after_a_kill() {
    let data_dir = tempfile::Builder::new()
        .prefix("cruddur-test-")
        .tempdir()
        .expect("a directory");
    let directory = data_dir.path().join("data");

    let mut newest = Vec::new();
    for (message, end) in [
        ("before a restart", "INT"),
        ("before a kill", "KILL"),
        ("at last", "TERM"),
    ] {
        let mut dev = Dev::start(&["--data-dir", directory.to_str().expect("UTF-8")]).await;
        let data = dev.data("unamused", GROUPS, json!({})).await;
        newest.push(data["messageGroups"]["edges"][0]["node"]["lastMessage"]["body"].clone());

        let (code, _, stderr) = run(cruddur(&["dev", "--data-dir"]).arg(&directory)).await;
        assert_eq!(code, 1);
        assert!(
            stderr.contains("is in use by another `cruddur dev`"),
            "{stderr}"
        );

        let input = json!({ "input": { "to": { "receiverHandle": "luu" }, "body": message } });
        dev.data("unamused", CREATE, input).await;
        dev.process.end(end).await;
        // After a kill, everything is started again immediately, while
        // PostgreSQL is still stopping.
        if end != "KILL" {
            dev.is_gone().await;
        }
    }

    assert_eq!(
        newest,
        [
            "Then I will leave it on. ✨",
            "before a restart",
            "before a kill"
        ]
    );
}

#[tokio::test]
async fn serve_requires_the_table_and_the_migrations_that_commands_create() {
    let stores = start().await;
    let with = |arguments: &[&str]| {
        let mut command = cruddur(arguments);
        with_stores(&mut command, &stores);
        command.env("DDB_MESSAGE_TABLE", "made-by-commands");
        command
    };
    let (code, _, stderr) = run(&mut with(&["serve"])).await;
    assert_eq!(
        (code, stderr.as_str()),
        (
            1,
            "cruddur: there is no table made-by-commands: create it with `cruddur schema-load`, or select another with --table\n"
        )
    );

    let (code, out, _) = run(&mut with(&["schema-load"])).await;
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "created the table made-by-commands
  status    ACTIVE
  key       pk HASH, sk RANGE
  index     message-group-sk-index: message_group_uuid HASH, sk RANGE
  billing   provisioned, 5 read and 5 write units a second
  stream    none
  expiry    expires_at
  deletion  not protected
  marker    every group has a head
"
        )
    );
    let (code, out, _) = run(&mut with(&["schema-load"])).await;
    assert_eq!(
        (code, out.lines().next()),
        (
            0,
            Some("the table made-by-commands has the expected definition")
        )
    );

    let empty = crate::harness::Database::create().await;
    let (code, _, stderr) = run(with(&["serve"]).env("DATABASE_URL", &empty.url)).await;
    assert_eq!(
        (code, stderr.as_str()),
        (
            1,
            "cruddur: the database lacks 0001 users: bring it up to date with `cruddur migrate`\n"
        )
    );
    let (code, out, _) = run(with(&["migrate"]).env("DATABASE_URL", &empty.url)).await;
    assert_eq!((code, out.as_str()), (0, "applied 0001 users\n"));
    let (code, out, _) = run(with(&["migrate"]).env("DATABASE_URL", &empty.url)).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "the database schema is up to date\n")
    );

    let (code, out, _) = run(with(&["seed"]).env("DATABASE_URL", &empty.url)).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @"
    luu and unamused: 105 messages written
    mirabel and luu: 3 messages written
    oddvar and unamused: 1 messages written
    ");
    let (code, out, _) = run(with(&["seed"]).env("DATABASE_URL", &empty.url)).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @"
    luu and unamused: unchanged
    mirabel and luu: unchanged
    oddvar and unamused: unchanged
    ");
}

#[tokio::test]
async fn serve_is_healthy_and_stops_at_a_signal() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let mut serving = Serving::start(&stores, &[]).await;
    let address = serving.url["http://".len()..].to_owned();
    let healthcheck = async || {
        let mut command = cruddur(&["healthcheck", "--listen", &address]);
        run(&mut command).await.0
    };

    assert_eq!(healthcheck().await, 0);
    let document = "{ viewer { handle } }";
    let response = stores.execute_at(&serving.url, "luu", document, json!({}));
    let expected = json!({ "data": { "viewer": { "handle": "luu" } } });
    assert_eq!(response.await, expected);

    let mut second = cruddur(&["serve"]);
    with_stores(&mut second, &stores);
    let (code, _, stderr) = run(second.env("LISTEN_ADDR", &address)).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains(&format!("cannot listen on {address}: ")) && stderr.contains("--listen"),
        "{stderr}"
    );

    assert!(serving.end("TERM").await.success());
    assert_eq!(healthcheck().await, 1);
}

#[tokio::test]
async fn invalid_settings_are_named_in_one_line_with_the_remedy() {
    let unreachable = "postgres://postgres:secret@127.0.0.1:1/cruddur";
    let mut errors = Vec::new();
    for (arguments, variables) in [
        (
            &["dev"][..],
            &[("DATABASE_URL", "postgres://u:secret@db.example.com/cruddur")][..],
        ),
        (&["dev"], &[("DATABASE_URL", "nonsense")]),
        (
            &["dev"],
            &[(
                "AWS_ENDPOINT_URL_DYNAMODB",
                "https://dynamodb.eu-central-1.amazonaws.com",
            )],
        ),
        (
            &["dev"],
            &[(
                "DATABASE_URL",
                "postgres://u:secret@localhost/cruddur?host=db.example.com",
            )],
        ),
        (
            &["migrate", "--database-wait", "0"],
            &[("DATABASE_URL", unreachable)],
        ),
        (&["migrate"], &[("DATABASE_URL", "nonsense")]),
        (
            &["seed"],
            &[(
                "AWS_ENDPOINT_URL_DYNAMODB",
                "http://dynamodb.example.com:8000",
            )],
        ),
        (
            &["seed"],
            &[("DATABASE_URL", "postgres://u:secret@db.example.com/cruddur")],
        ),
    ] {
        let (code, out, stderr) = run(cruddur(arguments).envs(variables.iter().copied())).await;
        assert!(code == 1 || code == 2, "{code}: {stderr}");
        assert_eq!((out.as_str(), stderr.lines().count()), ("", 1), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        // The error number depends on the operating system.
        errors.push(
            stderr
                .replace(" (os error 111)", "")
                .replace(" (os error 61)", ""),
        );
    }
    insta::assert_snapshot!(errors.concat(), @r"
    cruddur: DATABASE_URL points to another machine (db.example.com), to which `cruddur dev` would write demo data: unset it, or set it to an address of localhost
    cruddur: DATABASE_URL is not an address like postgres://user:password@host:5432/database: it does not begin with postgres:// or postgresql://
    cruddur: AWS_ENDPOINT_URL_DYNAMODB points to another machine (https://dynamodb.eu-central-1.amazonaws.com), to which `cruddur dev` would write demo data: unset it, or set it to an address of localhost
    cruddur: DATABASE_URL points to another machine (db.example.com), to which `cruddur dev` would write demo data: unset it, or set it to an address of localhost
    cruddur: no connection to the database cruddur at 127.0.0.1:1: Connection refused
    cruddur: DATABASE_URL is not an address like postgres://user:password@host:5432/database: it does not begin with postgres:// or postgresql://
    cruddur: http://dynamodb.example.com:8000 is not on this machine: add --allow-remote to seed or delete there, or --prod for production
    cruddur: the database at db.example.com is not on this machine: add --allow-remote to seed or delete there, or --prod for production
    ");
}

#[tokio::test]
async fn invalid_arguments_are_usage_errors() {
    for arguments in [
        &["nothing"][..],
        &["serve"],
        &[
            "serve",
            "--cognito-user-pool-id",
            "x",
            "--cognito-client-id",
            "y",
        ],
        &[
            "schema-load",
            "--prod",
            "--endpoint-url",
            "http://localhost:8000",
        ],
        &["dev", "--listen", "here"],
    ] {
        let (code, out, stderr) = run(&mut cruddur(arguments)).await;
        assert_eq!((code, out.as_str()), (2, ""), "{stderr}");
        let starts = ["error: ", "cruddur: "];
        assert!(
            starts.iter().any(|start| stderr.starts_with(start)),
            "{stderr}"
        );
    }
    let (code, out, stderr) = run(&mut cruddur(&["schema-print"])).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(out, include_str!("../../schema.graphql"));
}

#[tokio::test]
async fn serve_rejects_a_table_with_a_stream() {
    let stores = start().await;
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewImage)
        .build()
        .expect("a stream");
    checker::client(&stores.dynamo.url)
        .update_table()
        .table_name(TABLE)
        .stream_specification(stream)
        .send()
        .await
        .expect("a table with a stream");
    let mut serve = cruddur(&["serve"]);
    with_stores(&mut serve, &stores);

    let (code, _, stderr) = run(&mut serve).await;
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("cruddur: the table cruddur-messages has a stream"),
        "{stderr}"
    );
    assert!(stderr.contains("--allow-stream"), "{stderr}");

    let mut serve = cruddur(&["serve", "--allow-stream"]);
    with_stores(&mut serve, &stores);
    Serving::run(&mut serve).await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_completes_all_requests_sent_before_it() {
    let stores = start().await;
    stores.users(["luu", "unamused"]).await;
    let mut serving = Serving::start(&stores, &["--send-rate", "0"]).await;
    let url = format!("{}/graphql", serving.url);
    let token = stores.token("luu");
    let send = async |number: usize| {
        let input = json!({ "to": { "receiverHandle": "unamused" }, "body": format!("{number}") });
        let body = json!({ "query": CREATE, "variables": { "input": input } });
        let sent = stores.http.post(&url).bearer_auth(&token).json(&body);
        sent.send().await
    };
    let is_stopping = AtomicBool::new(false);
    let (written, mut all_written) = watch::channel(0);
    let loads = (0..16).map(async |_| {
        let mut answered = 0_usize;
        // Waits until connections are refused.
        loop {
            let was_stopping = is_stopping.load(Ordering::SeqCst);
            match send(answered).await {
                Ok(response) => {
                    assert_eq!(response.status(), 200);
                    let response: Value = response.json().await.expect("a whole response");
                    let created = &response["data"]["createMessage"]["__typename"];
                    assert_eq!(created, "CreateMessageSuccess", "{response}");
                    answered += 1;
                    written.send_modify(|written| *written += 1);
                }
                Err(error) => {
                    assert!(was_stopping, "{error:?}");
                    return answered;
                }
            }
        }
    });
    let stop = async {
        let under_load = all_written.wait_for(|written| *written > 64);
        let under_load = wait_for("64 messages", under_load).await;
        under_load.expect("a sender");
        is_stopping.store(true, Ordering::SeqCst);
        serving.signal("TERM").await;
    };
    let (answered, ()) = tokio::join!(futures_util::future::join_all(loads), stop);

    assert!(serving.ended().await.success());
    let found = checker::read(&checker::client(&stores.dynamo.url)).await;
    found.check();
    let written: usize = found.messages.values().map(Vec::len).sum();
    let answered: usize = answered.into_iter().sum();
    assert_eq!(written, answered);
}
