//! Bundles the web pages, GraphiQL and the web app, by npm while the program is built, so that the
//! program contains them. Opening a page fetches nothing from other servers.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

const FOLDER: &str = "web";
/// Members of the npm workspace that a page is made from.
const MEMBERS: [&str; 3] = ["app", "client", "graphiql"];
/// The workspace's other files. npm compares the packages of all members with the lock file.
const FILES: [&str; 4] = [
    "compress.mjs",
    "package-lock.json",
    "package.json",
    "tests/package.json",
];
/// Folders that contain results.
const NOT_SOURCES: [&str; 2] = ["dist", "node_modules"];

/// A page, or several with the same files.
struct Bundle {
    name: &'static str,
    /// The npm package.
    package: &'static str,
    /// The environment variable that leaves the page out of the program if it is `skip`.
    setting: &'static str,
    /// The generated list of files.
    list: &'static str,
}

const BUNDLES: [Bundle; 2] = [
    Bundle {
        name: "GraphiQL",
        package: "cruddur-graphiql",
        setting: "CRUDDUR_GRAPHIQL",
        list: "graphiql_assets.rs",
    },
    Bundle {
        name: "the web app",
        package: "@cruddur/app",
        setting: "CRUDDUR_APP",
        list: "app_assets.rs",
    },
];

/// Writes the list of files of each page to `out`. The list is empty without npm, or if npm fails.
pub fn bundle(out: &Path) -> io::Result<()> {
    let sources = sources()?;
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let wanted: Vec<&Bundle> = BUNDLES.iter().filter(|bundle| bundle.is_wanted()).collect();
    let folder = out.join("web");
    if let Err(why) = make(&folder, &sources, &wanted) {
        let names: Vec<&str> = wanted.iter().map(|bundle| bundle.name).collect();
        left_out(&names.join(" and "), &why);
        // The next build tries again.
        println!("cargo::rerun-if-changed={}", folder.join("none").display());
    }
    for bundle in &BUNDLES {
        let is_wanted = wanted.iter().any(|wanted| wanted.name == bundle.name);
        let files = folder.join("files").join(bundle.package);
        let list = if is_wanted && files.exists() {
            list(&files)?
        } else {
            "&[]".to_owned()
        };
        fs::write(out.join(bundle.list), list)?;
    }
    Ok(())
}

fn left_out(names: &str, why: &str) {
    println!("cargo::warning=left out: {names}: {why}");
}

impl Bundle {
    fn is_wanted(&self) -> bool {
        println!("cargo::rerun-if-env-changed={}", self.setting);
        env::var_os(self.setting).is_none_or(|setting| setting != "skip")
    }
}

/// All files that the pages are made from.
fn sources() -> io::Result<Vec<PathBuf>> {
    let mut sources: Vec<PathBuf> = FILES.map(|file| Path::new(FOLDER).join(file)).into();
    for member in MEMBERS {
        files_below(&Path::new(FOLDER).join(member), &mut sources)?;
    }
    sources.sort();
    Ok(sources)
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !NOT_SOURCES.contains(&&*name) {
            files_below(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes the compressed files of the bundles. They are kept until a source changes.
fn make(folder: &Path, sources: &[PathBuf], wanted: &[&Bundle]) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let stamp = folder.join("stamp");
    let made_from = stamp_of(sources, wanted).map_err(failed)?;
    if wanted.is_empty() || fs::read_to_string(&stamp).ok().as_ref() == Some(&made_from) {
        return Ok(());
    }
    // An interrupted build may have left files.
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    for source in sources {
        let copy = folder.join(source.strip_prefix(FOLDER).unwrap_or(source));
        fs::create_dir_all(copy.parent().unwrap_or(folder)).map_err(failed)?;
        fs::copy(source, copy).map_err(failed)?;
    }
    let packages = wanted
        .iter()
        .map(|bundle| format!("--workspace={}", bundle.package));
    let install = [
        "ci",
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        // Without a network, npm fails at once.
        "--fetch-retries=0",
    ];
    let install = install.map(str::to_owned).into_iter().chain(packages);
    run(folder, "npm", &install.collect::<Vec<_>>())?;
    for bundle in wanted {
        // The build can succeed only after its sources have changed.
        if let Err(why) = make_one(folder, bundle) {
            left_out(bundle.name, &why);
        }
    }
    fs::remove_dir_all(folder.join("node_modules")).map_err(failed)?;
    fs::write(&stamp, made_from).map_err(failed)
}

fn make_one(folder: &Path, bundle: &Bundle) -> Result<(), String> {
    let package = format!("--workspace={}", bundle.package);
    run(
        folder,
        "npm",
        &["run".to_owned(), "bundle".to_owned(), package],
    )?;
    let made = format!("node_modules/{}/dist", bundle.package);
    let files = format!("files/{}", bundle.package);
    run(folder, "node", &["compress.mjs".to_owned(), made, files])
}

fn stamp_of(sources: &[PathBuf], wanted: &[&Bundle]) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for bundle in wanted {
        bundle.name.hash(&mut hasher);
    }
    for source in sources {
        source.hash(&mut hasher);
        fs::read(source)?.hash(&mut hasher);
    }
    Ok(hasher.finish().to_string())
}

/// The files of a bundle as a Rust expression of type `&[Asset]`.
fn list(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for gzip in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "gz"))
    {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let name = gzip.strip_prefix(folder).unwrap_or(gzip).with_extension("");
        let (name, brotli) = (text(&name), text(&gzip.with_extension("br")));
        let mut hasher = DefaultHasher::new();
        fs::read(gzip)?.hash(&mut hasher);
        let gzip = text(gzip);
        // Writing to a string cannot fail.
        let _ = writeln!(
            list,
            "    Asset {{ name: {name:?}, gzip: include_bytes!({gzip:?}), \
             brotli: include_bytes!({brotli:?}), etag: \"W/\\\"{:x}\\\"\" }},",
            hasher.finish()
        );
    }
    list.push(']');
    Ok(list)
}

fn run(folder: &Path, program: &str, arguments: &[String]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no {program}. Install Node.js 20 or newer to have it")
        }
        _ => format!("{program}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines = errors.lines().map(str::trim);
    let first = lines.find(|line| line.contains("error") || line.contains("Error"));
    Err(format!(
        "`{program} {}` failed: {}",
        arguments.join(" "),
        first.unwrap_or("it does not say why")
    ))
}
