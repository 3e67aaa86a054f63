//! `demo`: the main job with no key, no network and nothing installed.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use fake_openai::{FakeOpenAi, Options};
use uuid::Uuid;

use super::person::refused;
use super::serve::Signals;
use super::{runtime, say};
use crate::admission::accounts::{Details, Directory};
use crate::admission::keys::Wish;
use crate::admission::keys::rules::RulesText;
use crate::app::App;
use crate::config::{self, Loaded, Sources};
use crate::store::Role;
use crate::telemetry;

/// The name of the account that a demo makes.
const USER: &str = "demo";
/// How long the sealed token of a demo starts things, in seconds.
const TOKEN_LIFE_S: i64 = 600;
/// What of the environment a demo listens to; everything else would point it at the real world.
const TAKEN_OVER: [&str; 5] = ["PORT", "LOG_LEVEL", "LOG_FORMAT", "LOG_FILE", "DEBUG"];

pub(super) fn run() -> Result<ExitCode> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let upstream = FakeOpenAi::start(Options::default())
            .await
            .context("starting the stand-in for OpenAI")?;
        let token = format!("demo-{}", Uuid::new_v4().simple());
        let loaded = load(&upstream, &token)?;
        let app = App::build(&loaded.config).await.with_context(|| {
            let next = loaded.config.server.port.saturating_add(1);
            format!("the demo could not start; if the port is taken, name another: PORT={next}")
        })?;
        let password = account(&app).await?;
        let (key, sealed) = credentials(&app).await?;
        // From here on: how a database in memory came to be is no news to anybody.
        let _log = telemetry::init(&loaded.config.log)?;
        let address = app.local_addr()?;
        say(&greeting(address, &token));
        say(&greeting_of_account(address, &password));
        say(&greeting_of_key(address, &key, &sealed));
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
        (
            "SECRET_KEY".to_owned(),
            format!("{}{}", Uuid::new_v4(), Uuid::new_v4()),
        ),
        ("DATABASE_URL".to_owned(), "sqlite::memory:".to_owned()),
        // Nobody waits half a minute for a demo to end.
        ("DRAIN_TIMEOUT".to_owned(), "2s".to_owned()),
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

Or hold a Realtime session, and type {{"type":"response.create"}} into it:

  npx wscat -c "ws://{address}/v1/realtime?model=gpt-realtime-2.1" -H "Authorization: Bearer {token}"

Or from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="http://{address}/v1", api_key="{token}")
for event in client.responses.create(model="gpt-6-luna", input="Hello", stream=True):
    print(event.type)
"#
    )
}

/// Adds a user; returns its password.
async fn account(app: &App) -> Result<String> {
    let accounts = app.accounts().context("the demo has accounts")?;
    let password = Directory::made_up_password();
    let details = Details {
        username: USER.to_owned(),
        email: "demo@example.com".to_owned(),
        password: password.clone(),
    };
    let added = accounts.directory().add(details, Role::Admin, None).await;
    added.map_err(refused)?;
    Ok(password)
}

fn greeting_of_account(address: SocketAddr, password: &str) -> String {
    format!(
        r#"Or as a user who logs in, here an admin (all routes: http://{address}/docs):

  TOKEN=$(curl -s http://{address}/api/v1/auth/login -H "Content-Type: application/json" -d '{{"username":"{USER}","password":"{password}"}}' | sed 's/.*"access_token":"//; s/".*//')
  curl http://{address}/api/v1/chat/completions -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"messages":[{{"role":"user","content":"Hello"}}]}}'
"#
    )
}

/// Makes a relay key with rules, and a sealed token that it might make for a browser.
async fn credentials(app: &App) -> Result<(String, String)> {
    let registry = app.keys().registry().map_err(refused)?;
    let rules = RulesText {
        families: vec!["chat".to_owned(), "realtime".to_owned()],
        models: vec!["gpt-6-luna".to_owned(), "gpt-realtime-*".to_owned()],
        limits: vec!["chat=60/1m".to_owned()],
        ..RulesText::default()
    };
    let wish = Wish {
        name: "demo".to_owned(),
        expires_at_ms: None,
        rules,
    };
    let (key, _) = registry.create(&wish, None).await.map_err(refused)?;
    let sealed = app.seal(&key, TOKEN_LIFE_S).await.map_err(refused)?;
    Ok((key, sealed))
}

fn greeting_of_key(address: SocketAddr, key: &str, sealed: &str) -> String {
    format!(
        r#"Or by a relay key with rules: chat by gpt-6-luna, 60 times a minute, and Realtime; anything else is a 403 that names the rule:

  curl http://{address}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" -d '{{"model":"gpt-6-luna","messages":[{{"role":"user","content":"Hello"}}]}}'
  curl http://{address}/v1/embeddings -H "Authorization: Bearer {key}" -H "Content-Type: application/json" -d '{{"model":"text-embedding-3-small","input":"Hello"}}'

Or by a sealed token of that key's, which a browser may hold for ten minutes; the key makes others:

  npx wscat -c "ws://{address}/v1/realtime?model=gpt-realtime-2.1" -s realtime -s openai-insecure-api-key.{sealed}
  curl http://{address}/v1/realtime/client_secrets -H "Authorization: Bearer {key}" -H "Content-Type: application/json" -d '{{"session":{{"type":"realtime","model":"gpt-realtime-2.1"}}}}'

Ctrl-C ends it.
"#
    )
}
