//! Clients that ask and do not take the answer.

use super::*;

const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// Long enough for a slow reader to be seen reading on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS_INITIAL_WINDOW_SIZE is nothing: no byte of any answer may be sent before it is asked for (RFC 9113 §6.9.2).
const NO_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";

fn stalling(stalled: Duration) -> Limits {
    Limits { stalled, head: LONG, idle: LONG, connections: 1, ..Limits::default() }
}

/// HEADERS of stream 1, for GET https://a.example/large (RFC 7541 appendix A).
fn ask_for_large() -> Vec<u8> {
    let head = [&[0x82, 0x87, 0x04, 6][..], b"/large", &[0x01, 9], b"a.example"].concat();
    [&[0, 0, u8::try_from(head.len()).expect("short"), 1, 5, 0, 0, 0, 1][..], &head].concat()
}

/// Waits until the one connection of the house is free.
async fn expect_a_free_place(house: &House, with_tls: bool) {
    let pong = async {
        let mut answer = [0; 12];
        if with_tls {
            let mut next = house.connect_tls(HTTP_1_1).await;
            next.write_all(PING).await.expect("sent");
            next.read_exact(&mut answer).await.expect("an answer");
        } else {
            let mut next = house.connect().await;
            next.write_all(PING).await.expect("sent");
            next.read_exact(&mut answer).await.expect("an answer");
        }
        answer
    };
    let answer = tokio::time::timeout(LONG, pong).await.expect("the place of the first is free in time");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_that_reads_nothing_gives_its_place_back() {
    let house = House::open(stalling(SHORT), false, Duration::ZERO).await;
    let mut plain = house.connect().await;
    plain.write_all(LARGE).await.expect("sent");
    expect_a_free_place(&house, false).await;

    let house = House::open(stalling(SHORT), true, Duration::ZERO).await;
    for (protocol, asks) in [(HTTP_1_1, LARGE.to_vec()), (H2, [PREFACE, NO_WINDOW, &ask_for_large()].concat())] {
        let mut silent = house.connect_tls(protocol).await;
        silent.write_all(&asks).await.expect("sent");
        expect_a_free_place(&house, true).await;
    }
}

/// Whoever reads the socket, acknowledges what it must, and opens no window, takes nothing all the same.
#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_cut() {
    let house = House::open(stalling(SHORT), true, Duration::ZERO).await;
    let mut stream = house.connect_tls(H2).await;
    stream.write_all(&[PREFACE, NO_WINDOW, &ask_for_large()].concat()).await.expect("sent");
    let (_, took) = until_the_end(&mut stream).await;
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn an_http2_client_that_takes_a_byte_now_and_then_is_not_cut() {
    const ONE_MORE: &[u8] = b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x01";
    let house = House::open(stalling(PATIENCE), true, Duration::ZERO).await;
    let mut stream = house.connect_tls(H2).await;
    stream.write_all(&[PREFACE, NO_WINDOW, &ask_for_large()].concat()).await.expect("sent");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE * 3 {
        stream.write_all(ONE_MORE).await.expect("still open");
        // tidy: polling
        tokio::time::sleep(PATIENCE / 10).await;
    }
    let mut came = vec![0; 16 * 1024];
    let count = stream.read(&mut came).await.expect("still open");
    // A frame of one byte, the body's, on stream 1.
    let piece = b"\0\0\x01\0\0\0\0\0\x01x";
    assert!(came[..count].windows(piece.len()).filter(|window| window == piece).count() > 10, "{:?}", &came[..count]);
}

/// A reader whose megabytes take many times the patience; what the kernel holds for it does not hide that it reads.
#[tokio::test]
async fn a_slow_reader_gets_all() {
    const AT_ONCE_BYTES: usize = 128 * 1024;
    let house = House::open(stalling(PATIENCE), false, Duration::ZERO).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("a small buffer");
    let mut stream = socket.connect(house.address).await.expect("a connection");
    stream.write_all(LARGE).await.expect("sent");
    let (mut came, mut piece) = (0, vec![0; AT_ONCE_BYTES]);
    while came < LARGE_BYTES {
        came += stream.read_exact(&mut piece).await.expect("still open");
        // tidy: polling
        tokio::time::sleep(PATIENCE / 5).await;
    }
}
