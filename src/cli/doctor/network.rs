//! Ports and the server behind them.

use super::{Check, clock, storage, webhooks};
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use reqwest::Url;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::SystemTime;

/// What is at the addresses of the settings.
pub(super) struct Ports {
    pub(super) checks: Vec<Check>,
    /// Whether the server of the data folder is.
    pub(super) is_running: bool,
}

/// Whether a server runs on `data` already, or could listen where it shall.
pub(super) async fn examine(data: &Path, addresses: &[SocketAddr]) -> Ports {
    let connection = Connection::Local { data: data.to_owned(), ca_file: None };
    if let Ok(endpoint) = connection.endpoint()
        && Client::new(connection).is_alive(&endpoint.url).await
    {
        let checks = vec![Check::ok("ports", format!("the server of this data folder answers at {}", endpoint.url))];
        return Ports { checks, is_running: true };
    }
    Ports { checks: addresses.iter().copied().map(port).collect(), is_running: false }
}

fn port(address: SocketAddr) -> Check {
    let failure = match TcpListener::bind(address) {
        Ok(_) => return Check::ok("ports", format!("{address} is free")),
        Err(failure) => failure,
    };
    match failure.kind() {
        io::ErrorKind::AddrInUse => Check::fail(
            "ports",
            format!("another program listens on {address}"),
            "end it, or choose another port with --listen and --s3-listen",
        ),
        io::ErrorKind::PermissionDenied => {
            Check::fail("ports", format!("you may not listen on {address}"), "choose a port above 1023, and put a proxy before it")
        }
        _ => Check::fail("ports", format!("{address} cannot be listened on: {failure}"), "choose an address that this machine has"),
    }
}

/// The server that commands would talk to: whether it answers, takes the token, and has the same time.
pub(super) async fn examine_server(connection: Result<Connection, Failure>) -> Vec<Check> {
    let connection = match connection {
        Ok(connection) => connection,
        Err(failure) => return vec![Check::fail("server", failure.to_string(), "set both variables, or neither")],
    };
    let endpoint = match connection.endpoint() {
        Ok(endpoint) => endpoint,
        Err(failure) if failure.code() == "no-server" => return vec![],
        Err(failure) => return vec![Check::warn("server", failure.to_string(), "commands other than serve will not work")],
    };
    let remedy = connection.remedy();
    let client = Client::new(connection);
    let (session, theirs) = match client.session().await {
        Ok(answer) => answer,
        Err(failure) if failure.status() == Some(401) => {
            return vec![Check::fail("server", failure.to_string(), "get a new token: theatrum token issue, on the server")];
        }
        Err(failure) => return vec![Check::warn("server", failure.to_string(), remedy)],
    };
    let known = format!("{} knows you as {} ({})", endpoint.url, session.subject, session.role);
    let mut checks = vec![if travels_in_clear(&endpoint.url) {
        Check::warn("server", known, "the token travels readable for everyone in between: use https")
    } else {
        Check::ok("server", known)
    }];
    checks.extend(theirs.map(|theirs| clock::examine_drift(SystemTime::now(), theirs)));
    checks.extend(storage::examine(&client).await);
    checks.extend(webhooks::examine(&client).await);
    checks
}

fn travels_in_clear(url: &Url) -> bool {
    url.scheme() == "http" && !crate::cli::client::is_loopback(url)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_from_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let free = "127.0.0.1:0".parse().expect("an address");
        let data = tempfile::tempdir().expect("folder");
        let checks = examine(data.path(), &[address, free]).await.checks;
        assert_eq!(checks.iter().map(|check| check.status).collect::<Vec<_>>(), [Status::Fail, Status::Ok]);
    }

    #[test]
    fn plain_http_is_fine_on_this_machine_only() {
        let clear = |url| travels_in_clear(&Url::parse(url).expect(url));
        assert!(clear("http://video.example/"));
        assert!(!clear("https://video.example/") && !clear("http://127.0.0.1:8080/"));
    }
}
