//! A real nginx in front of a server.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// On Debian, nginx is in a folder that is only on root's PATH.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Nginx {
    pub url: String,
    _child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx with a configuration of its `http` block, in which `LISTEN`
    /// is replaced by its own address and `UPSTREAM` by the server's. Returns
    /// `None` if nginx is not installed, unless `CRUDDUR_TEST_NGINX=required`.
    pub async fn start(upstream: &str, http: &str) -> Option<Self> {
        let port = super::free_port();
        let address = format!("127.0.0.1:{port}");
        let upstream = upstream.strip_prefix("http://").expect("an address");
        let http = http
            .replace("LISTEN", &address)
            .replace("UPSTREAM", upstream);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration(&folder, &http)).expect("written");
        let mut programs = PROGRAMS.iter();
        let child = programs.find_map(|program| {
            let mut command = Command::new(program);
            let command = command.arg("-c").arg(&file).arg("-e").arg("stderr");
            command
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .ok()
        });
        let Some(child) = child else {
            let required = std::env::var("CRUDDUR_TEST_NGINX").is_ok_and(|say| say == "required");
            assert!(!required, "there is no nginx");
            eprintln!("there is no nginx: nothing is tested behind a proxy");
            return None;
        };
        let ready = async {
            while TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("nginx listens");
        Some(Self {
            url: format!("http://{address}"),
            _child: child,
            _folder: folder,
        })
    }
}

/// A single process that writes all its files to one folder.
fn configuration(folder: &TempDir, http: &str) -> String {
    let folder = folder.path().display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"));
    // As root, nginx gives its folders to another user by default, who may not
    // exist in a user namespace.
    format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr crit;\nevents {{}}\n\
         http {{\naccess_log off;\n{}{http}\n}}\n",
        temporary.concat()
    )
}
