//! The kept corpus of the fuzz targets: what once broke something, and what led there.

#[path = "../../../fuzz/src/media.rs"]
mod media;

use std::path::Path;

/// Tier: `make test`. Every input of `fuzz/corpus` for these targets, as `make fuzz` gives it to them.
#[test]
fn the_corpus_of_the_media_crate_holds() {
    for (name, target) in media::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            target(&std::fs::read(&file).expect("an input"));
        }
    }
}
