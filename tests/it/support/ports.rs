//! Ports for servers that must be told theirs, and take it a while later.

use rand::RngExt;
use std::net::TcpListener;

/// Ports that nobody listens on now, and that stay free until somebody is told of them: they lie below those that the kernel gives to
/// whoever asks for any, connections to elsewhere among them (ip(7), `ip_local_port_range`).
pub fn free_ports<const N: usize>() -> [u16; N] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux tells");
    let given: u16 = range.split_whitespace().next().and_then(|lowest| lowest.parse().ok()).expect("a port");
    assert!(given > 20_000, "there is no room below the ports that the kernel gives: {range}");
    // Held all at once, so that no two are the same.
    let listeners: [TcpListener; N] = std::array::from_fn(|_| {
        let any = || TcpListener::bind(("127.0.0.1", rand::rng().random_range(10_000..given))).ok();
        (0..1_000).find_map(|_| any()).expect("a free port")
    });
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}
