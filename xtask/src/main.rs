//! Theatrum.
fn main() {}
