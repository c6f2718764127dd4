//! The door: all that a sandboxed program can reach. It reads one source (`GET /source`, byte ranges, RFC 9110 §14) and writes the outputs
//! that were declared (`PUT /out/NAME`, each once). Everything else is 404.

mod activity;
mod outputs;
mod range;
mod source;

pub(super) use activity::Activity;
use outputs::Outputs;
pub use outputs::{Output, Written};
pub use source::Source;

use crate::domain::Error;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What addresses of the door start with in a program's arguments, at every level of the sandbox.
pub const BASE_URL: &str = "http://127.0.0.1/";
/// The source's address.
pub const SOURCE_URL: &str = "http://127.0.0.1/source";

/// The address of the output `name`: for ffmpeg, after `-method PUT`.
pub fn output_url(name: &str) -> String {
    format!("{BASE_URL}out/{name}")
}

/// Bytes the kernel holds for a reader that may close and seek elsewhere at any moment: more would be decrypted in vain.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// A request's head comes in one piece or is none of ffmpeg's.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// What one read of an upload takes at most.
const READ_BUFFER_BYTES: usize = 256 << 10;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a run cannot go on, seen from the door.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The source could not be read: our failure, not the file's.
    Source(Error),
    /// Nobody takes this output any more.
    Unread(String),
    /// This output, or all together, grew beyond its limit.
    Overflow(String),
}

/// An open door. It is shut, and its connections with it, when dropped.
pub(super) struct Door {
    room: Arc<Room>,
    listener: TcpListener,
    connections: TaskTracker,
    _shut: DropGuard,
}

/// What every connection shares.
struct Room {
    prefix: String,
    source: Arc<dyn Source>,
    outputs: Outputs,
    activity: Arc<Activity>,
    trouble: Mutex<Option<Trouble>>,
    in_trouble: CancellationToken,
    /// The program has ended: nothing more is read for it.
    ended: CancellationToken,
    shut: CancellationToken,
}

impl Door {
    /// Serves `source` and `outputs` under `prefix` to whoever connects to `listener`. `output_bytes` limits all outputs together.
    pub(super) fn open(
        listener: TcpListener,
        prefix: String,
        source: Arc<dyn Source>,
        outputs: Vec<Output>,
        output_bytes: u64,
        activity: Arc<Activity>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER_BYTES)?;
        let shut = CancellationToken::new();
        let room = Arc::new(Room {
            prefix,
            source,
            outputs: Outputs::new(outputs, output_bytes),
            activity,
            trouble: Mutex::new(None),
            in_trouble: CancellationToken::new(),
            ended: CancellationToken::new(),
            shut: shut.clone(),
        });
        let connections = TaskTracker::new();
        let accepting = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        connections.spawn(accept(accepting, Arc::clone(&room), connections.clone()));
        Ok(Self { room, listener, connections, _shut: shut.drop_guard() })
    }

    /// Returns when the run cannot go on.
    pub(super) async fn troubled(&self) -> Trouble {
        self.room.in_trouble.cancelled().await;
        let mut trouble = self.room.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take().unwrap_or_else(|| Trouble::Source(Error::internal("the source failed", "and was asked why twice")))
    }

    /// After the program ended: takes what it had sent by then to the outputs' readers, and waits for them.
    pub(super) async fn drain(&self) {
        self.room.ended.cancel();
        // The runtime may not have heard yet of connections that were made and closed a moment ago; the listener itself has.
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else { continue };
            self.connections.spawn(serve(stream, Arc::clone(&self.room)));
        }
        self.connections.close();
        self.connections.wait().await;
    }

    /// What became of each output.
    pub(super) fn written(&self) -> Vec<Written> {
        self.room.outputs.written()
    }
}

async fn accept(listener: tokio::net::TcpListener, room: Arc<Room>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = room.ended.cancelled() => return,
            () = room.shut.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection that was gone before it was accepted is none; the program sees its own error.
        if let Ok((stream, _)) = accepted {
            connections.spawn(serve(stream, Arc::clone(&room)));
        }
    }
}

async fn serve(stream: TcpStream, room: Arc<Room>) {
    let shut = room.shut.clone();
    let service = service_fn(move |request| {
        let room = Arc::clone(&room);
        async move { Ok::<_, Infallible>(room.answer(request).await) }
    });
    // Half-closed connections are kept: ffmpeg hangs up right behind an output's last byte, when its reader may be far behind.
    let connection = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = shut.cancelled() => {}
        // How a connection ends is told by the source and the outputs; a program may hang up whenever it likes.
        _ = connection => {}
    }
}

