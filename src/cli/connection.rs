//! Which server a command talks to, and with which token: the local one by its data folder, any other by the environment.

use super::failure::Failure;
use super::text;
use super::trust::Trust;
use reqwest::Url;
use serde::Deserialize;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A bearer token; never shown, wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The secret itself, for one header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The variables that decide, read once so that tests can give their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    url: Option<String>,
    token: Option<Token>,
    data: Option<PathBuf>,
    xdg_data_home: Option<PathBuf>,
    home: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process; empty variables count as unset.
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
        Self {
            url: text("THEATRUM_URL"),
            token: text("THEATRUM_TOKEN").map(|secret| Token(Zeroizing::new(secret))),
            data: path("THEATRUM_DATA"),
            xdg_data_home: path("XDG_DATA_HOME"),
            home: path("HOME"),
            ca_file: path("THEATRUM_CA_FILE"),
        }
    }

    /// The data folder: the flag's, else $THEATRUM_DATA, else $XDG_DATA_HOME/theatrum, else ~/.local/share/theatrum.
    pub fn data_folder(&self, flag: Option<PathBuf>) -> Result<PathBuf, Failure> {
        flag.or_else(|| self.data.clone())
            .or_else(|| self.xdg_data_home.as_ref().map(|folder| folder.join("theatrum")))
            .or_else(|| self.home.as_ref().map(|folder| folder.join(".local/share/theatrum")))
            .ok_or_else(|| Failure::new("no-data-folder", "no data folder is known: give --data DIR, or set THEATRUM_DATA"))
    }
}

/// A way to reach one server.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The server that runs on this data folder; asked for its address each time, as it may come back on another port.
    Local {
        /// The folder, absolute where it exists.
        data: PathBuf,
        /// Certificates to trust besides those of the system, PEM.
        ca_file: Option<PathBuf>,
    },
    /// The server of THEATRUM_URL.
    Remote {
        /// Its public URL, ending in a slash.
        url: Url,
        /// The token of THEATRUM_TOKEN.
        token: Token,
        /// Certificates to trust besides those of the system, PEM.
        ca_file: Option<PathBuf>,
    },
}

/// Where to send a request, and what to show there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The API's base URL, ending in a slash.
    pub url: Url,
    /// The caller's token.
    pub token: Token,
}

#[derive(Deserialize)]
struct ServerFile {
    url: String,
    /// Below the data folder; absent without TLS.
    certificate: Option<PathBuf>,
}

impl Connection {
    /// `--data` beats THEATRUM_URL, which beats THEATRUM_DATA and the default folder: the most particular wish wins.
    pub fn resolve(flag: Option<PathBuf>, environment: &Environment) -> Result<Self, Failure> {
        match &environment.url {
            Some(url) if flag.is_none() => Self::remote(url, environment),
            _ => {
                let data = environment.data_folder(flag)?;
                Ok(Self::Local { data: data.canonicalize().unwrap_or(data), ca_file: environment.ca_file.clone() })
            }
        }
    }

    fn remote(url: &str, environment: &Environment) -> Result<Self, Failure> {
        let url = text::web_url(url).map_err(|why| Failure::new("bad-url", format!("THEATRUM_URL cannot be used: {why}")))?;
        let missing = || Failure::new("no-token", "THEATRUM_URL is set, THEATRUM_TOKEN is not: set it to an access token of that server");
        Ok(Self::Remote { url, token: environment.token.clone().ok_or_else(missing)?, ca_file: environment.ca_file.clone() })
    }

    /// Where the server is now.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        match self {
            Self::Remote { url, token, .. } => Ok(Endpoint { url: url.clone(), token: token.clone() }),
            Self::Local { data, .. } => Ok(Endpoint { url: self.local_url(data)?, token: local_token(data)? }),
        }
    }

    /// What names this server across its restarts, whatever port it comes back on.
    pub fn identity(&self) -> String {
        match self {
            Self::Remote { url, .. } => url.to_string(),
            Self::Local { data, .. } => format!("data:{}", data.display()),
        }
    }

    /// What to do when nothing answers, as the end of a sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Remote { .. } => "check THEATRUM_URL and the network".to_owned(),
            Self::Local { data, .. } => format!("start it with `theatrum serve --data {}`", data.display()),
        }
    }

    /// Whose certificates are believed.
    pub fn trust(&self) -> Trust {
        match self {
            Self::Remote { ca_file, .. } => Trust { ca_file: ca_file.clone(), pins: None },
            Self::Local { data, ca_file } => {
                let pins = self.server_file(data).ok().and_then(|file| file.certificate).map(|name| data.join(name));
                Trust { ca_file: ca_file.clone(), pins }
            }
        }
    }

    fn local_url(&self, data: &Path) -> Result<Url, Failure> {
        let file = self.server_file(data)?;
        text::web_url(&file.url).map_err(|why| Failure::new("bad-url", format!("{}/server.json holds a wrong url: {why}", data.display())))
    }

    fn server_file(&self, data: &Path) -> Result<ServerFile, Failure> {
        let path = data.join("server.json");
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => self.no_server(data),
            _ => unreadable(&path, &error),
        })?;
        serde_json::from_slice(&bytes).map_err(|_| self.no_server(data))
    }

    fn no_server(&self, data: &Path) -> Failure {
        Failure::new("no-server", format!("no server runs on {}: {}", data.display(), self.remedy()))
    }
}

