//! An endpoint of the test's own: it can be away, refuse, or not answer at all.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::AbortHandle;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// It takes what it hears.
    Take,
    /// It refuses with this status.
    Refuse(u16),
    /// It hears, and says nothing.
    Silent,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    was_taken: bool,
}

impl Taken {
    /// Its `webhook-id`.
    pub fn id(&self) -> String {
        self.headers["webhook-id"].to_str().expect("ascii").to_owned()
    }

    /// Its body, read.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.body).expect("json")
    }
}

/// How it answers, and what came.
type Shared = Arc<Mutex<(Mode, Vec<Taken>)>>;

/// The endpoint. Its port is its own from the beginning, and nobody is there before it opens.
pub struct Receiver {
    port: u16,
    /// Bound and not listening: whoever calls is turned away.
    held: Option<TcpSocket>,
    state: Shared,
    serving: Option<AbortHandle>,
}

impl Receiver {
    /// An endpoint that is away.
    pub async fn bind() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let port = socket.local_addr().expect("bound").port();
        Self { port, held: Some(socket), state: Arc::new(Mutex::new((Mode::Take, Vec::new()))), serving: None }
    }

    /// From now on someone is there.
    pub async fn open(&mut self) {
        let listener: TcpListener = self.held.take().expect("opened once").listen(64).expect("a listener");
        let app = Router::new().fallback(post(hear)).with_state(self.state.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        self.serving = Some(serving.abort_handle());
    }

    /// How it answers from now on.
    pub fn answer(&self, mode: Mode) {
        self.state.lock().expect("no panic").0 = mode;
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?of=test", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that came, in order.
    pub fn heard(&self) -> Vec<Taken> {
        self.state.lock().expect("no panic").1.clone()
    }

    /// What came and was taken, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.heard().into_iter().filter(|message| message.was_taken).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn hear(State(state): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mode = {
        let mut state = state.lock().expect("no panic");
        let was_taken = matches!(state.0, Mode::Take);
        state.1.push(Taken { headers, body, was_taken });
        state.0
    };
    match mode {
        Mode::Take => StatusCode::NO_CONTENT.into_response(),
        Mode::Refuse(status) => (StatusCode::from_u16(status).expect("a status"), "not today").into_response(),
        Mode::Silent => std::future::pending().await,
    }
}
