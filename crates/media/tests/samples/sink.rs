//! The smallest HTTP server that takes ffmpeg's PUTs: what the sandbox door does in production.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

type Bodies = Arc<(Mutex<HashMap<String, Vec<u8>>>, Condvar)>;

/// Collects bodies by the last part of their path. The listening thread ends with the process.
pub struct Sink {
    pub url: String,
    bodies: Bodies,
}

impl Sink {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/out", listener.local_addr().unwrap());
        let bodies = Bodies::default();
        let shared = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bodies = shared.clone();
                std::thread::spawn(move || receive(stream, &bodies));
            }
        });
        Self { url, bodies }
    }

    /// Waits for the body of that name and takes it out.
    pub fn take(&self, name: &str) -> Vec<u8> {
        let (bodies, arrived) = &*self.bodies;
        let mut bodies = arrived.wait_while(bodies.lock().unwrap(), |bodies| !bodies.contains_key(name)).unwrap();
        bodies.remove(name).unwrap()
    }
}

fn receive(stream: TcpStream, bodies: &Bodies) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert!(first.starts_with("PUT "), "{first}");
    let name = first.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let mut body = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        if reader.read_exact(&mut chunk).is_err() || length == 0 {
            break;
        }
        body.extend_from_slice(&chunk[..length]);
    }
    let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (map, arrived) = &**bodies;
    map.lock().unwrap().insert(name, body);
    arrived.notify_all();
}
