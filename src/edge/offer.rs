//! Reads the small JSON body of `/offer` before it is known who sent it: bounded in bytes and time.

use std::time::Duration;

use crate::error::{Kind, Refusal};
use crate::relay::OfferDraft;
use crate::wire::{ClientBody, read_whole};

/// How long the body may take to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads and parses an offer.
pub(super) async fn read(body: ClientBody) -> Result<OfferDraft, Refusal> {
    let too_large = "An offer is at most 64 KiB of JSON.";
    let body = read_whole(body, OfferDraft::MAX_BODY, too_large);
    let Ok(body) = tokio::time::timeout(DEADLINE, body).await else {
        return Err(Refusal::new(
            Kind::BodyTimeout,
            "The body did not arrive within 10 seconds.",
        ));
    };
    OfferDraft::parse(&body?)
}
