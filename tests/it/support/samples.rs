//! The sample files of `THEATRUM_SAMPLES`; `scripts/test` always sets it, to the shared corpus or to samples that it made.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    match std::env::var_os("THEATRUM_SAMPLES") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media"),
    }
}

/// Every file of `good` or `bad`, in order of its number. Panics when there is none: a corpus that is left out is said by `scripts/test`,
/// never by a test that passes.
pub fn corpus(name: &str) -> Vec<PathBuf> {
    let folder = root().join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("no samples in {}: {error}; run `make test`", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).filter(|path| is_sample(path)).collect();
    files.sort();
    assert!(!files.is_empty(), "no samples in {}", folder.display());
    files
}

/// The file of `good` or `bad` whose name begins with `prefix`.
pub fn sample(corpus_name: &str, prefix: &str) -> PathBuf {
    let found =
        corpus(corpus_name).into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    found.unwrap_or_else(|| panic!("no sample {corpus_name}/{prefix}…"))
}

fn is_sample(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
}
