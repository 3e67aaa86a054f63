//! The stand-in's WebSockets over real sockets, seen by raw clients and by a library.

mod client;
mod faults;
mod frames;
mod lanes;
mod library;
mod live;
mod realtime;
mod upgrade;

use fake_openai::{FakeOpenAi, Options};

async fn start() -> FakeOpenAi {
    FakeOpenAi::start(Options::default())
        .await
        .expect("a stand-in")
}
