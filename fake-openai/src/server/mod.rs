//! Accepts connections and drives each of them: read, judge, answer, as scripted.

mod dress;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::api::{self, Request};
use crate::errors;
use crate::script::{Hang, Script};
use crate::state::State;
use crate::strict;
use crate::wire::{Answer, Ending, Head, Input, ReadError, write_answer};
use crate::ws;
use dress::dress;

/// Accepts until the server stops; everything it began ends then too.
pub(crate) fn spawn(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: &Arc<State>) {
    let accepting = Arc::clone(state);
    state.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let number = accepting.accepted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, state) = (acceptor.clone(), Arc::clone(&accepting));
            accepting.spawn(async move {
                let _open = Open::count(&state);
                serve(stream, acceptor, &state, number).await;
            });
        }
    });
}

/// Counts a connection for as long as it is open, a panic included.
struct Open<'a>(&'a State);

impl Open<'_> {
    fn count(state: &State) -> Open<'_> {
        state.open.fetch_add(1, Ordering::SeqCst);
        Open(state)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    state: &Arc<State>,
    number: usize,
) {
    // Without it small chunks wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let Ok(twin) = stream.try_clone() else {
        return;
    };
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let ending = match acceptor {
        None => drive(stream, state, number).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => {
                let kind = stream.get_ref().1.handshake_kind();
                let resumed = usize::from(kind == Some(HandshakeKind::Resumed));
                state.resumed.fetch_add(resumed, Ordering::SeqCst);
                drive(stream, state, number).await
            }
            Err(_) => Ending::Close,
        },
    };
    if ending == Ending::Reset {
        // With no time to linger, closing sends RST.
        let _ = socket2::SockRef::from(&twin).set_linger(Some(Duration::ZERO));
    }
}

/// Request after request, until one of them ends the connection.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    state: &Arc<State>,
    number: usize,
) -> Ending {
    let (reader, mut out) = tokio::io::split(stream);
    let mut input = Input::new(reader);
    loop {
        let ending = exchange(&mut input, &mut out, state, number).await;
        match ending {
            Ending::Keep => {}
            Ending::Hang => {
                input.closed().await;
                return Ending::Close;
            }
            Ending::Close => {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut out).await;
                return Ending::Close;
            }
            Ending::Reset => return Ending::Reset,
        }
    }
}

async fn exchange<R, W>(
    input: &mut Input<R>,
    out: &mut W,
    state: &Arc<State>,
    number: usize,
) -> Ending
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let head = match input.head().await {
        Ok(head) => head,
        Err(ReadError::Gone) => return Ending::Close,
        Err(ReadError::Malformed(why)) => return refuse(out, &why).await,
    };
    let is_control = head.path().starts_with("/__fake/");
    let at = (!is_control).then(|| begin_record(state, &head, number));
    if !is_control && ws::is_asked(&head) {
        return upgrade::serve(input, out, state, &head, at).await;
    }
    let (answer, script) = match prepare(input, out, state, &head, at).await {
        Ok(prepared) => prepared,
        Err(ending) => return ending,
    };
    let answer = dress(answer, state, &script);
    let keep = head.keeps_alive();
    let is_head = head.method == "HEAD";
    let writing = async {
        tokio::time::sleep(script.delay).await;
        if head.path() == "/v1/_fake/informational" {
            let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(out, hint).await?;
        }
        write_answer(out, answer, &script, is_head, keep, state.chunk_delay).await
    };
    tokio::select! {
        written = writing => written.unwrap_or(Ending::Close),
        // Nobody is left to answer.
        () = input.closed() => Ending::Close,
    }
}

fn begin_record(state: &State, head: &Head, number: usize) -> usize {
    let mut records = state.records();
    records.push(head.record(number));
    records.len() - 1
}

/// Judges the request, reads its body, and finds the answer and the script.
async fn prepare<R, W>(
    input: &mut Input<R>,
    out: &mut W,
    state: &State,
    head: &Head,
    at: Option<usize>,
) -> Result<(Answer, Script), Ending>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let Err(why) = strict::check_shape(head) {
        return Err(refuse(out, &why).await);
    }
    let script = match find_script(state, head, at.is_none()) {
        Ok(script) => script,
        Err(why) => return Err(refuse(out, &why).await),
    };
    if script.hang == Some(Hang::AcceptBody) {
        return Err(Ending::Hang);
    }
    if head.expects_continue() {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        let written = tokio::io::AsyncWriteExt::write_all(out, go_on).await;
        written.map_err(|_| Ending::Close)?;
    }
    let note = |change: &dyn Fn(&mut crate::Received)| {
        let mut records = state.records();
        if let Some(record) = at.and_then(|at| records.get_mut(at)) {
            change(record);
        }
    };
    let body = match input.body(head, note).await {
        Ok(body) => body,
        Err(ReadError::Gone) => return Err(Ending::Close),
        Err(ReadError::Malformed(why)) => return Err(refuse(out, &why).await),
    };
    let answer = match script.status {
        Some(status) => scripted_error(status, &script),
        None => match strict::identify(state, head) {
            Ok(caller) => api::answer(&Request {
                head,
                body: &body,
                caller: &caller,
                state,
            }),
            Err(refusal) => (*refusal).into(),
        },
    };
    Ok((answer, script))
}

/// The script of this request: its own header's, else the next that a test pushed.
fn find_script(state: &State, head: &Head, is_control: bool) -> Result<Script, String> {
    if is_control {
        return Ok(Script::default());
    }
    let script = match head.get("x-fake-script") {
        Some(text) => text.parse()?,
        None => state.next_script().unwrap_or_default(),
    };
    let applies = match (&script.key, script.times) {
        (Some(key), Some(times)) => state.script_applies(key, times),
        _ => true,
    };
    Ok(if applies { script } else { Script::default() })
}

fn scripted_error(status: u16, script: &Script) -> Answer {
    if script.html {
        return Answer::new(status, "text/html", errors::cloudflare_html(status));
    }
    let (kind, code, message) = errors::usual(status);
    let kind = script.kind.as_deref().unwrap_or(kind);
    let code = script.code.as_deref().or(code);
    errors::error(status, kind, code, None, message).into()
}

/// 400 and close, as a server does that cannot know where the next request begins.
async fn refuse<W: AsyncWrite + Unpin>(out: &mut W, why: &str) -> Ending {
    let error = errors::bad_request(&format!("fake-openai refuses the request: {why}"));
    let script = Script::default();
    let _ = write_answer(out, error.into(), &script, false, false, Duration::ZERO).await;
    Ending::Close
}
