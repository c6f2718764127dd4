//! `theatrum keys`: the key pairs that sign CloudFront's links.

use super::client::Client;
use super::client::links::{NewSigningKey, SigningKey};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table};
use super::{Exit, output};
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the key pairs whose links are accepted.
    List {
        /// Print {"signing_keys":[…]} as the API gives them, with the public keys.
        #[arg(long)]
        json: bool,
    },
    /// Make a key pair, or import a public key; the public key goes to standard output, for a key group of CloudFront.
    Create {
        /// What it computes with.
        #[arg(long, value_enum, default_value_t = Algorithm::Ecdsa, conflicts_with = "public_key")]
        algorithm: Algorithm,
        /// Import this public key (PEM), whose private half signs elsewhere.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// What links call the imported key: the id that CloudFront gave it.
        #[arg(long, value_name = "ID", requires = "public_key")]
        key_pair_id: Option<String>,
        /// Print the key as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Let a key pair sign from now on; the one before stays trusted until it is revoked.
    Activate {
        /// Its name.
        id: String,
        /// The id that CloudFront gave to its public key: links bear it from now on.
        #[arg(long, value_name = "ID")]
        cloudfront_id: Option<String>,
        /// Print the key as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Trust a key pair no more: its links open nothing from now on.
    Revoke {
        /// Its name.
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Algorithm {
    /// RSA, 2048 bits.
    Rsa,
    /// ECDSA on P-256.
    Ecdsa,
}

/// Runs a `keys` command against the server.
pub(super) async fn run(connection: Connection, command: KeysCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        KeysCommand::List { json } => {
            let list = client.signing_keys().await?;
            if json { output::json(&list)? } else { output::line(&table(&list.signing_keys))? }
        }
        KeysCommand::Create { algorithm, public_key, key_pair_id, json } => {
            let pem = public_key.as_ref().map(std::fs::read_to_string).transpose();
            let pem = pem.map_err(|error| Failure::new("unreadable-file", format!("could not read the public key: {error}")))?;
            let word = match algorithm {
                Algorithm::Rsa => "rsa",
                Algorithm::Ecdsa => "ecdsa",
            };
            let (algorithm, public_key, key_pair_id) = (pem.is_none().then_some(word), pem.as_deref(), key_pair_id.as_deref());
            let key = client.create_signing_key(&NewSigningKey { algorithm, public_key, key_pair_id }).await?;
            if json { output::json(&key)? } else { shown(&key)? }
        }
        KeysCommand::Activate { id, cloudfront_id, json } => {
            let key = client.activate_signing_key(&id, cloudfront_id.as_deref()).await?;
            if json { output::json(&key)? } else { output::note(&format!("{} signs from now on", name(&key))) }
        }
        KeysCommand::Revoke { id } => {
            client.revoke_signing_key(&id).await?;
            output::note(&format!("{} is revoked: its links open nothing any more", text::Visible(&id)));
        }
    }
    Ok(Exit::Done)
}

fn shown(key: &SigningKey) -> Result<(), Failure> {
    output::line(key.public_key.trim_end())?;
    let role =
        if key.active { "it signs links from now on" } else { "it is trusted; `theatrum keys activate` lets one that was made here sign" };
    output::note(&format!("key pair {}: {role}", text::Visible(&key.key_pair_id)));
    Ok(())
}

/// What its links call it.
fn name(key: &SigningKey) -> String {
    text::Visible(key.cloudfront_id.as_deref().unwrap_or(&key.key_pair_id)).to_string()
}

fn table(keys: &[SigningKey]) -> String {
    let mut table = Table::new(["KEY PAIR", "AT CLOUDFRONT", "ALGORITHM", "PRIVATE KEY", "SIGNS", "CREATED"]);
    for key in keys {
        table.row([
            text::clipped(&key.key_pair_id, 64),
            text::clipped(key.cloudfront_id.as_deref().unwrap_or("-"), 64),
            text::clipped(&key.algorithm, 12),
            if key.has_private_key { "here" } else { "elsewhere" }.to_owned(),
            if key.active { "yes" } else { "no" }.to_owned(),
            text::utc(key.created_at),
        ]);
    }
    table.to_string()
}
