//! What the playlist writer writes, another library reads.

#![allow(clippy::unwrap_used)]

use m3u8_rs::{KeyMethod, MasterPlaylist, MediaPlaylistType, parse_master_playlist_res, parse_media_playlist_res};
use theatrum_media::playlist::{
    AudioEntry, Entry, MediaPlaylist, PlaylistError, PlaylistType, Rates, VideoEntry, is_growing, master, segments_listed,
    target_duration_s, write_entries,
};
use theatrum_media::time::Rational;

fn segments(count: usize) -> Vec<(i64, String)> {
    (0..count).map(|index| (540_540, format!("{index:06}-1.m4s"))).collect()
}

fn written(segments: &[(i64, String)], playlist_type: PlaylistType) -> String {
    MediaPlaylist { init_uri: "init-1.mp4", segments, key_period: Some(10), target_duration_s: 6, playlist_type }.write().unwrap()
}

#[test]
fn a_media_playlist_reads_back() {
    let text = written(&segments(23), PlaylistType::Vod);
    let read = parse_media_playlist_res(text.as_bytes()).unwrap();
    assert_eq!((read.version, read.target_duration, read.media_sequence), (Some(6), 6, 0));
    assert!(read.end_list && read.independent_segments && read.playlist_type == Some(MediaPlaylistType::Vod));
    assert_eq!(read.segments.len(), 23);
    assert_eq!(read.segments[0].map.as_ref().unwrap().uri, "init-1.mp4");
    assert!((read.segments[3].duration - 6.006).abs() < 1e-5);
    let keys: Vec<_> = read.segments.iter().zip(0..).filter_map(|(segment, index)| Some((index, segment.key.as_ref()?))).collect();
    let at: Vec<_> = keys.iter().map(|(index, key)| (*index, key.uri.as_deref().unwrap())).collect();
    assert_eq!(at, [(0, "keys/0"), (10, "keys/1"), (20, "keys/2")]);
    assert!(keys.iter().all(|(_, key)| key.method == KeyMethod::AES128 && key.iv.is_none()));
    assert!(text.find("EXT-X-MAP").unwrap() < text.find("EXT-X-KEY").unwrap(), "{text}");
}

#[test]
fn what_grows_is_the_beginning_of_what_it_becomes() {
    let (part, whole) = (written(&segments(7), PlaylistType::Event), written(&segments(23), PlaylistType::Vod));
    let read = parse_media_playlist_res(part.as_bytes()).unwrap();
    assert!(!read.end_list && read.playlist_type == Some(MediaPlaylistType::Event));
    let start = read.start.unwrap();
    assert!(start.time_offset.abs() < f64::EPSILON && start.precise == Some(true));
    let body = |text: &str| text[text.find("#EXT-X-MAP").unwrap()..].to_owned();
    assert!(body(&whole).starts_with(&body(&part)));
    assert_eq!((segments_listed(part.as_bytes()), segments_listed(whole.as_bytes())), (7, 23));
    assert_eq!((is_growing(part.as_bytes()), is_growing(whole.as_bytes())), (true, false));
}

#[test]
fn what_players_choke_on_is_refused() {
    let segment = || Entry::Segment { duration_ticks: 1, uri: "0.m4s".into() };
    let after = [Entry::Key("keys/0".into()), Entry::Map("init-1.mp4".into()), segment()];
    assert_eq!(write_entries(&after, 6, PlaylistType::Vod), Err(PlaylistError::MapAfterKey));
    assert_eq!(write_entries(&[segment()], 6, PlaylistType::Vod), Err(PlaylistError::NoMedia));
    let uri = "init\"\n#EXT-X-KEY:METHOD=NONE";
    assert_eq!(write_entries(&[Entry::Map(uri.into()), segment()], 6, PlaylistType::Vod), Err(PlaylistError::BadUri(uri.into())));
}

fn read_master(text: &str) -> MasterPlaylist {
    parse_master_playlist_res(text.as_bytes()).unwrap()
}

#[test]
fn a_master_reads_back() {
    let rates = Rates { peak_bps: 2_000_000, average_bps: 1_500_000 };
    let rate = Rational { num: 30_000, den: 1001 };
    let video = VideoEntry { uri: "720p/playlist.m3u8", rates, codec: "avc1.64001f", width: 1280, height: 720, rate };
    let sound = Rates { peak_bps: 140_000, average_bps: 130_000 };
    let audio = AudioEntry { uri: "audio/playlist.m3u8", rates: sound, codec: "mp4a.40.2" };
    let read = read_master(&master(std::slice::from_ref(&video), Some(&audio), PlaylistType::Vod).unwrap());
    let variant = &read.variants[0];
    assert_eq!((variant.bandwidth, variant.average_bandwidth), (2_140_000, Some(1_630_000)));
    assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!((variant.frame_rate, variant.audio.as_deref()), (Some(29.97), Some("audio")));
    assert_eq!(variant.resolution.map(|size| (size.width, size.height)), Some((1280, 720)));
    let group = &read.alternatives[0];
    assert!(group.default && group.autoselect && group.uri.as_deref() == Some("audio/playlist.m3u8"));
    assert_eq!((group.language.as_deref(), group.channels.as_ref().map(ToString::to_string)), (Some("und"), Some("2".into())));
    let silent = read_master(&master(&[video], None, PlaylistType::Vod).unwrap());
    assert!(silent.alternatives.is_empty() && silent.variants[0].audio.is_none());
    let sound = read_master(&master(&[], Some(&audio), PlaylistType::Vod).unwrap());
    assert_eq!((sound.variants[0].uri.as_str(), sound.variants[0].bandwidth), ("audio/playlist.m3u8", 140_000));
    assert_eq!(master(&[], None, PlaylistType::Vod), Err(PlaylistError::NoMedia));
    for (playlist_type, grows) in [(PlaylistType::Event, true), (PlaylistType::Vod, false)] {
        assert_eq!(is_growing(master(&[], Some(&audio), playlist_type).unwrap().as_bytes()), grows);
    }
}

#[test]
fn rates_are_those_of_runs_about_as_long_as_the_target() {
    let rates = Rates::of(&[(750_000, 540_000), (1_500_000, 540_000), (100_000, 9_000)], 6);
    assert_eq!(rates.peak_bps, 2_098_361, "the short last segment counts only with its neighbour");
    assert_eq!(rates.average_bps, 1_553_720);
    assert_eq!(target_duration_s([540_540, 586_000]), 7);
}
