//! `theatrum serve`: all roles in one process.

use super::connection::Environment;
use super::failure::Failure;
use super::{Exit, ServeArgs, output};
use crate::config::{self, Overrides};
use crate::roles::House;
use crate::telemetry;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs the server on `data` until SIGTERM or SIGINT.
pub(super) async fn run(data: Option<PathBuf>, args: ServeArgs) -> Result<Exit, Failure> {
    let data = Environment::of_process().data_folder(data)?;
    let file = args.config.clone();
    let config = config::load(&data, file.as_deref(), config::variables_of_process()?, overrides(args))?;
    telemetry::start(&config.log)?;
    let shutdown = CancellationToken::new();
    tokio::spawn(on_signal(shutdown.clone()));
    let house = House::open(&data, config).await?;
    output::note(&format!("Theatrum is open: {}", house.public_url()));
    output::note(&format!("  uploads:     {}", house.s3_url()));
    output::note(&format!("  admin token: {}", house.admin_token_file().display()));
    house.run(shutdown).await?;
    Ok(Exit::Done)
}

fn overrides(args: ServeArgs) -> Overrides {
    let origin = |url: reqwest::Url| url.as_str().trim_end_matches('/').to_owned();
    Overrides {
        listen: args.listen.map(|address| address.to_string()),
        s3_listen: args.s3_listen.map(|address| address.to_string()),
        public_url: args.public_url.map(origin),
        s3_public_url: args.s3_public_url.map(origin),
        // `sqlite` is the command line's word for the data folder's own catalog.
        catalog: args.catalog.map(|url| if url == "sqlite" { String::new() } else { url }),
    }
}

async fn on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining: no new work, running jobs are handed back");
    shutdown.cancel();
}