impl Room {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().strip_prefix(self.prefix.as_str()).map(str::to_owned);
        match (request.method(), path.as_deref()) {
            (&Method::GET | &Method::HEAD, Some("/source")) => source::answer(self, &request),
            (&Method::PUT | &Method::POST, Some(path)) => match path.strip_prefix("/out/") {
                Some(name) => self.take_in(name, request.into_body()).await,
                None => status(StatusCode::NOT_FOUND),
            },
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    async fn take_in(&self, name: &str, body: Incoming) -> Response<Body> {
        let Some(writing) = self.outputs.open(name) else { return status(StatusCode::NOT_FOUND) };
        match writing.take_in(body, &self.activity).await {
            Ok(()) => status(StatusCode::CREATED),
            Err(trouble) => {
                trouble.into_iter().for_each(|trouble| self.fail(trouble));
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Remembers the first trouble; what follows it is mostly its consequence.
    fn fail(&self, trouble: Trouble) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
        self.in_trouble.cancel();
    }
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Result;
    use futures_util::stream::{self, BoxStream, StreamExt};
    use std::ops::Range;
    use tokio::sync::mpsc;

    struct Digits;

    impl Source for Digits {
        fn size_bytes(&self) -> u64 {
            10
        }

        fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
            stream::iter(range.map(|at| Ok(Bytes::from(at.to_string())))).boxed()
        }
    }

    fn open(outputs: Vec<Output>) -> (Door, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}/secret", listener.local_addr().expect("an address"));
        let door = Door::open(listener, "/secret".to_owned(), Arc::new(Digits), outputs, 100, Arc::new(Activity::new())).expect("a door");
        (door, base)
    }

    #[tokio::test]
    async fn the_source_answers_ranges_and_nothing_else_answers() {
        let (_door, base) = open(Vec::new());
        let client = reqwest::Client::new();
        for (range, code, content_range, body) in [
            (None, 200, None, "0123456789"),
            (Some("bytes=7-"), 206, Some("bytes 7-9/10"), "789"),
            (Some("bytes=2-3"), 206, Some("bytes 2-3/10"), "23"),
            (Some("bytes=-2"), 206, Some("bytes 8-9/10"), "89"),
            (Some("bytes=10-"), 416, Some("bytes */10"), ""),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let mut request = client.request(method.clone(), format!("{base}/source"));
                request = range.into_iter().fold(request, |request, range| request.header("range", range));
                let answer = request.send().await.expect("an answer");
                let told = answer.headers().get("content-range").map(|value| value.to_str().expect("text").to_owned());
                assert_eq!((answer.status().as_u16(), told.as_deref()), (code, content_range), "{method} {range:?}");
                let text = answer.text().await.expect("a body");
                assert_eq!(text, if method == Method::GET { body } else { "" }, "{method} {range:?}");
            }
        }
        for (method, path) in [("GET", "/"), ("GET", "/out/x"), ("PUT", "/source"), ("GET", "/source/"), ("DELETE", "/source")] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = client.request(method, format!("{base}{path}")).send().await.expect("an answer");
            assert_eq!(answer.status(), 404, "{path}");
        }
        let unprefixed = client.get(base.replace("/secret", "/source")).send().await.expect("an answer");
        assert_eq!(unprefixed.status(), 404);
    }

    #[tokio::test]
    async fn an_output_is_taken_once_and_up_to_its_limit() {
        let (sender, mut pieces) = mpsc::channel(4);
        let (small, _small) = mpsc::channel(4);
        let output = |name: &str, sender, max_bytes| Output { name: name.to_owned(), sender, max_bytes };
        let (door, base) = open(vec![output("a", sender, 50), output("b", small, 3)]);
        let client = reqwest::Client::new();
        let put = |name: &str| client.put(format!("{base}/out/{name}")).body("four").send();

        assert_eq!(put("a").await.expect("an answer").status(), 201);
        assert_eq!(pieces.recv().await.as_deref(), Some(&b"four"[..]));
        assert_eq!(pieces.recv().await, None);
        assert_eq!(put("a").await.expect("an answer").status(), 404);
        assert_eq!(put("undeclared").await.expect("an answer").status(), 404);
        assert_eq!(put("b").await.expect("an answer").status(), 500);
        assert!(matches!(door.troubled().await, Trouble::Overflow(name) if name == "b"));
        let written = |name: &str, size_bytes, complete| Written { name: name.to_owned(), size_bytes, complete };
        assert_eq!(door.written(), [written("a", 4, true), written("b", 0, false)]);
    }
}
