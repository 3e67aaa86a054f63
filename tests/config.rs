//! The configuration from outside: documents that follow the table, broken and valid inputs, sources and their order.

#[allow(dead_code)]
#[path = "relay/support/trust.rs"]
mod trust;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use openai_relay::config::{
    ConfigErrors, Loaded, Origins, Sources, configuration_markdown, env_example, load,
};

#[path = "config/program.rs"]
mod program;
#[path = "config/properties.rs"]
mod properties;
#[path = "config/sources.rs"]
mod sources;

/// What every planted secret contains, so that one search finds any leak.
const PLANTED: &str = "S3cret";

/// In place of the documents' example, which is too short.
const GOOD_KEY: &[(&str, &str)] = &[("SECRET_KEY", "0123456789abcdef0123456789abcdef")];

/// A directory of its own for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("config-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.join(name), text).expect("a file");
        self
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        let environment = environment
            .iter()
            .map(|(name, text)| (OsString::from(name), OsString::from(text)));
        Sources::gather(environment, &self.0).and_then(|sources| load(&sources))
    }

    /// Runs the real program here, with these variables and no others.
    fn run(&self, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openai-relay"));
        command
            .arg("config")
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(&self.0);
        command.output().expect("the program runs")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn loaded(pairs: &[(&str, &str)]) -> Loaded {
    load(&Sources::from_map(pairs.iter().copied())).expect("a valid configuration")
}

fn refused(pairs: &[(&str, &str)]) -> String {
    load(&Sources::from_map(pairs.iter().copied()))
        .expect_err("an invalid configuration")
        .to_string()
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of `invalid.jsonl`: the name that the error must start with, and the variables.
fn invalid_cases() -> Vec<(String, BTreeMap<String, String>)> {
    fixture("invalid.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn the_generated_documents_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in [
        ("docs/configuration.md", configuration_markdown()),
        (".env.example", env_example()),
    ] {
        let path = root.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &text).expect("the document is written");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "{name} differs from the table: run `UPDATE_DOCS=1 cargo test --test config`"
        );
    }
}

#[test]
fn the_example_file_loads_as_it_is_and_with_every_line_switched_on() {
    let environment: [(&str, &str); 0] = [];
    Scratch::new()
        .with(".env", env_example())
        .load(&environment)
        .expect("the example is valid");
    let all: String = env_example()
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_assignment(rest))
                .unwrap_or(line)
                .to_owned()
                + "\n"
        })
        .collect();
    Scratch::new()
        .with(".env", all)
        .load(&environment)
        .expect("every default is valid");
}

fn is_assignment(line: &str) -> bool {
    line.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

#[test]
fn a_hundred_broken_configurations_are_refused_by_name_and_without_their_secrets() {
    let cases = invalid_cases();
    let count = cases.len();
    assert!(count >= 100, "{count} cases");
    for (name, variables) in cases {
        let mut pairs = BTreeMap::from([
            (
                "OPENAI_API_KEY".to_owned(),
                "sk-planted-S3cretS3cret".to_owned(),
            ),
            ("RELAY_TOKEN".to_owned(), "planted-S3cretS3cret".to_owned()),
        ]);
        let replaced = |kept: &str| variables.keys().any(|name| name.contains(kept));
        pairs.retain(|kept, _| !replaced(kept));
        pairs.extend(variables.clone());
        let errors = load(&Sources::from_map(pairs))
            .map(|_| ())
            .expect_err(&name);
        let found = errors
            .messages()
            .iter()
            .any(|error| error.starts_with(&format!("{name}: ")));
        assert!(found, "{name} is not named for {variables:?}: {errors}");
        assert_eq!(errors.messages().len(), 1, "{errors}");
        assert!(!errors.to_string().contains(PLANTED), "{errors}");
        assert!(
            !errors.to_string().chars().any(char::is_control),
            "{errors:?}"
        );
    }
    trust::record(
        "P40",
        &format!("{count} broken configurations, each refused by name, no secret shown"),
    );
}

#[test]
fn all_broken_variables_are_reported_together() {
    let errors = refused(&[
        ("PORT", "x"),
        ("HOST", "x"),
        ("DRAIN_DELAY", "x"),
        ("LOG_FORMAT", "x"),
        ("NO_SUCH", "x"),
    ]);
    let names: Vec<&str> = errors
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["HOST", "PORT", "DRAIN_DELAY", "LOG_FORMAT"]);
    let scratch = Scratch::new().with(".env", "nonsense\nPORT=x\n");
    let errors = scratch
        .load(&[("HOST", "x")])
        .expect_err("three mistakes")
        .to_string();
    assert!(
        errors.contains(".env: line 1 cannot be read")
            && errors.contains("\nHOST: ")
            && errors.contains("\nPORT: "),
        "{errors}"
    );
    assert!(
        errors.contains("(from .env line 2)") && errors.contains("(from the environment)"),
        "{errors}"
    );
}

#[test]
fn every_faulty_origin_of_a_list_is_named() {
    let list = "app.example.com,https://fine.example,https://*.example.com,https://a.example/login";
    let said = refused(&[("ALLOWED_ORIGINS", list)]);
    for words in [
        "item 1 has no scheme",
        "item 3 has a wildcard",
        "item 4 has a path",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("item 2"), "{said}");
}

