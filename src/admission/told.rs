//! Told: the word of a token to one task, which may look for it as often as it likes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Leaves its task's waker with the token once, and not again at every look.
#[derive(Debug)]
pub(super) struct Told(Pin<Box<Asking>>);

pin_project! {
    #[derive(Debug)]
    struct Asking {
        token: CancellationToken,
        #[pin]
        waiting: WaitForCancellationFutureOwned,
        // Left with the token.
        waker: Option<Waker>,
    }
}

impl Told {
    pub(super) fn by(token: CancellationToken) -> Told {
        Told(Box::pin(Asking {
            waiting: token.clone().cancelled_owned(),
            token,
            waker: None,
        }))
    }

    /// Whether this task will be woken by the token.
    pub(super) fn has_asked(&self, cx: &Context<'_>) -> bool {
        let waker = self.0.waker.as_ref();
        waker.is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Ready once the token was cancelled.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.token.is_cancelled() {
            return Poll::Ready(());
        }
        if self.has_asked(cx) {
            return Poll::Pending;
        }
        let asking = self.0.as_mut().project();
        let told = asking.waiting.poll(cx);
        if told.is_pending() {
            *asking.waker = Some(cx.waker().clone());
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Wake;

    use tokio_util::task::TaskTracker;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_task_that_looks_often_leaves_its_waker_once() {
        let mut told = Told::by(CancellationToken::new());
        let nobody = Arc::new(Nobody);
        let waker = Waker::from(Arc::clone(&nobody));
        let mut cx = Context::from_waker(&waker);
        assert!(!told.has_asked(&cx));
        assert!(told.poll(&mut cx).is_pending());
        assert!(told.has_asked(&cx));
        let left = Arc::strong_count(&nobody);
        for _ in 0..10 {
            assert!(told.poll(&mut cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&nobody), left);
    }

    #[test]
    fn the_word_is_heard_at_the_first_look_after_it() {
        let token = CancellationToken::new();
        let mut told = Told::by(token.clone());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(told.poll(&mut cx).is_pending());
        token.cancel();
        assert!(told.poll(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn the_word_reaches_whichever_task_looked_last() {
        let token = CancellationToken::new();
        let mut told = Told::by(token.clone());
        // Looked at by one task, then taken to another.
        assert!(poll_fn(|cx| Poll::Ready(told.poll(cx))).await.is_pending());
        assert!(poll_fn(|cx| Poll::Ready(told.poll(cx))).await.is_pending());
        let tasks = TaskTracker::new();
        let elsewhere = tasks.spawn(async move { poll_fn(|cx| told.poll(cx)).await });
        tokio::task::yield_now().await;
        token.cancel();
        elsewhere.await.expect("told");
    }
}
