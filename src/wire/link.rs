//! A byte stream to a peer with what was read ahead. No buffer is held while it idles.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio_util::io::poll_read_buf;

use super::plain::{self, Plain};
use super::spares::Spares;
use super::stream::{Io, Stream};

/// What one read takes at most, in bytes; a head may take more by several reads.
const READ: usize = 16 * 1024;
/// So much is rather read to where it stays than copied, in bytes.
const BULK: usize = 4 * 1024;
/// Less room than this in the buffer is not worth a read.
const MIN_ROOM: usize = 2 * 1024;

thread_local! {
    static SPARES: Spares = const { Spares::of(READ) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One connection.
pub struct Link {
    stream: Stream,
    /// What was read and not used yet.
    pub input: BytesMut,
    has_ended: bool,
    /// Whether the last read took so much that a copy of the next costs more than it spares.
    is_bulky: bool,
    /// Whether the task that refills is registered with the socket.
    is_awaited: bool,
    /// Whether the end of what was written waits in the stream.
    is_held: bool,
}

impl Link {
    /// A link over this stream; `input` was read from it already.
    pub fn new(io: Box<dyn Io>, input: BytesMut) -> Link {
        Link {
            stream: Stream::Other(io),
            input,
            has_ended: false,
            is_bulky: false,
            is_awaited: false,
            is_held: false,
        }
    }

    /// A link over a bare socket.
    pub fn plain(stream: Plain) -> Link {
        Link {
            stream: Stream::Plain(stream),
            input: BytesMut::new(),
            has_ended: false,
            is_bulky: false,
            is_awaited: false,
            is_held: false,
        }
    }

    /// The stream, to write to.
    pub fn io(&mut self) -> &mut dyn Io {
        self.stream.io()
    }

    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Reads more; `false` at the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.is_awaited = false;
        if self.has_ended {
            return Poll::Ready(Ok(false));
        }
        let read = match &mut self.stream {
            Stream::Plain(plain) if self.is_bulky => {
                // Mostly there is nothing yet: no buffer is taken before there is.
                if plain.socket().poll_read_ready(cx)?.is_ready() {
                    make_room(&mut self.input, MIN_ROOM);
                    poll_read_buf(Pin::new(plain), cx, &mut self.input)
                } else {
                    Poll::Pending
                }
            }
            Stream::Plain(_) => poll_copy(&mut self.stream, cx, &mut self.input),
            Stream::Other(stream) => {
                make_room(&mut self.input, MIN_ROOM);
                poll_read_buf(Pin::new(stream), cx, &mut self.input)
            }
        };
        if read.is_pending() {
            self.shrink();
        }
        let read = ready!(read)?;
        self.has_ended = read == 0;
        self.is_bulky = read >= BULK;
        Poll::Ready(Ok(read > 0))
    }

    /// The same, always by the same task, on the thread of the socket's runtime: mostly something else
    /// has woken it, and then there is nothing to ask anew.
    pub fn poll_refill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.is_awaited && self.is_dry() {
            return Poll::Pending;
        }
        let filled = self.poll_fill(cx);
        self.note_wait(filled.is_pending());
        filled
    }

    /// Reads more as `poll_refill` does, but to where nothing stays: `pass` is handed what came, and says
    /// how many of its first bytes have gone on; it must not read from any link. The others become input.
    /// What is input already goes first: then everything is added to it, and `pass` is not called.
    pub fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        pass: impl FnOnce(&mut Context<'_>, &[u8]) -> usize,
    ) -> Poll<io::Result<bool>> {
        if !self.input.is_empty() {
            return self.poll_refill(cx);
        }
        if self.has_ended {
            return Poll::Ready(Ok(false));
        }
        if self.is_awaited && self.is_dry() {
            return Poll::Pending;
        }
        let passed = SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(READ, 0);
            let bytes = ready!(self.stream.poll_read(cx, scratch))?;
            let rest = match bytes {
                [] => bytes,
                _ => &bytes[pass(cx, bytes)..],
            };
            keep(&mut self.input, rest);
            Poll::Ready(Ok(!bytes.is_empty()))
        });
        self.note_wait(passed.is_pending());
        match passed {
            Poll::Pending => self.shrink(),
            Poll::Ready(Ok(is_open)) => self.has_ended = !is_open,
            Poll::Ready(Err(_)) => {}
        }
        passed
    }

    /// Writes some of these bytes, which are not none.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(plain) => ready!(plain.poll_send(cx, bytes))?,
            Stream::Other(stream) => {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                self.is_held = Pin::new(stream).poll_flush(cx)?.is_pending();
                written
            }
        };
        match written {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(written)),
        }
    }

    /// Whether the end of what was written waits in the stream: TLS keeps what its socket does not take.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Lets go what is held.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_held {
            ready!(Pin::new(self.io()).poll_flush(cx))?;
            self.is_held = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the buffer back while there is nothing in it.
    pub fn shrink(&mut self) {
        if self.input.is_empty() {
            let buffer = std::mem::take(&mut self.input);
            // One that is used up to its last byte is let go.
            if buffer.capacity() > 0 {
                SPARES.with(|spares| spares.keep(buffer));
            }
        }
    }

    /// Whether the peer has closed its side, as far as the kernel has told; data may lie before it.
    pub fn is_closed(&self) -> bool {
        if self.has_ended {
            return true;
        }
        let mut ready = std::pin::pin!(self.socket().ready(Interest::READABLE));
        let mut cx = Context::from_waker(Waker::noop());
        match Future::poll(ready.as_mut(), &mut cx) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Whether nothing is left of what was read, the end of the stream included.
    pub fn is_empty(&self) -> bool {
        !self.has_ended && self.input.is_empty()
    }

    /// Whether an idle connection may serve again: open, and with nothing to say.
    pub fn is_quiet(&self) -> bool {
        // Even what the runtime has yet to hear of counts: an end, and bytes that would be taken for the
        // next answer, mostly a 408 before the end of a connection that idled too long.
        self.is_empty() && plain::is_silent(self.socket())
    }

    /// Makes the coming close a reset, so that a cut answer cannot look whole.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    /// Takes the link apart: the stream, and what was read ahead.
    pub fn into_parts(self) -> (Box<dyn Io>, BytesMut) {
        (self.stream.boxed(), self.input)
    }

    /// Whether the runtime has heard nothing from the socket since all that came was read.
    fn is_dry(&self) -> bool {
        let socket = self.socket();
        socket.try_io(Interest::READABLE, || Ok(())).is_err()
    }

    /// Whoever waits is registered with the socket; but without budget it is woken at once, and by nobody
    /// else.
    fn note_wait(&mut self, is_pending: bool) {
        self.is_awaited = is_pending && coop::has_budget_remaining();
    }
}