fn local_token(data: &Path) -> Result<Token, Failure> {
    let path = data.join("admin.token");
    let secret = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| unreadable(&path, &error))?;
    Ok(Token(Zeroizing::new(secret.trim().to_owned())))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let advice = "run as the user the server runs as, or set THEATRUM_URL and THEATRUM_TOKEN";
    Failure::new("unreadable-data-folder", format!("could not read {}: {error}; {advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Option<Token> {
        Some(Token(Zeroizing::new(secret.to_owned())))
    }

    #[test]
    fn the_most_particular_wish_wins() {
        let mut environment = Environment { home: Some("/home/x".into()), ..Environment::default() };
        let local = |connection: Connection| match connection {
            Connection::Local { data, .. } => data,
            Connection::Remote { url, .. } => panic!("remote {url}"),
        };
        assert_eq!(local(Connection::resolve(None, &environment).expect("home")), Path::new("/home/x/.local/share/theatrum"));
        environment.xdg_data_home = Some("/xdg".into());
        assert_eq!(local(Connection::resolve(None, &environment).expect("xdg")), Path::new("/xdg/theatrum"));
        environment.data = Some("/nowhere/env".into());
        assert_eq!(local(Connection::resolve(None, &environment).expect("env")), Path::new("/nowhere/env"));
        environment.url = Some("https://v.example".into());
        assert_eq!(Connection::resolve(None, &environment).expect_err("no token").code(), "no-token");
        environment.token = token("secret");
        assert!(matches!(Connection::resolve(None, &environment), Ok(Connection::Remote { .. })));
        assert_eq!(local(Connection::resolve(Some("/flag".into()), &environment).expect("flag")), Path::new("/flag"));
    }

    #[test]
    fn a_folder_without_a_server_says_how_to_start_one() {
        let folder = tempfile::tempdir().expect("folder");
        let connection = Connection::Local { data: folder.path().to_owned(), ca_file: None };
        let failure = connection.endpoint().expect_err("nothing there");
        assert_eq!(failure.code(), "no-server");
        assert!(failure.message().contains("theatrum serve --data"), "{failure}");
    }

    #[test]
    fn a_server_that_comes_back_on_another_port_is_found() {
        let folder = tempfile::tempdir().expect("folder");
        let connection = Connection::Local { data: folder.path().to_owned(), ca_file: None };
        std::fs::write(folder.path().join("admin.token"), "secret\n").expect("token");
        for port in [1234, 4321] {
            let text = format!(r#"{{"url":"http://127.0.0.1:{port}","s3_url":"http://127.0.0.1:1","pid":1,"node":"n"}}"#);
            std::fs::write(folder.path().join("server.json"), text).expect("server.json");
            let endpoint = connection.endpoint().expect("both files");
            assert_eq!((endpoint.url.port(), endpoint.token.expose()), (Some(port), "secret"));
        }
    }

    #[test]
    fn the_certificate_that_a_local_server_shows_is_believed() {
        let folder = tempfile::tempdir().expect("folder");
        let connection = Connection::Local { data: folder.path().to_owned(), ca_file: Some("/ca.pem".into()) };
        assert_eq!(connection.trust(), Trust { ca_file: Some("/ca.pem".into()), pins: None });
        let text = r#"{"url":"https://127.0.0.1:1","certificate":"tls/serving.pem"}"#;
        std::fs::write(folder.path().join("server.json"), text).expect("server.json");
        assert_eq!(connection.trust().pins, Some(folder.path().join("tls/serving.pem")));
    }

    #[test]
    fn tokens_do_not_show_in_debug_output() {
        let environment = Environment { token: token("secret"), ..Environment::default() };
        let connection = Connection::remote("https://v.example", &environment).expect("complete");
        assert!(!format!("{connection:?}").contains("secret"));
    }
}
