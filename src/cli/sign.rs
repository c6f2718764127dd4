//! `theatrum sign`: a URL or cookies by CloudFront's scheme.

use super::client::Client;
use super::client::links::NewSignedLink;
use super::connection::Connection;
use super::failure::Failure;
use super::text;
use super::{Exit, output};
use clap::Args;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

const DEFAULT_LIFETIME_S: u64 = 3600;

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The whole URL, as clients will ask for it.
    url: String,
    /// How long the link lasts: 90s, 30m, 12h or 7d [default: 1h].
    #[arg(long, value_name = "TIME", value_parser = text::seconds, conflicts_with = "policy")]
    expires_in: Option<u64>,
    /// When the link ends, in epoch seconds.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["expires_in", "policy"])]
    expires_at: Option<i64>,
    /// Sign this custom policy, as it is in the file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["not_before", "ip", "resource"])]
    policy: Option<PathBuf>,
    /// Until then, in epoch seconds, the link opens nothing yet.
    #[arg(long, value_name = "SECONDS")]
    not_before: Option<i64>,
    /// Only for clients from this IPv4 address or range: 192.0.2.7 or 192.0.2.0/24.
    #[arg(long, value_name = "CIDR")]
    ip: Option<String>,
    /// What the link opens, as a pattern: `*` is any characters, `?` one [default: the URL].
    #[arg(long, value_name = "WILDCARD")]
    resource: Option<String>,
    /// Cookies instead of a URL: one name=value a line.
    #[arg(long)]
    cookies: bool,
    /// Sign with this key pair [default: the active one].
    #[arg(long, value_name = "ID")]
    key_pair_id: Option<String>,
    /// Print {"url":…,"cookies":…,"key_pair_id":…}.
    #[arg(long)]
    json: bool,
}

/// Signs; the link alone goes to standard output.
pub(super) async fn run(connection: Connection, args: SignArgs) -> Result<Exit, Failure> {
    let policy = args.policy.as_ref().map(std::fs::read_to_string).transpose();
    let policy = policy.map_err(|error| Failure::new("unreadable-file", format!("could not read the policy: {error}")))?;
    let expires_at = match (&policy, args.expires_at) {
        (Some(_), _) => None,
        (None, Some(seconds)) => Some(seconds.saturating_mul(1000)),
        (None, None) => Some(now_ms().saturating_add_unsigned(args.expires_in.unwrap_or(DEFAULT_LIFETIME_S).saturating_mul(1000))),
    };
    let wanted = NewSignedLink {
        url: &args.url,
        expires_at,
        not_before: args.not_before.map(|seconds| seconds.saturating_mul(1000)),
        ip: args.ip.as_deref(),
        resource: args.resource.as_deref(),
        policy: policy.as_deref(),
        cookies: args.cookies,
        key_pair_id: args.key_pair_id.as_deref(),
    };
    let signed = Client::new(connection).sign_link(&wanted).await?;
    if args.json {
        output::json(&signed)?;
        return Ok(Exit::Done);
    }
    for line in signed.url.into_iter().chain(signed.cookies.into_iter().flatten().map(|(name, value)| format!("{name}={value}"))) {
        output::line(&line)?;
    }
    output::note("whoever has this can use it until it ends: keep it like a password");
    Ok(Exit::Done)
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
