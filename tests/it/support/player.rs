//! A player without a screen: reads playlists, fetches keys, decrypts segments. It shares no code with what it plays.

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};
use tokio::runtime::Runtime;

/// What a server answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A plain HTTP client for tests that are not asynchronous: no cookies, no headers of its own.
pub struct Player {
    runtime: Runtime,
    client: reqwest::Client,
}

/// A video as its master playlist shows it.
pub struct Stream {
    /// The playlist as an HLS reader understands it.
    pub master: MasterPlaylist,
    /// Its text.
    pub master_text: String,
    /// Pictures, lowest first.
    pub pictures: Vec<Rendition>,
    /// The sound: a group beside pictures, or the only variant.
    pub sound: Option<Rendition>,
}

/// One rendition.
#[derive(Clone)]
pub struct Rendition {
    /// Where its playlist is.
    pub url: String,
    /// Width and height in pixels, of pictures.
    pub size: Option<(u64, u64)>,
    /// The playlist as an HLS reader understands it.
    pub playlist: MediaPlaylist,
    /// Its text.
    pub text: String,
}

impl Player {
    /// A player that knows no server yet.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Between two questions of a long test the server closes what is idle, perhaps just as the next is asked.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { runtime, client }
    }

    /// Asks for `url`, with an access token or without.
    pub fn get(&self, url: &str, token: Option<&str>) -> Answer {
        let request = self.client.get(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
            Answer { status: answer.status().as_u16(), body: answer.bytes().await.expect("a whole body").to_vec() }
        })
    }

    /// What is at `url`, which must be there.
    pub fn fetch(&self, url: &str) -> Vec<u8> {
        let Answer { status, body } = self.get(url, None);
        assert_eq!(status, 200, "{url}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Reads the master playlist and all that it lists.
    pub fn open(&self, master_url: &str) -> Stream {
        let bytes = self.fetch(master_url);
        let Ok((_, Playlist::MasterPlaylist(master))) = m3u8_rs::parse_playlist(&bytes) else {
            panic!("no master playlist: {}", String::from_utf8_lossy(&bytes));
        };
        let (mut pictures, mut sound) = (Vec::new(), None);
        for variant in &master.variants {
            let size = variant.resolution.map(|size| (size.width, size.height));
            let rendition = self.rendition(&beside(master_url, &variant.uri), size);
            if size.is_some() { pictures.push(rendition) } else { sound = Some(rendition) }
        }
        if let Some(group) = master.alternatives.first().and_then(|group| group.uri.as_ref()) {
            sound = Some(self.rendition(&beside(master_url, group), None));
        }
        pictures.sort_by_key(|rendition| rendition.size);
        Stream { master, master_text: String::from_utf8(bytes).expect("text"), pictures, sound }
    }

    fn rendition(&self, url: &str, size: Option<(u64, u64)>) -> Rendition {
        let bytes = self.fetch(url);
        let Ok((_, Playlist::MediaPlaylist(playlist))) = m3u8_rs::parse_playlist(&bytes) else {
            panic!("no media playlist: {}", String::from_utf8_lossy(&bytes));
        };
        Rendition { url: url.to_owned(), size, playlist, text: String::from_utf8(bytes).expect("text") }
    }

    /// The initialisation segment, then every segment, decrypted.
    pub fn clear(&self, rendition: &Rendition) -> Vec<Vec<u8>> {
        let (mut pieces, mut key) = (Vec::new(), None);
        for (segment, number) in rendition.playlist.segments.iter().zip(rendition.playlist.media_sequence..) {
            if let Some(map) = &segment.map {
                pieces.push(self.fetch(&beside(&rendition.url, &map.uri)));
            }
            if let Some(uri) = segment.key.as_ref().and_then(|key| key.uri.as_ref()) {
                key = Some(self.fetch(&beside(&rendition.url, uri)));
            }
            let sealed = self.fetch(&beside(&rendition.url, &segment.uri));
            pieces.push(decrypt(sealed, key.as_deref().expect("a key before the first segment"), number));
        }
        pieces
    }
}

impl Stream {
    /// Every rendition, pictures first.
    pub fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        self.pictures.iter().chain(&self.sound)
    }

    /// The best pictures, or the sound where there are none.
    pub fn top(&self) -> &Rendition {
        self.pictures.last().or(self.sound.as_ref()).expect("something to play")
    }
}

impl Rendition {
    /// The segments' lengths in seconds, as written.
    pub fn durations(&self) -> Vec<f64> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        lines.map(|line| line.trim_end_matches(',').parse().expect("seconds")).collect()
    }

    /// The addresses of the keys.
    pub fn key_urls(&self) -> Vec<String> {
        let keys = self.playlist.segments.iter().filter_map(|segment| segment.key.as_ref()?.uri.as_ref());
        keys.map(|uri| beside(&self.url, uri)).collect()
    }
}

/// A relative address, resolved as every reader of a playlist does.
fn beside(url: &str, relative: &str) -> String {
    reqwest::Url::parse(url).and_then(|url| url.join(relative)).expect("an address").to_string()
}

/// AES-128-CBC over the whole segment, its IV the media sequence number (RFC 8216 §5.2).
pub fn decrypt(mut sealed: Vec<u8>, key: &[u8], number: u64) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_128, key).expect("16 octets");
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).expect("a key");
    let context = DecryptionContext::Iv128(FixedLength::from(u128::from(number).to_be_bytes()));
    key.decrypt(&mut sealed, context).expect("a segment under this key").to_vec()
}
