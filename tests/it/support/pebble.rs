//! Pebble, the ACME server that Let's Encrypt tests clients with, and the name server it asks.

use super::authority::Authority;
use super::ports::free_ports;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// Where an ACME server will be, before it is there: it must know our ports, and we its URL.
pub struct Site {
    authority: Authority,
    acme_port: u16,
    management_port: u16,
    names_port: u16,
}

/// A running Pebble, for which every name is this machine. Killed with its owner.
pub struct Pebble {
    children: Vec<Child>,
    authority: Authority,
    management_port: u16,
}

impl Site {
    /// Free ports and an authority that vouches for them.
    pub fn new() -> Self {
        let [acme_port, management_port, names_port] = free_ports();
        Self { authority: Authority::new(), acme_port, management_port, names_port }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.acme_port)
    }

    /// Who vouches for it, a PEM file below `folder`.
    pub fn ca_file(&self, folder: &Path) -> String {
        self.authority.file(folder).to_str().expect("text").to_owned()
    }

    /// Opens it. It looks for challenges on these ports, and its certificates last so long.
    pub async fn open(self, folder: &Path, http_port: u16, tls_port: u16, lifetime: Duration) -> Pebble {
        let files = self.authority.issue(folder, &["127.0.0.1"]);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.acme_port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": files.certificate,
            "privateKey": files.key,
            "httpPort": http_port,
            "tlsPort": tls_port,
            "certificateValidityPeriod": lifetime.as_secs(),
        }});
        let path = folder.join("pebble.json");
        fs::write(&path, config.to_string()).expect("written");
        let names = format!("127.0.0.1:{}", self.names_port);
        let mut answerer = Command::new("pebble-challtestsrv");
        answerer.args(["-dns01", &names, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        answerer.args(["-management", "127.0.0.1:0"]);
        let mut pebble = Command::new("pebble");
        pebble.args(["-strict", "-config"]).arg(&path).args(["-dnsserver", &names]).env("PEBBLE_VA_NOSLEEP", "1");
        let children = [answerer, pebble].map(|mut command| {
            let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("pebble.log")).expect("a log");
            let errors = log.try_clone().expect("a log");
            command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("pebble is installed")
        });
        let pebble = Pebble { children: children.into(), authority: self.authority, management_port: self.management_port };
        pebble.wait(&folder.join("pebble.log")).await;
        pebble
    }
}

impl Pebble {
    async fn wait(&self, log: &Path) {
        let begun = Instant::now();
        while self.ask_root().await.is_none() {
            assert!(begun.elapsed() < READY_WITHIN, "pebble does not answer:\n{}", fs::read_to_string(log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
        }
    }

    /// The root of all its certificates, PEM.
    pub async fn root(&self) -> String {
        self.ask_root().await.expect("an answer")
    }

    async fn ask_root(&self) -> Option<String> {
        let client = self.authority.client().build().expect("a client");
        client.get(format!("https://127.0.0.1:{}/roots/0", self.management_port)).send().await.ok()?.text().await.ok()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
