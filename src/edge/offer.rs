//! Reads the small JSON body of `/offer` before it is known who sent it: bounded in bytes and time.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::{Kind, Refusal};
use crate::relay::OfferDraft;
use crate::wire::ClientBody;

/// How long the body may take to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads and parses an offer.
pub(super) async fn read(body: ClientBody) -> Result<OfferDraft, Refusal> {
    let collected = Limited::new(body, OfferDraft::MAX_BODY).collect();
    let Ok(collected) = tokio::time::timeout(DEADLINE, collected).await else {
        return Err(Refusal::new(
            Kind::BodyTimeout,
            "The body did not arrive within 10 seconds.",
        ));
    };
    let body = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Refusal::new(Kind::BodyTooLarge, "An offer is at most 64 KiB of JSON.")
        } else {
            Refusal::new(Kind::Malformed, "The body could not be read to its end.")
        }
    })?;
    OfferDraft::parse(&body.to_bytes())
}
