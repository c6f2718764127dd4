//! The command line: `serve` runs the house, every other command is a client of its HTTP API.
//!
//! Standard output carries results only, standard error everything meant for people; exit codes are in [`Exit`].

mod backup;
pub mod client;
mod collections;
pub mod connection;
mod dead;
mod doctor;
mod download;
mod events;
pub mod failure;
mod gauge;
mod jobs;
mod keys;
mod output;
mod passphrase;
mod publish;
mod quotas;
mod restore;
mod s3;
mod serve;
mod sessions;
mod sign;
mod text;
mod token;
pub mod trust;
mod verify;
mod videos;
mod webhooks;

use clap::{Args, Parser, Subcommand};
use connection::Connection;
use failure::Failure;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Self-hosted video on demand for hospitals and universities.
///
/// Commands other than `serve` find the local server by its data folder (--data, or THEATRUM_DATA),
/// any other server by THEATRUM_URL and THEATRUM_TOKEN; THEATRUM_CA_FILE (PEM) names certificates to
/// trust besides the system's. A token is never taken from the command line,
/// where every user of the machine could read it.
#[derive(Debug, Parser)]
#[command(name = "theatrum", version, max_term_width = 100)]
pub struct Cli {
    /// Data folder [default: $THEATRUM_DATA, else $XDG_DATA_HOME/theatrum, else ~/.local/share/theatrum].
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: all roles in one process.
    Serve(Box<ServeArgs>),
    /// Upload files and follow them until they can be watched.
    Publish(publish::PublishArgs),
    /// List, show, edit and delete videos.
    #[command(subcommand)]
    Videos(videos::VideosCommand),
    /// List collections: the courses, departments and series that videos are in.
    #[command(subcommand)]
    Collections(collections::CollectionsCommand),
    /// List the jobs that make videos.
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// List, show and redrive dead letters: jobs that failed for good.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Read the log of events: what happened to videos.
    Events(events::EventsArgs),
    /// Say where events are sent, and see what was.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// List and set quotas: how much users and collections may keep.
    #[command(subcommand)]
    Quotas(quotas::QuotasCommand),
    /// List and revoke playback sessions: who watches a video.
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Download a rendition as one MP4, or the original file.
    Download(download::DownloadArgs),
    /// Sign a URL or cookies by CloudFront's scheme.
    Sign(sign::SignArgs),
    /// List, make, activate and revoke the key pairs that sign links.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Issue access tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Back up the house on this machine while its server runs: rows, blobs, and the keyring under a passphrase.
    Backup(Box<backup::BackupArgs>),
    /// Restore a backup into an empty data folder, or check one.
    Restore(Box<restore::RestoreArgs>),
    /// Let S3 clients put files into the inbox.
    #[command(subcommand)]
    S3(s3::S3Command),
    /// Read every blob of a video, or of all, against its digests; repair what can be made again.
    Verify(verify::VerifyArgs),
    /// Check this machine and the data folder, and say how to mend what is wrong.
    Doctor(doctor::DoctorArgs),
}

/// What `theatrum serve` may be told on the command line; each overrides the configuration file and its defaults.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// Address of the API and the page; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the S3 endpoint that receives uploads; port 0 takes a free one [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    pub s3_listen: Option<SocketAddr>,
    /// URL under which browsers reach the API and the page: decides links and the Content-Security-Policy.
    #[arg(long, value_name = "URL", value_parser = text::web_url)]
    pub public_url: Option<reqwest::Url>,
    /// URL under which clients reach the S3 endpoint: decides presigned hosts and CORS.
    #[arg(long, value_name = "URL", value_parser = text::web_url)]
    pub s3_public_url: Option<reqwest::Url>,
    /// Catalog: `sqlite` in the data folder, or postgres://…; a password belongs into the configuration or PGPASSFILE.
    #[arg(long, value_name = "URL")]
    pub catalog: Option<String>,
    /// Configuration file; theatrum.default.toml holds every setting with its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How a command ended that could run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done: exit code 0.
    Done,
    /// Something was not; it has been said: exit code 1. (Wrong usage is 2, by clap or [`Failure::usage`].)
    Failed,
}

