//! Revocation: tells one exchange that its caller's credential was withdrawn, while it runs.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;

use super::told::Told;

/// Never ready for callers whose credential cannot be withdrawn, which costs them nothing.
#[derive(Debug)]
pub struct Revocation(Option<Told>);

impl Revocation {
    pub(super) fn of(revoked: Option<CancellationToken>) -> Revocation {
        Revocation(revoked.map(Told::by))
    }

    /// Ready once it was withdrawn.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(revoked) => revoked.poll(cx),
            None => Poll::Pending,
        }
    }

    /// What the work comes to, or nothing if the credential is withdrawn first.
    pub async fn unless<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => work.as_mut().poll(cx).map(Some),
        })
        .await
    }
}
