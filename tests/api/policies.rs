//! The IAM policies in `deploy/` allow exactly the calls of the code.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// SDK calls and the actions that they need. Operations in a transaction need
/// the actions of the single operations.
const CALLS: [(&str, &str); 15] = [
    (".get_item()", "dynamodb:GetItem"),
    (".query()", "dynamodb:Query"),
    (".scan()", "dynamodb:Scan"),
    (".put_item()", "dynamodb:PutItem"),
    (".update_item()", "dynamodb:UpdateItem"),
    (".delete_item()", "dynamodb:DeleteItem"),
    (".create_table()", "dynamodb:CreateTable"),
    (".delete_table()", "dynamodb:DeleteTable"),
    (".describe_table()", "dynamodb:DescribeTable"),
    (".describe_time_to_live()", "dynamodb:DescribeTimeToLive"),
    (".update_time_to_live()", "dynamodb:UpdateTimeToLive"),
    (".list_users()", "cognito-idp:ListUsers"),
    ("Put::builder()", "dynamodb:PutItem"),
    ("Update::builder()", "dynamodb:UpdateItem"),
    ("Delete::builder()", "dynamodb:DeleteItem"),
];

/// The calls that only operators' commands make.
const OPERATING: [&str; 6] = [
    "CreateTable",
    "DeleteTable",
    "DescribeTimeToLive",
    "ListUsers",
    "Scan",
    "UpdateTimeToLive",
];

fn called() -> BTreeSet<String> {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let files = std::fs::read_dir(store).expect("the stores").flatten();
    // Subfolders are for tests.
    let files = files.filter(|file| file.path().is_file());
    let sources: Vec<String> = files
        .map(|file| std::fs::read_to_string(file.path()).expect("a source"))
        .collect();
    let is_called = |call: &str| sources.iter().any(|source| source.contains(call));
    let found = CALLS.iter().filter(|(call, _)| is_called(call));
    found.map(|(_, action)| (*action).to_owned()).collect()
}

fn allowed(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(policy).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions"))
        .map(|action| action.as_str().expect("an action").to_owned())
        .collect()
}

#[test]
fn iam_policies_allow_exactly_the_calls_that_are_made() {
    let mut needed = called();
    // Read transactions need GetItem.
    needed.insert("dynamodb:GetItem".to_owned());
    assert_eq!(
        allowed(include_str!("../../deploy/iam-operate.json")),
        needed
    );

    needed.retain(|action| {
        !OPERATING
            .iter()
            .any(|operating| action.ends_with(operating))
    });
    assert_eq!(allowed(include_str!("../../deploy/iam-serve.json")), needed);
}
