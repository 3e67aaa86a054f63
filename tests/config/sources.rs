//! Where values come from: the order of the sources, files, and what people put around a value.

use std::ffi::OsString;
use std::fs;

use openai_relay::config::{Sources, effective_text, load};

use crate::{PLANTED, Scratch, loaded};

#[test]
fn the_environment_wins_over_env_local_which_wins_over_env() {
    let scratch = Scratch::new()
        .with(".env", "PORT=1\nHOST=127.0.0.1\nREALTIME_MODEL=from-env\n")
        .with(".env.local", "PORT=2\nHOST=127.0.0.2\n");
    let loaded = scratch.load(&[("PORT", "3"), ("HOST", "")]).expect("valid");
    assert_eq!(loaded.config.server.port, 3);
    assert_eq!(loaded.config.server.host.to_string(), "127.0.0.2");
    assert_eq!(loaded.config.realtime.model, "from-env");
    let source = |name| {
        loaded
            .values
            .iter()
            .find(|one| one.name == name)
            .map(|one| one.source.as_str())
    };
    assert_eq!(source("PORT"), Some("the environment"));
    assert_eq!(source("HOST"), Some(".env.local line 2"));
    assert_eq!(source("REALTIME_MODEL"), Some(".env line 3"));
    assert_eq!(source("LOG_LEVEL"), Some("default"));
    assert_eq!(source("LOG_FILE"), Some("not set"));
}

#[test]
fn a_broken_value_that_a_stronger_one_replaces_is_no_error() {
    let scratch = Scratch::new().with(
        ".env",
        "PORT=broken\nRELAY_TOKEN_FILE=/nonexistent\nOPENAI_RELAY_TOKEN=weaker\n",
    );
    let loaded = scratch
        .load(&[("PORT", "1"), ("RELAY_TOKEN", "stronger-token")])
        .expect("valid");
    assert_eq!(loaded.config.server.port, 1);
}

#[test]
fn every_variable_can_come_from_a_file() {
    let scratch = Scratch::new()
        .with("key", "sk-from-file-S3cret\n")
        .with("token", "\u{feff}token-from-file-S3cret\r\n")
        .with("port", "9000")
        .with("level", "DEBUG\n")
        .with(".env", "LOG_LEVEL_FILE=level\n");
    let files = [
        ("OPENAI_API_KEY_FILE", "key"),
        ("OPENAI_RELAY_TOKEN_FILE", "token"),
        ("PORT_FILE", "port"),
    ];
    let loaded = scratch.load(&files).expect("valid");
    assert_eq!(loaded.config.server.port, 9000);
    assert_eq!(loaded.config.log.level.as_str(), "DEBUG");
    let table = effective_text(&loaded.values);
    assert!(
        table.contains("(19 characters)") && table.contains("(22 characters)"),
        "{table}"
    );
    assert!(
        table.contains("the file that OPENAI_RELAY_TOKEN_FILE names in the environment"),
        "{table}"
    );
    assert!(!table.contains(PLANTED), "{table}");
}

#[test]
fn a_file_that_cannot_give_a_value_is_an_error_and_never_an_unset_token() {
    let scratch = Scratch::new()
        .with("empty", "\n")
        .with("large", vec![b'a'; 64 * 1024 + 1])
        .with("binary", [0xff, 0xfe, 0x41])
        .with("lines", "S3cretS3cret\nsecond");
    for (file, says) in [
        ("empty", "is empty"),
        ("large", "64 KiB"),
        ("binary", "UTF-8"),
        ("absent", "cannot be read"),
        ("lines", "line break"),
    ] {
        let errors = scratch
            .load(&[("RELAY_TOKEN_FILE", file)])
            .expect_err(file)
            .to_string();
        assert!(
            errors.starts_with("RELAY_TOKEN")
                && errors.contains(says)
                && errors.contains("RELAY_TOKEN_FILE"),
            "{errors}"
        );
        assert!(!errors.contains(PLANTED), "{errors}");
    }
    let largest = Scratch::new().with("largest", vec![b'a'; 64 * 1024]);
    largest
        .load(&[("RELAY_TOKEN_FILE", "largest")])
        .expect("64 KiB are allowed");
}

#[test]
fn an_env_file_that_cannot_be_read_is_an_error_with_its_name_and_line() {
    let scratch = Scratch::new().with(
        ".env",
        "PORT=1\n\nOPENAI_API_KEY sk-S3cretS3cret\nRELAY_TOKEN=\"S3cretS3cret\n",
    );
    let errors = scratch.load(&[]).expect_err("two faulty lines");
    assert_eq!(errors.messages().len(), 2, "{errors}");
    assert!(
        errors.messages()[0].starts_with(".env: line 3 ")
            && errors.messages()[1].starts_with(".env: line 4 ")
    );
    assert!(!errors.to_string().contains(PLANTED));
    let utf16: Vec<u8> = "\u{feff}PORT=1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let errors = Scratch::new()
        .with(".env.local", utf16)
        .load(&[])
        .expect_err("UTF-16")
        .to_string();
    assert!(
        errors.starts_with(".env.local: ") && errors.contains("save it as UTF-8"),
        "{errors}"
    );
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join(".env")).expect("a directory");
    assert!(
        scratch
            .load(&[])
            .expect_err("a directory")
            .to_string()
            .contains("is a directory")
    );
}

#[cfg(unix)]
#[test]
fn a_known_variable_that_is_not_utf8_is_an_error_and_an_unknown_one_is_nothing() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(vec![b'S', b'3', 0xff]);
    let scratch = Scratch::new();
    Sources::gather([("LS_COLORS".into(), bytes())], &scratch.0).expect("not ours");
    let sources = Sources::gather([("RELAY_TOKEN".into(), bytes())], &scratch.0).expect("read");
    assert!(
        load(&sources)
            .expect_err("not text")
            .to_string()
            .starts_with("RELAY_TOKEN: the value is not UTF-8")
    );
}

#[test]
fn quotes_space_and_empty_values_are_taken_as_people_mean_them() {
    let quoted = loaded(&[
        ("OPENAI_API_KEY", "\"sk-test-0123\""),
        ("PORT", " 81 "),
        ("HOST", "''"),
        ("LOG_FILE", "  "),
    ]);
    assert_eq!(quoted.config.server.port, 81);
    assert_eq!(quoted.config.server.host.to_string(), "0.0.0.0");
    assert_eq!(quoted.config.log.file, None);
    assert!(
        quoted
            .notes
            .iter()
            .any(|note| note.contains("`OPENAI_API_KEY` was in quotes")),
        "{:?}",
        quoted.notes
    );
    assert!(effective_text(&quoted.values).contains("(12 characters)"));
}

#[test]
fn two_names_of_one_variable_may_agree_but_not_contradict() {
    let same = loaded(&[
        ("RELAY_TOKEN", "token-0123456789"),
        ("OPENAI_RELAY_TOKEN", "token-0123456789"),
    ]);
    assert!(same.config.access.relay_token.is_some());
    let proxies = loaded(&[
        ("HTTPS_PROXY", "http://one:1"),
        ("https_proxy", "http://two:2"),
    ]);
    assert_eq!(
        proxies
            .config
            .upstream
            .proxy
            .https
            .map(|proxy| proxy.to_string()),
        Some("http://one:1".to_owned())
    );
    assert!(
        proxies
            .notes
            .iter()
            .any(|note| note.contains("`HTTPS_PROXY` and `https_proxy`"))
    );
}
