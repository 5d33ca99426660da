//! Passes the commit to the program, for `--version`, and bundles the web pages.

use std::path::Path;
use std::process::Command;

#[path = "web/bundle.rs"]
mod web;

fn main() {
    // An image is built without the repository, and passes the commit as a variable.
    println!("cargo::rerun-if-env-changed=CRUDDUR_COMMIT");
    println!("cargo::rerun-if-changed=migrations");
    let head = Path::new(".git/logs/HEAD");
    if head.exists() {
        println!("cargo::rerun-if-changed={}", head.display());
    }
    let given = std::env::var("CRUDDUR_COMMIT").ok();
    let commit = given.filter(|commit| !commit.is_empty()).or_else(by_git);
    let package = env!("CARGO_PKG_VERSION");
    let version = commit.map_or_else(
        || package.to_owned(),
        |commit| format!("{package} ({commit})"),
    );
    println!("cargo::rustc-env=CRUDDUR_VERSION={version}");

    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    web::bundle(Path::new(&out)).expect("OUT_DIR can be written");
}

fn by_git() -> Option<String> {
    let asked = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let commit = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    (asked.status.success() && !commit.is_empty()).then_some(commit)
}
