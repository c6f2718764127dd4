//! The checklist over every version that plays, read from the data folder as it lies there: no test has to ask, no audit log hears of it.

use super::player::decrypt;
use aws_lc_rs::digest::{SHA256, digest};
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::{VersionId, VideoId};
use theatrum::keys::{Keys, RootKey};
use theatrum::kms::{Keyring, Kms};
use theatrum_media::checklist::{Finding, Presentation, Rendition, SegmentFacts, Severity, check};
use theatrum_media::crypt::content_key;

/// One rendition's files.
struct Files {
    uri: String,
    playlist: String,
    init: Vec<u8>,
    segments: Vec<SegmentFacts>,
}

/// Goes through the list for each video of a data folder on SQLite that is ready. Its server no longer runs.
pub fn assert_published(data: &Path) {
    if !data.join("catalog.db").exists() {
        return;
    }
    let data = data.to_owned();
    // A thread of its own: a test may drop its server within a runtime, where no other one may be waited for.
    let checked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(findings(&data))
    });
    let findings = checked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (broken, doubtful): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(|it| it.rule.severity == Severity::Must);
    doubtful.iter().for_each(|finding| println!("checklist: {finding}"));
    let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "a published video breaks the checklist:\n{}", broken.join("\n"));
}

async fn findings(data: &Path) -> Vec<Finding> {
    let catalog = Catalog::open_sqlite(&data.join("catalog.db")).await.expect("a catalog");
    let keyring = Keyring::open(&data.join("keyring.json")).expect("the keyring");
    let keys = Keys::new(Kms::Local(Arc::new(keyring)));
    // Tests of lists make rows of videos that never were.
    let sql =
        "SELECT id FROM videos WHERE state = 'ready' AND EXISTS (SELECT 1 FROM segments WHERE segments.version_id = videos.version_id)";
    let rows = catalog.fetch_all(sql, Vec::new()).await.expect("rows");
    let mut findings = Vec::new();
    for row in rows {
        let id = VideoId::parse(&row.text("id").expect("an id")).expect("an id");
        let video = catalog.video(&id).await.expect("a video");
        let root = keys.open(&id, &catalog.wrapped_root_key(&id).await.expect("a root key")).await.expect("it opens");
        let version = video.version.expect("a version that plays");
        findings.extend(version_findings(&data.join(format!("blobs/videos/{id}/{version}")), &version, &root));
    }
    catalog.close().await;
    findings
}

fn version_findings(folder: &Path, version: &VersionId, root: &RootKey) -> Vec<Finding> {
    let master_text = text(&folder.join("master.m3u8"));
    let (_, master) = m3u8_rs::parse_master_playlist(master_text.as_bytes()).expect("a master playlist");
    let files: Vec<Files> = addresses(&master).into_iter().map(|uri| read(folder, uri, version, root)).collect();
    let renditions =
        files.iter().map(|it| Rendition { uri: &it.uri, playlist: &it.playlist, init: &it.init, segments: it.segments.clone() });
    check(&Presentation { master: &master_text, renditions: renditions.collect(), deliveries: Vec::new() })
}

/// Where the playlists of pictures and sound are.
fn addresses(master: &MasterPlaylist) -> Vec<String> {
    let variants = master.variants.iter().filter(|variant| !variant.is_i_frame).map(|variant| variant.uri.clone());
    let is_sound = |media: &&m3u8_rs::AlternativeMedia| media.media_type == AlternativeMediaType::Audio;
    variants.chain(master.alternatives.iter().filter(is_sound).filter_map(|media| media.uri.clone())).collect()
}

fn read(folder: &Path, uri: String, version: &VersionId, root: &RootKey) -> Files {
    let playlist_text = text(&folder.join(&uri));
    let (_, playlist): (_, MediaPlaylist) = m3u8_rs::parse_media_playlist(playlist_text.as_bytes()).expect("a media playlist");
    let rendition = uri.split('/').next().expect("a folder");
    let (mut key, mut init, mut segments) = (None, Vec::new(), Vec::new());
    for (segment, number) in playlist.segments.iter().zip(playlist.media_sequence..) {
        if let Some(map) = &segment.map {
            init = bytes(&folder.join(rendition).join(&map.uri));
        }
        if let Some(uri) = segment.key.as_ref().and_then(|key| key.uri.as_ref()) {
            let index = uri.strip_prefix("keys/").and_then(|index| index.parse().ok()).expect("keys/{index}");
            key = Some(content_key(root.expose(), version.as_str(), rendition, index).expect("a content key"));
        }
        let sealed = bytes(&folder.join(rendition).join(&segment.uri));
        let stored_bytes = sealed.len() as u64;
        let clear = decrypt(sealed, key.as_ref().expect("a key before the first segment").as_bytes(), number);
        let facts = SegmentFacts::read(&clear, stored_bytes);
        segments.push(facts.unwrap_or_else(|| panic!("{uri}: segment {number} cannot be read: {}", hex::encode(digest(&SHA256, &clear)))));
    }
    Files { uri, playlist: playlist_text, init, segments }
}

fn bytes(path: &PathBuf) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("a published file cannot be read: {}: {error}", path.display()))
}

fn text(path: &PathBuf) -> String {
    String::from_utf8(bytes(path)).expect("text")
}
