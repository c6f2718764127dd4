//! Theatrum.

fn main() {
    theatrum::worker::sandbox::enter_if_asked();
}
