//! A WebSocket to the upstream: the handshake of its client side (RFC 6455 section 4.1), on a
//! connection of its own.

use http::{HeaderValue, Method, StatusCode, header};

use super::body::{RequestBody, Sent};
use super::reply::Exchange;
use super::{Credential, Fault, Outgoing, Reply, Upstream, headers};
use crate::fields::{self, Fields};
use crate::wire::{Link, ResponseHead};

/// A request for a socket.
pub struct SocketRequest<'a> {
    /// Path and query, from `/v1/` on.
    pub target: &'a [u8],
    /// The client's fields; what must not travel is removed here.
    pub fields: Fields,
    /// Whose credential.
    pub credential: Credential<'a>,
    /// Whether the caller may name an organization and a project.
    pub may_name_organization: bool,
    /// A new `Sec-WebSocket-Key`, and the answer to it.
    pub key: HeaderValue,
    /// What proves that the upstream understood.
    pub accept: HeaderValue,
    /// The subprotocol to offer.
    pub protocol: Option<&'static str>,
}

/// What the upstream answers.
pub enum SocketAnswer {
    /// It is a socket. The fields are what the client may see beside the handshake.
    Switched(Link, Fields),
    /// It is none.
    Refused(Box<Reply>),
}

impl Upstream {
    /// Dials, and asks for a socket.
    pub async fn open(&self, request: SocketRequest<'_>) -> Result<SocketAnswer, Fault> {
        let endpoint = self.endpoint_of_sockets(request.target);
        // First: many wait for that at once, and what is written to it takes memory. A new one, which belongs
        // to this thread's runtime: a session's task counts on that.
        let lease = endpoint.pool.lease_new().await?;
        let mut fields = request.fields;
        headers::strip_socket_request(&mut fields);
        let outgoing = Outgoing {
            method: Method::GET,
            target: request.target,
            fields,
            credential: request.credential,
            may_name_organization: request.may_name_organization,
            body: RequestBody::whole(bytes::Bytes::new(), Sent::default()),
        };
        let upgrade = [
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            ),
            (header::SEC_WEBSOCKET_KEY, request.key),
        ];
        let protocol = request.protocol.map(HeaderValue::from_static);
        let protocol = protocol.map(|value| (header::SEC_WEBSOCKET_PROTOCOL, value));
        let upload = self.prepare(endpoint, outgoing, upgrade.into_iter().chain(protocol));
        let mut exchange = Exchange::new(lease, upload, self.read_timeout).switching();
        let mut head = exchange.head(&Method::GET).await?;
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            let reply = self.reply(endpoint, exchange, head);
            return Ok(SocketAnswer::Refused(Box::new(reply)));
        }
        check(&head, &request.accept, request.protocol)
            .map_err(|why| Fault::Broken(format!("its answer to the WebSocket handshake {why}")))?;
        headers::strip_response(&mut head.fields);
        headers::strip_socket_answer(&mut head.fields);
        Ok(SocketAnswer::Switched(exchange.into_link(), head.fields))
    }
}

/// RFC 6455 section 4.1, what a client must check.
fn check(
    head: &ResponseHead,
    accept: &HeaderValue,
    protocol: Option<&'static str>,
) -> Result<(), &'static str> {
    let fields = &head.fields;
    if !fields::lists(fields, &header::UPGRADE, "websocket")
        || !fields::lists(fields, &header::CONNECTION, "upgrade")
    {
        return Err("does not name the protocol");
    }
    if fields.get(&header::SEC_WEBSOCKET_ACCEPT) != Some(accept.as_bytes()) {
        return Err("does not fit the key");
    }
    if fields.contains(&header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err("chooses an extension that was not offered");
    }
    let chosen = fields.get(&header::SEC_WEBSOCKET_PROTOCOL);
    let offered = protocol.map(str::as_bytes);
    if chosen.is_some() && chosen != offered {
        return Err("chooses a subprotocol that was not offered");
    }
    Ok(())
}