/// Runs the parsed command to its end and gives the process's exit code.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Failure::new("no-runtime", format!("could not start the runtime: {error}"))),
    };
    let ended = runtime.block_on(dispatch(cli));
    // A part being hashed for an interrupted upload is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::FAILURE,
        Err(failure) => failed(&failure),
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let data = cli.data;
    let connection = |data| Connection::resolve(data, &connection::Environment::of_process());
    match cli.command {
        Command::Serve(args) => serve::run(data, *args).await,
        Command::Publish(args) => publish::run(connection(data)?, args).await,
        Command::Videos(command) => videos::run(connection(data)?, command).await,
        Command::Collections(command) => collections::run(connection(data)?, command).await,
        Command::Jobs(command) => jobs::run(connection(data)?, command).await,
        Command::Dead(command) => dead::run(connection(data)?, command).await,
        Command::Events(args) => events::run(connection(data)?, args).await,
        Command::Webhooks(command) => webhooks::run(connection(data)?, command).await,
        Command::Quotas(command) => quotas::run(connection(data)?, command).await,
        Command::Sessions(command) => sessions::run(connection(data)?, command).await,
        Command::Download(args) => download::run(connection(data)?, args).await,
        Command::Sign(args) => sign::run(connection(data)?, args).await,
        Command::Keys(command) => keys::run(connection(data)?, command).await,
        Command::Token(command) => token::run(connection(data)?, command).await,
        Command::Backup(args) => backup::run(data, *args).await,
        Command::Restore(args) => restore::run(data, *args).await,
        Command::S3(command) => s3::run(connection(data)?, command).await,
        Command::Verify(args) => verify::run(connection(data)?, args).await,
        Command::Doctor(args) => doctor::run(data, args).await,
    }
}

fn failed(failure: &Failure) -> ExitCode {
    output::note(&format!("theatrum: {failure}"));
    ExitCode::from(if failure.is_usage() { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_data_folder_is_named_before_or_after_the_command() {
        for line in ["theatrum --data /d videos list", "theatrum videos list --data /d", "theatrum serve --data /d"] {
            assert_eq!(parse(line).expect(line).data, Some(PathBuf::from("/d")), "{line}");
        }
    }

    #[test]
    fn serve_takes_addresses_and_urls() {
        let line = "theatrum serve --listen 127.0.0.1:0 --s3-listen [::1]:81 --public-url https://v.example/ --catalog postgres://h/d";
        let Command::Serve(args) = parse(line).expect(line).command else { panic!("not serve") };
        assert_eq!(args.listen.map(|address| address.port()), Some(0));
        assert_eq!(args.s3_listen.map(|address| address.is_ipv6()), Some(true));
        assert_eq!(args.public_url.expect("given").as_str(), "https://v.example/");
        assert_eq!(args.catalog.as_deref(), Some("postgres://h/d"));
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "theatrum",
            "theatrum publish",
            "theatrum publish a.mp4 --wait never",
            "theatrum publish a.mp4 --replace 0123456789abcdef0123456789abcdef --title T",
            "theatrum videos trim 0123456789abcdef0123456789abcdef",
            "theatrum videos trim 0123456789abcdef0123456789abcdef --from 1:99",
            "theatrum videos trim 0123456789abcdef0123456789abcdef --whole --to 5",
            "theatrum videos show ../../etc/passwd",
            "theatrum videos edit 0123456789abcdef0123456789abcdef",
            "theatrum jobs list --state lost",
            "theatrum events --types video.watched",
            "theatrum webhooks create",
            "theatrum webhooks create ftp://h/",
            "theatrum webhooks set 0123456789abcdef0123456789abcdef",
            "theatrum webhooks set 0123456789abcdef0123456789abcdef --enable --disable",
            "theatrum quotas set 1GB",
            "theatrum quotas set --user a --collection b 1GB",
            "theatrum quotas set --user a much",
            "theatrum sign https://h/x --expires-in 1h --policy p.json",
            "theatrum sign https://h/x --policy p.json --ip 192.0.2.7",
            "theatrum keys create --algorithm rsa --public-key k.pem",
            "theatrum keys create --key-pair-id K1",
            "theatrum sessions list",
            "theatrum sessions revoke ../..",
            "theatrum download 0123456789abcdef0123456789abcdef --source --rendition 720p",
            "theatrum token issue --role king --subject x",
            "theatrum token issue --role viewer --subject x --token secret",
            "theatrum token issue --role viewer --subject x --expires-in soon",
            "theatrum backup /b --keep 0",
            "theatrum restore",
            "theatrum restore /b --snapshot ..",
            "theatrum restore /b --list --verify-only",
            "theatrum s3 credentials create --prefix ../",
            "theatrum s3 credentials revoke AKIA",
            "theatrum serve --listen nowhere",
            "theatrum serve --public-url ftp://h/",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }
}
