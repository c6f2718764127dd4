//! The kept corpus of the fuzz targets over the house: what once broke something, and what led there.

#[path = "../../fuzz/src/house.rs"]
mod house;

use std::path::Path;

/// Tier: `make test`. Every input of `fuzz/corpus` for these targets, as `make fuzz` gives it to them: nothing panics, nothing is our own failure.
#[test]
fn the_corpus_of_the_house_holds() {
    for (name, target) in house::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            target(&std::fs::read(&file).expect("an input"));
        }
    }
}
