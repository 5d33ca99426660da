//! A real nginx or `HAProxy` in front of a server.

use std::fs;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait_until;

pub struct ReverseProxy {
    pub url: String,
    _child: Child,
    _folder: TempDir,
}

impl ReverseProxy {
    /// Starts nginx with this configuration of its `http` block, in which `LISTEN` stands for its
    /// own address and `UPSTREAM` for the server's. `None` on a machine without nginx, unless
    /// `CRUDDUR_TEST_NGINX=required`.
    pub async fn nginx(upstream: &str, http: &str) -> Option<Self> {
        let options = ["-e", "stderr", "-c"];
        let start = Self::start("nginx", &options, upstream, |folder| {
            nginx_configuration(folder, http)
        });
        start.await
    }

    /// Starts `HAProxy` with this configuration, like nginx.
    pub async fn haproxy(upstream: &str, configuration: &str) -> Option<Self> {
        let configuration = |_: &TempDir| configuration.to_owned();
        Self::start("haproxy", &["-db", "-f"], upstream, configuration).await
    }

    /// Starts a program whose last option is the file of its configuration.
    async fn start(
        program: &str,
        options: &[&str],
        upstream: &str,
        configuration: impl FnOnce(&TempDir) -> String,
    ) -> Option<Self> {
        let address = format!("127.0.0.1:{}", super::free_port());
        let upstream = upstream.strip_prefix("http://").expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = configuration(&folder)
            .replace("LISTEN", &address)
            .replace("UPSTREAM", upstream);
        let file = folder.path().join("configuration");
        fs::write(&file, configuration).expect("written");
        // Debian installs them into a folder that is only on root's PATH.
        let programs = [program.to_owned(), format!("/usr/sbin/{program}")];
        let child = programs.iter().find_map(|program| {
            let mut command = Command::new(program);
            command.args(options).arg(&file).stdout(Stdio::null());
            command.kill_on_drop(true).spawn().ok()
        });
        let Some(child) = child else {
            let variable = format!("CRUDDUR_TEST_{}", program.to_uppercase());
            let required = std::env::var(variable).is_ok_and(|say| say == "required");
            assert!(!required, "there is no {program}");
            eprintln!("there is no {program}: nothing is tested behind it");
            return None;
        };
        wait_until("the proxy accepts connections", async || {
            TcpStream::connect(&address).await.is_ok()
        })
        .await;
        Some(Self {
            url: format!("http://{address}"),
            _child: child,
            _folder: folder,
        })
    }
}

/// Returns a configuration with one process, which writes all its files to a separate folder.
fn nginx_configuration(folder: &TempDir, http: &str) -> String {
    let folder = folder.path().display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"));
    // As root, it gives its folders to another user by default, who may not exist in
    // a user namespace.
    format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr crit;\nevents {{}}\n\
         http {{\naccess_log off;\n{}{http}\n}}\n",
        temporary.concat()
    )
}
