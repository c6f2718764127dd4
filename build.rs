//! Builds the binary anew when the page was built anew: it is embedded.
fn main() {
    println!("cargo::rerun-if-changed=web/dist");
}
