//! `theatrum download`: a rendition as one MP4, or the original file.

use super::client::Client;
use super::client::answers::Video;
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Visible};
use super::{Exit, output};
use crate::domain::ids::VideoId;
use clap::Args;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

const LINE_EVERY: Duration = Duration::from_secs(2);
/// A server that sends nothing for so long sends nothing more.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct DownloadArgs {
    /// The video.
    #[arg(value_parser = VideoId::parse)]
    video: VideoId,
    /// Which rendition [default: the largest].
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    rendition: Option<String>,
    /// The original file, byte for byte.
    #[arg(long)]
    source: bool,
    /// Where to write it; must not exist [default: its title, in this folder].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print {"video":…,"rendition":…,"file":…,"size_bytes":…}.
    #[arg(long)]
    json: bool,
}

/// Downloads beside the file and moves it into place: what is there is whole.
pub(super) async fn run(connection: Connection, args: DownloadArgs) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    let rendition = match (args.source, args.rendition) {
        (true, _) => "source".to_owned(),
        (false, Some(name)) => name,
        (false, None) => largest(&client.video(&args.video).await?)?,
    };
    let link = client.download_link(&args.video, &rendition).await?;
    let file = args.output.unwrap_or_else(|| PathBuf::from(Path::new(&link.filename).file_name().unwrap_or("video".as_ref())));
    if file.exists() {
        return Err(Failure::new("file-exists", format!("{} is there already: name another file by -o", file.display())));
    }
    let (size_bytes, response) = client.follow(&link).await?;
    let partial = PathBuf::from(format!("{}.part", file.display()));
    let written = write(&partial, size_bytes, response).await;
    let placed = match written {
        Ok(()) => tokio::fs::rename(&partial, &file).await.map_err(|error| unwritable(&file, &error)),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = placed {
        let _nothing_there = tokio::fs::remove_file(&partial).await;
        return Err(failure);
    }
    if args.json {
        output::json(&serde_json::json!({"video": args.video, "rendition": rendition, "file": file, "size_bytes": size_bytes}))?;
    } else {
        output::line(&Visible(&file.display().to_string()).to_string())?;
    }
    Ok(Exit::Done)
}

/// The tallest picture, or the sound where there is none.
fn largest(video: &Video) -> Result<String, Failure> {
    let best = video.renditions.iter().max_by_key(|rendition| rendition.height);
    let none = || Failure::new("not-ready", "the video has no renditions yet: wait until it is ready, or take --source");
    best.map(|rendition| rendition.name.clone()).ok_or_else(none)
}

async fn write(path: &Path, size_bytes: u64, response: reqwest::Response) -> Result<(), Failure> {
    let mut file = File::create(path).await.map_err(|error| unwritable(path, &error))?;
    let mut progress = Progress::new(size_bytes);
    let mut pieces = response.bytes_stream();
    let mut written = 0;
    let broken = |why: &str| Failure::new("broken-off", format!("the download broke off ({why}): try again")).with_retryable(true);
    loop {
        let next = tokio::time::timeout(PATIENCE, pieces.next()).await.map_err(|_| broken("nothing came for a minute"))?;
        let Some(piece) = next else { break };
        let piece = piece.map_err(|error| broken(&error.without_url().to_string()))?;
        file.write_all(&piece).await.map_err(|error| unwritable(path, &error))?;
        written += piece.len() as u64;
        progress.at(written);
    }
    if written != size_bytes {
        return Err(broken(&format!("{written} of {size_bytes} bytes came")));
    }
    file.sync_all().await.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("unwritable-file", format!("could not write {}: {error}", path.display()))
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    size_bytes: u64,
    told: Instant,
}

impl Progress {
    fn new(size_bytes: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left").ok();
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(size_bytes));
        let bar = bar.map(|bar| if let Some(style) = style { bar.with_style(style) } else { bar });
        Self { bar, size_bytes, told: Instant::now() }
    }

    fn at(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        } else if self.told.elapsed() >= LINE_EVERY {
            output::note(&format!("{} of {}", text::size(bytes), text::size(self.size_bytes)));
            self.told = Instant::now();
        }
    }
}
