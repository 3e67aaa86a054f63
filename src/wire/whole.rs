//! A client's body read whole, where the relay itself has to understand it: bounded, and refused
//! in words.

use std::error::Error;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::body::BodyError;
use crate::error::{Kind, Refusal};

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        match error {
            BodyError::Gone => Refusal::new(
                Kind::Malformed,
                "The request's body could not be read to its end.",
            ),
            BodyError::Malformed(why) => Refusal::new(Kind::Malformed, why),
            BodyError::TooSlow => Refusal::new(
                Kind::BodyTimeout,
                "The request's body came too slowly (BODY_TIMEOUT).",
            ),
            BodyError::TooLarge => Refusal::new(
                Kind::BodyTooLarge,
                "The request's body is larger than this relay allows (MAX_BODY_BYTES).",
            ),
        }
    }
}

/// Reads a body of at most `limit` bytes; `too_large` is said of a larger one.
pub async fn read_whole<B>(body: B, limit: usize, too_large: &'static str) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let collected = Limited::new(body, limit).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Refusal::new(Kind::BodyTooLarge, too_large);
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<BodyError>() {
                return Refusal::from(*error);
            }
            cause = error.source();
        }
        Refusal::from(BodyError::Gone)
    })
}
