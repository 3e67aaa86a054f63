//! Notes: small texts that relays leave for each other, and that go away by themselves.

use std::time::Duration;

use super::{Budget, Shared};

impl Shared {
    /// Leaves a note for so long; where Redis does not answer in time there is none.
    pub(in crate::admission::limit) async fn note(&self, key: &str, text: &str, life: Duration) {
        let mut call = self.scripts.note.key(key);
        call.arg(text)
            .arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let _: Option<()> = self.ask(&call, &mut Budget::default()).await;
    }

    /// A note that some relay left; none where Redis does not answer in time.
    pub(in crate::admission::limit) async fn noted(&self, key: &str) -> Option<String> {
        let call = self.scripts.noted.key(key);
        self.ask::<Option<String>>(&call, &mut Budget::default())
            .await
            .flatten()
    }
}
