//! Waiting for what is about to happen elsewhere, where nothing tells of it.

use std::time::Duration;

use super::relay::SOON;

/// Asks again and again until the answer is yes; panics with `what` if it never is.
pub async fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    assert!(eventually_is(is_so).await, "never came true: {what}");
}

/// Whether this comes true soon.
pub async fn eventually_is(mut is_so: impl FnMut() -> bool) -> bool {
    let asking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.is_ok()
}
