//! `demo`: the main job with no key, no network and nothing installed.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use fake_openai::{FakeOpenAi, Options};
use uuid::Uuid;

use super::serve::Signals;
use super::{say, serving_runtime};
use crate::app::App;
use crate::config::{self, Loaded, Sources};
use crate::telemetry;

/// What of the environment a demo listens to; everything else would point it at the real world.
const TAKEN_OVER: [&str; 5] = ["PORT", "LOG_LEVEL", "LOG_FORMAT", "LOG_FILE", "DEBUG"];

pub(super) fn run() -> Result<ExitCode> {
    let runtime = serving_runtime()?;
    runtime.block_on(async {
        let upstream = FakeOpenAi::start(Options::default())
            .await
            .context("starting the stand-in for OpenAI")?;
        let token = format!("demo-{}", Uuid::new_v4().simple());
        let loaded = load(&upstream, &token)?;
        let _log = telemetry::init(&loaded.config.log)?;
        let app = App::build(&loaded.config)
            .await
            .context("the demo could not start; if the port is taken, name another: PORT=8081")?;
        say(&greeting(app.local_addr()?, &token));
        app.run(Signals::listen()?.first()).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn load(upstream: &FakeOpenAi, token: &str) -> Result<Loaded> {
    let mut variables = vec![
        ("HOST".to_owned(), "127.0.0.1".to_owned()),
        (
            "OPENAI_API_KEY".to_owned(),
            upstream.server_key().to_owned(),
        ),
        ("OPENAI_BASE_URL".to_owned(), upstream.base_url()),
        ("RELAY_TOKEN".to_owned(), token.to_owned()),
    ];
    let taken_over = TAKEN_OVER.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(((*name).to_owned(), value))
    });
    variables.extend(taken_over);
    Ok(config::load(&Sources::from_map(variables))?)
}

fn greeting(address: SocketAddr, token: &str) -> String {
    format!(
        r#"A relay at http://{address}, in front of a stand-in for OpenAI. Nothing leaves this machine.

Try it from another terminal:

  curl http://{address}/v1/chat/completions -H "Authorization: Bearer {token}" -H "Content-Type: application/json" -d '{{"model":"gpt-6-luna","messages":[{{"role":"user","content":"Hello"}}]}}'

Or from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="http://{address}/v1", api_key="{token}")
for event in client.responses.create(model="gpt-6-luna", input="Hello", stream=True):
    print(event.type)

Ctrl-C ends it.
"#
    )
}