/// Reads to where nothing stays, and takes a copy of what came.
fn poll_copy(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    input: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(READ, 0);
        let bytes = ready!(stream.poll_read(cx, scratch))?;
        keep(input, bytes);
        Poll::Ready(Ok(bytes.len()))
    })
}

/// Adds a copy of what came.
fn keep(input: &mut BytesMut, bytes: &[u8]) {
    if !bytes.is_empty() {
        make_room(input, bytes.len());
        input.extend_from_slice(bytes);
    }
}

/// Room for `least` bytes at the least, mostly for a whole read.
fn make_room(input: &mut BytesMut, least: usize) {
    if input.capacity() - input.len() >= least {
        return;
    }
    if input.is_empty() && !input.try_reclaim(READ) {
        *input = SPARES.with(Spares::take);
    } else {
        input.reserve(READ);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::{net, thread};

    use tokio::io::BufWriter;

    use super::*;

    fn pair() -> (Link, net::TcpStream) {
        let (plain, peer) = plain::tests::pair();
        (Link::plain(plain), peer)
    }

    #[tokio::test]
    async fn a_task_that_looks_in_vain_is_woken_once_there_is_more() {
        let (mut link, mut peer) = pair();
        for word in [b"one", b"two"] {
            for _ in 0..3 {
                assert!(
                    poll_fn(|cx| Poll::Ready(link.poll_refill(cx)))
                        .await
                        .is_pending()
                );
            }
            peer.write_all(word).expect("written");
            assert!(poll_fn(|cx| link.poll_refill(cx)).await.expect("readable"));
            assert_eq!(&link.input[..], word);
            link.input.clear();
        }
    }

    #[tokio::test]
    async fn a_task_that_looks_with_hardly_any_budget_is_woken_all_the_same() {
        let whole = poll_fn(|cx| {
            let taken = std::iter::from_fn(|| coop::has_budget_remaining().then(|| take_one(cx)));
            Poll::Ready(taken.count())
        })
        .await;
        for left in 0..3 {
            tokio::task::yield_now().await;
            let (mut link, mut peer) = pair();
            poll_fn(|cx| {
                (left..whole).for_each(|_| take_one(cx));
                assert!(link.poll_refill(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            // Whoever had no budget is woken for that alone, and looks again.
            tokio::task::yield_now().await;
            assert!(
                poll_fn(|cx| Poll::Ready(link.poll_refill(cx)))
                    .await
                    .is_pending()
            );
            tokio::task::yield_now().await;
            peer.write_all(b"late").expect("written");
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_secs(20)) => panic!("never woken: {left} left"),
                filled = poll_fn(|cx| link.poll_refill(cx)) => assert!(filled.expect("readable")),
            }
        }
    }

    #[tokio::test]
    async fn what_is_passed_on_is_no_input_and_the_rest_of_it_is() {
        let (mut link, mut peer) = pair();
        peer.write_all(b"onwards, rest").expect("written");
        let mut seen = Vec::new();
        let passed = poll_fn(|cx| {
            link.poll_pass(cx, |_, bytes| {
                seen.extend_from_slice(bytes);
                bytes.len() - 4
            })
        })
        .await;
        assert!(passed.expect("readable"));
        assert_eq!(
            (&seen[..], &link.input[..]),
            (&b"onwards, rest"[..], &b"rest"[..])
        );

        // The order of all bytes holds.
        peer.write_all(b" and more").expect("written");
        let passed = poll_fn(|cx| link.poll_pass(cx, |_, _| panic!("input goes first"))).await;
        assert!(passed.expect("readable"));
        assert_eq!(&link.input[..], b"rest and more");

        link.input.clear();
        drop(peer);
        let passed = poll_fn(|cx| link.poll_pass(cx, |_, _| panic!("there is nothing"))).await;
        assert!(!passed.expect("an end"));
        assert!(link.is_closed() && !link.is_empty());
    }

    impl Io for BufWriter<Plain> {
        fn socket(&self) -> &TcpStream {
            self.get_ref().socket()
        }
    }

    #[tokio::test]
    async fn what_the_stream_holds_goes_with_a_flush() {
        let (plain, mut peer) = plain::tests::pair();
        let stream = BufWriter::with_capacity(READ, plain);
        let mut link = Link::new(Box::new(stream), BytesMut::new());
        let (mut written, piece) = (0, [b'x'; READ - 1]);
        while !link.is_held() {
            let more = poll_fn(|cx| link.poll_write(cx, &piece)).await;
            written += more.expect("written");
        }
        assert!(
            poll_fn(|cx| Poll::Ready(link.poll_flush(cx)))
                .await
                .is_pending()
        );
        let reading = thread::spawn(move || peer.read_exact(&mut vec![0; written]));
        poll_fn(|cx| link.poll_flush(cx)).await.expect("flushed");
        assert!(!link.is_held());
        reading.join().expect("no panic").expect("all of it");
    }

    #[tokio::test]
    async fn a_task_that_passes_on_is_woken_once_there_is_more() {
        let (mut link, mut peer) = pair();
        for _ in 0..2 {
            for _ in 0..3 {
                let passed = poll_fn(|cx| Poll::Ready(link.poll_pass(cx, |_, bytes| bytes.len())));
                assert!(passed.await.is_pending());
            }
            assert!(link.is_awaited);
            peer.write_all(b"word").expect("written");
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_secs(20)) => panic!("never woken"),
                passed = poll_fn(|cx| link.poll_pass(cx, |_, bytes| bytes.len())) => assert!(passed.expect("readable")),
            }
            assert!(link.is_empty());
        }
    }

    /// Takes one off the task's budget.
    fn take_one(cx: &mut Context<'_>) {
        assert!(std::pin::pin!(coop::consume_budget()).poll(cx).is_ready());
    }

    #[tokio::test]
    async fn what_came_over_an_idle_link_is_seen_before_the_runtime_hears_of_it() {
        let (left, leaving) = pair();
        let (told, mut telling) = pair();
        assert!(left.is_quiet() && told.is_quiet());
        // Nothing is awaited in between.
        drop(leaving);
        telling.write_all(b"HTTP/1.1 408").expect("written");
        assert!(!left.is_quiet());
        assert!(!told.is_quiet());
    }
}
