//! What holds for every environment and every `.env` file: no panic and no leak.

use openai_relay::config::{Sources, effective_text, load};
use proptest::prelude::*;

use crate::{Scratch, loaded};

/// Names that have an effect, their files left out: arbitrary paths would be opened.
fn known_name() -> impl Strategy<Value = String> {
    let names: Vec<String> = loaded(&[])
        .values
        .iter()
        .map(|one| one.name.to_owned())
        .collect();
    let aliases = [
        "OPENAI_RELAY_TOKEN",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "RELAY_TOKN",
    ]
    .map(str::to_owned);
    proptest::sample::select(names.into_iter().chain(aliases).collect::<Vec<_>>())
}

/// Values that are nearly right, or anything at all.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        "(https?|socks5|wss)://([a-z]{1,5}:?S3cretS3cret@)?[a-z0-9.:\\[\\]*-]{0,20}(/[a-z./]{0,8})?(\\?k=S3cretS3cret)?",
        "[0-9]{0,25}(\\.[0-9]{0,25})?(ms|s|m|h|d)?",
        "\\[(\"[a-z:/.*]{0,12}\",?){0,3}\\]?",
        "[0-9a-f.:]{0,20}/[0-9]{1,3}",
        "(Bearer )?sk-S3cretS3cret[ -~]{0,5}",
    ]
}

proptest! {
    #[test]
    fn no_environment_makes_loading_panic_or_leak(
        variables in proptest::collection::btree_map(known_name(), any_value(), 0..8),
        misplaced in known_name(),
        key in "[!-~]{0,10}S3cretS3cret[ -~]{0,10}",
        token in "\\PC{0,10}S3cretS3cret\\PC{0,10}",
    ) {
        let mut pairs = variables;
        pairs.insert(misplaced, key.clone());
        pairs.insert("OPENAI_API_KEY".to_owned(), key);
        pairs.insert("RELAY_TOKEN".to_owned(), token);
        let text = match load(&Sources::from_map(pairs)) {
            Ok(loaded) => format!("{}\n{}", loaded.notes.join("\n"), effective_text(&loaded.values)),
            Err(errors) => format!("{errors}\n{errors:?}"),
        };
        let leak = text.lines().find(|line| line.contains("S3cretS3cret"));
        prop_assert!(leak.is_none(), "{:?}", leak);
    }

    #[test]
    fn no_env_file_makes_loading_panic_or_leak(text in "(([A-Z_]{1,8}|RELAY_TOKEN)?[ =:\"'`#\\\\]{0,4}(S3cretS3cret)?[ -~]{0,6}\r?\n?){0,8}") {
        let scratch = Scratch::new().with(".env", &text);
        if let Err(errors) = scratch.load(&[]) {
            prop_assert!(!errors.to_string().contains("S3cretS3cret"), "{}", errors);
        }
    }
}
