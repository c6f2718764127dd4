//! Randomness that can be had again.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// A generator from `THEATRUM_TEST_SEED`, or from a seed that it draws and prints: run again with that, the test `does_what` once more.
pub fn seeded(does_what: &str) -> StdRng {
    let given = std::env::var("THEATRUM_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse::<u64>().expect("a number"));
    println!("THEATRUM_TEST_SEED={seed} {does_what} again");
    StdRng::seed_from_u64(seed)
}