#[test]
fn every_example_of_limits_in_the_documents_loads_as_it_is() {
    let page = include_str!("../docs/limits.md");
    let examples: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("RATE_LIMITS=") || line.starts_with("REDIS_URL="))
        .collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let scratch = Scratch::new().with(".env", example);
        let loaded = scratch.load(GOOD_KEY);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{example}: {errors}"));
        let limiting = &loaded.config.limiting;
        let is_set = limiting.redis.is_some() || limiting.limits.len() > 2;
        assert!(is_set, "{example}: {limiting:?}");
    }
    let urls = page
        .split('`')
        .filter(|text| text.contains("://") && !text.ends_with("://"));
    let urls: Vec<&str> = urls.filter(|text| !text.contains('\n')).collect();
    assert!(urls.len() >= 6, "{urls:?}");
    for url in urls {
        let scratch = Scratch::new().with(".env", format!("REDIS_URL={url}"));
        let loaded = scratch.load(GOOD_KEY);
        assert!(loaded.is_ok(), "{url}");
    }
}

#[test]
fn the_documented_env_files_of_all_five_origins_load_as_they_are() {
    let origins = [
        ("a-webrtc.env", 8080, false),
        ("b-realtime.env", 8080, true),
        ("c-accounts.env", 8080, false),
        ("d-browser.env", 8080, false),
        ("e-transparent.env", 3001, false),
    ];
    for (name, port, production) in origins {
        let scratch = Scratch::new().with(".env", fixture(&format!("valid/{name}")));
        let loaded = scratch
            .load(GOOD_KEY)
            .unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!(loaded.config.server.port, port, "{name}");
        assert_eq!(
            loaded.config.environment.is_production(),
            production,
            "{name}"
        );
        assert_eq!(
            loaded.config.upstream.base.to_string(),
            "https://api.openai.com/v1",
            "{name}"
        );
        assert!(
            !loaded
                .notes
                .iter()
                .any(|note| note.contains("did you mean")),
            "{name}: {:?}",
            loaded.notes
        );
    }
    let json = Scratch::new()
        .with(".env", fixture("valid/c-accounts.env"))
        .load(GOOD_KEY)
        .expect("valid");
    assert_eq!(
        json.config.access.origins,
        Origins::Listed(vec!["http://localhost:3000".to_owned()])
    );
    assert!(json.config.accounts.is_some());
    assert_eq!(json.config.database.shown(), "./app.db");
    assert_eq!(json.config.default_model, "gpt-4o-mini");
}

#[test]
fn the_short_secret_key_of_an_example_is_the_one_error_of_its_file_and_says_how_to_make_a_good_one()
{
    let errors = Scratch::new()
        .with(".env", fixture("valid/c-accounts.env"))
        .load(&[])
        .expect_err("a key that anyone can guess");
    assert_eq!(errors.messages().len(), 1, "{errors}");
    let error = errors.to_string();
    assert!(error.starts_with("SECRET_KEY: "), "{error}");
    assert!(error.contains("at least 32 bytes") && error.contains("openssl rand -hex 32"));
}

#[test]
fn a_slip_is_told_beside_errors_and_a_missing_half_only_where_it_is_missing() {
    let errors = Scratch::new()
        .load(&[
            ("TLS_CERT", "nope.pem"),
            ("TLS_KEY", "nope.key"),
            ("PORTT", "1"),
        ])
        .expect_err("no such files");
    let text = errors.to_string();
    assert!(!text.contains("is missing"), "{text}");
    let errors = Scratch::new()
        .load(&[("PORT", "x"), ("DATABSE_URL", "y")])
        .expect_err("no port");
    let text = errors.to_string();
    assert!(text.contains("did you mean `DATABASE_URL`"), "{text}");
}

#[test]
fn foreign_values_of_shared_variables_are_warned_about_only() {
    let foreign = loaded(&[
        ("NODE_ENV", "staging"),
        ("DEBUG", "express:*"),
        ("RELAY_TOKN", "x"),
        ("LOGNAME", "x"),
    ]);
    let notes = foreign.notes.join("\n");
    assert!(!foreign.config.environment.is_production());
    assert!(
        notes.contains("`NODE_ENV`") && notes.contains("`DEBUG`"),
        "{notes}"
    );
    assert!(
        notes.contains("`RELAY_TOKN` is set; did you mean `RELAY_TOKEN`?"),
        "{notes}"
    );
    let wins = loaded(&[("NODE_ENV", "staging"), ("RELAY_ENV", "production")]);
    assert!(wins.config.environment.is_production() && !wins.notes.join("\n").contains("NODE_ENV"));
    assert_eq!(
        loaded(&[("DEBUG", "True")]).config.log.level.as_str(),
        "DEBUG"
    );
    assert_eq!(
        loaded(&[("DEBUG", "1"), ("LOG_LEVEL", "WARNING")])
            .config
            .log
            .level
            .as_str(),
        "WARN"
    );
}
