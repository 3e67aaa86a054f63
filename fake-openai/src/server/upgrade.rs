//! Judges an upgrade to WebSocket, answers it, and hands the socket to its session.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{dress, find_script, refuse, scripted_error};
use crate::realtime;
use crate::script::Script;
use crate::state::State;
use crate::strict;
use crate::wire::{Answer, Ending, Head, Input, write_answer};
use crate::ws::{self, Connection, Offer, Pace, Session, SocketRecord};

/// Serves a request that asks for a WebSocket, to the end of the socket.
pub(super) async fn serve<R, W>(
    input: &mut Input<R>,
    out: &mut W,
    state: &Arc<State>,
    head: &Head,
    at: Option<usize>,
) -> Ending
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let script = match strict::check_shape(head).and_then(|()| find_script(state, head, false)) {
        Ok(script) => script,
        Err(why) => return refuse(out, &why).await,
    };
    let (answer, accepted) = match judge(state, head, &script) {
        Ok((offer, session)) => {
            let selected = selected(&offer, &script);
            let answer = offer.accept(selected.as_deref(), script.socket.wrong_accept);
            let record = record(state, at, &offer, selected);
            (answer, Some((session, record)))
        }
        Err(refusal) => (*refusal, None),
    };
    let mut answer = dress(answer, state, &script);
    if let (Some(extension), Some(_)) = (&script.socket.extension, &accepted) {
        answer = answer.with("sec-websocket-extensions", extension);
    }
    let keep = accepted.is_some() || head.keeps_alive();
    let writing = async {
        tokio::time::sleep(script.delay).await;
        write_answer(out, answer, &script, false, keep, Duration::ZERO).await
    };
    let ending = tokio::select! {
        written = writing => written.unwrap_or(Ending::Close),
        // Nobody is left to answer.
        () = input.closed() => Ending::Close,
    };
    match (ending, accepted) {
        (Ending::Keep, Some((mut session, record))) => {
            let entry = state.sockets.add(record);
            let _served = entry.serve();
            let pace = pace(state, &script);
            let connection = {
                let (reader, begun) = input.upgraded();
                Connection::new((reader, out), &begun, &script, pace, entry)
            };
            connection.run(&mut *session).await
        }
        (ending, _) => ending,
    }
}

fn judge(
    state: &Arc<State>,
    head: &Head,
    script: &Script,
) -> Result<(Offer, Box<dyn Session>), Box<Answer>> {
    if let Some(status) = script.status {
        return Err(Box::new(scripted_error(status, script)));
    }
    let offer = ws::check(head)?;
    match realtime::session(state, head, &offer, script) {
        Ok(session) => Ok((offer, session)),
        Err(refusal) => Err(Box::new((*refusal).into())),
    }
}

/// The subprotocol that the answer names (wire.md 5.2).
fn selected(offer: &Offer, script: &Script) -> Option<String> {
    let realtime = offer.subprotocols.iter().find(|name| *name == "realtime");
    script.socket.subprotocol.clone().or(realtime.cloned())
}

fn record(
    state: &State,
    at: Option<usize>,
    offer: &Offer,
    selected: Option<String>,
) -> SocketRecord {
    let mut records = state.records();
    let request = at.and_then(|at| records.get_mut(at)).map(|request| {
        request.complete = true;
        request.clone()
    });
    SocketRecord {
        request: request.unwrap_or_default(),
        subprotocols: offer.subprotocols.clone(),
        selected,
        extensions: offer.extensions.clone(),
        deflate_offered: offer.has_deflate(),
        ..SocketRecord::default()
    }
}

fn pace(state: &State, script: &Script) -> Pace {
    let faults = &script.socket;
    Pace {
        ping: faults.ping.unwrap_or(state.ping_interval),
        life: faults.life.unwrap_or(state.session_length),
        pause: script.chunk_delay.unwrap_or(state.chunk_delay),
    }
}
