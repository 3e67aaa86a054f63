//! What a relay key looks like: `rk_`, 26 characters of base32, and a checksum, so that scanners find
//! one that leaked and whatever is none never reaches the database.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::admission::accounts::keys::{random, sha256};

/// Starts every relay key.
pub(in crate::admission) const PREFIX: &str = "rk_";
/// 128 bits in base32.
const RANDOM: usize = 26;
/// CRC-32 in base32.
const CHECKSUM: usize = 7;
/// What of a key is kept to recognise it by, in characters.
const HINT: usize = 7;

/// RFC 4648 section 6 in lower case: people read keys to each other.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().expect("32 symbols")
});

/// A fresh key: 128 bits.
pub(super) fn new_key() -> String {
    let body = BASE32.encode(&random::<16>());
    format!("{PREFIX}{body}_{}", checksum(&body))
}

/// The hash of a key; `None` for what cannot be one.
pub(super) fn hash(key: &str) -> Option<[u8; 32]> {
    let (body, sum) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let is_one = body.len() == RANDOM && sum.len() == CHECKSUM && checksum(body) == sum;
    is_one.then(|| sha256(key))
}

/// The characters by which somebody recognises a key of theirs.
pub(super) fn hint(key: &str) -> &str {
    key.get(..HINT).unwrap_or(key)
}

fn checksum(body: &str) -> String {
    BASE32.encode(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_made_is_one_and_no_two_are_the_same() {
        let keys: std::collections::BTreeSet<String> = (0..1000).map(|_| new_key()).collect();
        assert_eq!(keys.len(), 1000);
        for key in keys {
            assert_eq!(key.len(), 3 + RANDOM + 1 + CHECKSUM, "{key}");
            assert_eq!(hash(&key), Some(sha256(&key)));
            assert!(key.starts_with(hint(&key)));
        }
    }

    #[test]
    fn any_other_character_makes_it_none() {
        let key = new_key();
        for at in 3..key.len() {
            for other in ["a", "7", "A", "_", "-", ""] {
                let mut changed = key.clone();
                changed.replace_range(at..=at, other);
                assert_eq!(hash(&changed).is_some(), changed == key, "{changed}");
            }
        }
        for none in [
            "",
            "rk_",
            "rk__",
            "rk_a_b",
            "sk-abc",
            &key[3..],
            &key.to_uppercase(),
        ] {
            assert!(hash(none).is_none(), "{none}");
        }
    }

    /// P20: one in four billion has the right checksum by chance.
    #[test]
    fn of_a_million_random_keys_none_gets_to_the_database() {
        let is_good = |_: &u32| {
            let (body, sum) = (
                BASE32.encode(&random::<16>()),
                BASE32.encode(&random::<4>()),
            );
            hash(&format!("{PREFIX}{body}_{sum}")).is_some()
        };
        assert!((0..1_000_000).filter(is_good).count() <= 1);
    }
}
