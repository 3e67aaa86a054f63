//! A client's body read whole, where the relay itself has to understand it: bounded, and refused
//! in words.

use std::error::Error;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

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
    let whole = read_whole_while(body, limit, too_large, |_| true).await?;
    Ok(Bytes::from(whole.unwrap_or_default()))
}

/// The same for as long as so many bytes may be held; `None` once they may not.
pub async fn read_whole_while<B>(
    body: B,
    limit: usize,
    too_large: &'static str,
    mut may_hold: impl FnMut(usize) -> bool,
) -> Result<Option<Vec<u8>>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    let announced = body.size_hint().exact();
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let most = announced.unwrap_or(limit).min(limit);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(error.into().as_ref()))?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        if piece.len() > limit - whole.len() {
            return Err(Refusal::new(Kind::BodyTooLarge, too_large));
        }
        let length = whole.len() + piece.len();
        if length > whole.capacity() {
            // Doubled, as far as it can come to that.
            let room = (2 * length).min(most).max(length);
            whole.reserve_exact(room - whole.len());
        }
        whole.extend_from_slice(piece);
        if !may_hold(whole.capacity()) {
            return Ok(None);
        }
    }
    Ok(Some(whole))
}

fn unreadable(error: &(dyn Error + 'static)) -> Refusal {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BodyError>() {
            return Refusal::from(*error);
        }
        cause = error.source();
    }
    Refusal::from(BodyError::Gone)
}
