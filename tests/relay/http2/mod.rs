//! The same relay over HTTP/2 by prior knowledge: many exchanges on one connection, none in the
//! way of another.

mod bodies;
mod endings;
mod heads;
mod refusals;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Home, People, RELAY_TOKEN, Relay, SERVER_KEY, eventually, pair};

const MIB: usize = 1024 * 1024;

/// A body that is sent piece by piece, when the test says so.
struct Pieces(mpsc::Receiver<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

type Sent = BoxBody<Bytes, Infallible>;

fn none() -> Sent {
    Empty::new().boxed()
}

fn whole(bytes: impl Into<Bytes>) -> Sent {
    Full::new(bytes.into()).boxed()
}

fn pieces() -> (mpsc::Sender<Frame<Bytes>>, Sent) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, Pieces(receiver).boxed())
}

/// One connection; its clones share it.
#[derive(Clone)]
struct Client(SendRequest<Sent>);

impl Client {
    async fn connect(relay: &Relay) -> Client {
        let stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let shaken = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("HTTP/2");
        tokio::spawn(connection);
        Client(sender)
    }

    async fn send(&self, request: Request<Sent>) -> Response<Incoming> {
        let sent = self.0.clone().send_request(request).await;
        sent.expect("an answer")
    }

    async fn get(&self, target: &str) -> (Response<()>, Bytes) {
        read(self.send(request("GET", target, &[], none())).await).await
    }
}

/// A request of a holder of the token.
fn request(method: &str, target: &str, lines: &[(&str, &str)], body: Sent) -> Request<Sent> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    let uri = format!("http://relay.test{target}");
    *request.uri_mut() = uri.parse::<Uri>().unwrap();
    let token = HeaderValue::from_str(&format!("Bearer {RELAY_TOKEN}")).unwrap();
    request.headers_mut().insert("authorization", token);
    for (name, value) in lines {
        let name: ::http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

async fn read(response: Response<Incoming>) -> (Response<()>, Bytes) {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.expect("a whole body");
    (Response::from_parts(head, ()), collected.to_bytes())
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(bytes)))
}

fn stream_request(script: &str) -> Request<Sent> {
    let messages = json!([{ "role": "user", "content": "Say hello to everyone." }]);
    let body = json!({ "model": "gpt-6-luna", "stream": true, "messages": messages });
    let lines = [
        ("content-type", "application/json"),
        ("x-fake-script", script),
    ];
    request(
        "POST",
        "/v1/chat/completions",
        &lines,
        whole(body.to_string()),
    )
}
