//! The edge: the whole path of a request on one screen, and what every answer wears.

mod address;
mod body;
mod caller;
mod cors;
mod finish;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod offer;
mod route;
mod sanitize;
mod security;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use http::{HeaderValue, StatusCode, header};
use tower_service::Service;

pub use crate::relay::{Life, Socket};
pub use body::Body;

use crate::admission::{self, Caller, Gate, Permit, Right, Visitor};
use crate::config::TrustedProxies;
use crate::error::{Door, Kind, Refusal};
use crate::family::Family;
use crate::fields::Fields;
use crate::relay::{Farewell, Handshake, OfferDraft, Opened, Relay};
use crate::wire::{Answer, ClientBody, Request, Target};
use address::Address;
use finish::Finish;
use route::Route;

/// Answers requests, whichever connection they come from.
pub struct Edge {
    gate: Arc<Gate>,
    relay: Arc<Relay>,
    control: Router,
    trusted_proxies: TrustedProxies,
}

impl Edge {
    /// An edge in front of these rooms.
    pub fn new(
        gate: Arc<Gate>,
        relay: Relay,
        control: Router,
        trusted_proxies: TrustedProxies,
    ) -> Edge {
        Edge {
            gate,
            relay: Arc::new(relay),
            control,
            trusted_proxies,
        }
    }

    /// Answers one request. Every answer leaves through here, refusals included. The request is boxed,
    /// because it goes from room to room.
    pub async fn dispatch(&self, peer: IpAddr, request: Box<Request<ClientBody>>) -> Answer<Body> {
        let path = request.target.path();
        let (door, is_relayed) = (Door::of(path), path.starts_with(b"/v1/"));
        let is_preflight = cors::is_preflight(&request.method, &request.fields);
        let listed_origin = self.listed_origin(&request.fields);
        let mut answer = match self.answer(peer, request).await {
            Ok(answer) => answer,
            Err(refusal) => Answer::from(refusal.into_response(door)).map(Body::whole),
        };
        let is_socket = answer.status == StatusCode::SWITCHING_PROTOCOLS;
        cors::apply(&mut answer.fields, listed_origin.as_ref(), is_preflight);
        security::apply(&mut answer.fields, is_relayed || is_socket);
        answer
    }

    /// The answer to something that is no request, or to one that the relay made a mistake over.
    pub fn refuse(&self, peer: IpAddr, refusal: Refusal) -> Answer<Body> {
        let facts = admission::Request::unreadable(peer, Instant::now());
        let refusal = self.gate.turn_away(refusal, &facts);
        let mut answer = Answer::from(refusal.into_response(Door::OpenAi)).map(Body::whole);
        security::apply(&mut answer.fields, true);
        answer
    }

    /// Route → caller → gate → mover. What is not the common way is boxed, so that the common one
    /// stays small.
    async fn answer(
        &self,
        peer: IpAddr,
        request: Box<Request<ClientBody>>,
    ) -> Result<Answer<Body>, Refusal> {
        let address = address::client_address(&request.fields, peer, &self.trusted_proxies);
        let facts = admission::Request {
            method: request.method.clone(),
            path: request.target.path_text().into(),
            client: address.ip,
            start: Instant::now(),
        };
        let route = self.find_route(&request, &facts.path);
        let route = route.map_err(|no| self.gate.turn_away(no, &facts))?;
        let caller = Caller {
            claim: caller::read_claim(&request.fields, matches!(route, Route::Socket(_))),
            origin: request.fields.text(&header::ORIGIN),
            client: address.ip,
            direct_loopback: address.direct_loopback,
        };
        let calls = route::calls(&request.target).map_err(|no| self.gate.turn_away(no, &facts))?;
        let family = Family::of_path(&facts.path);
        match route {
            Route::Preflight => Ok(cors::preflight(&request.fields).map(Body::whole)),
            Route::Chat(chat) if self.gate.accounts().is_some() => {
                let ask = caller.ask_for(Right::User, family);
                let permit = self.gate.admit(&ask, facts).await?;
                let answer = Box::pin(self.relay.chat(permit, chat, *request)).await?;
                Ok(answer.map(Body::answered))
            }
            Route::Control | Route::Chat(_) => {
                let visitor = Visitor::new(&caller);
                Ok(Box::pin(self.control(visitor, request, &facts)).await)
            }
            Route::Http(right) => {
                let ask = caller.ask_about(right, family, &calls);
                let permit = self.gate.admit(&ask, facts).await?;
                self.http(permit, right, request).await
            }
            Route::Offer => {
                let Request { fields, body, .. } = *request;
                Box::pin(self.offer(&fields, body, address, facts)).await
            }
            Route::Socket(right) => {
                let handshake = Handshake::read(&request);
                let handshake = handshake.map_err(|no| self.gate.turn_away(no, &facts))?;
                let ask = caller.ask_about(right, family, &calls).to_upgrade();
                let admitted = self.gate.admit(&ask, facts).await;
                let Request { target, fields, .. } = *request;
                Box::pin(self.socket(admitted, target, fields, &handshake)).await
            }
        }
    }

    async fn http(
        &self,
        permit: Box<Permit>,
        right: Right,
        request: Box<Request<ClientBody>>,
    ) -> Result<Answer<Body>, Refusal> {
        let answer = match right {
            Right::ClientSecret => Box::pin(self.relay.secret(permit, request)).await?,
            _ if permit.principal().finishes() => {
                return Box::pin(self.finished(permit, request)).await;
            }
            _ => self.relay.http(permit, request).await?,
        };
        Ok(answer.map(Body::answered))
    }

    /// The same for a caller whose requests go on without it. What it did not send of one by then
    /// will not come, and ends it.
    async fn finished(
        &self,
        permit: Box<Permit>,
        request: Box<Request<ClientBody>>,
    ) -> Result<Answer<Body>, Refusal> {
        let (relay, gate) = (Arc::clone(&self.relay), Arc::clone(&self.gate));
        let work = async move {
            let answer = relay.http(permit, request).await?;
            Ok(answer.map(|body| Body::kept(body, &gate)))
        };
        Finish::new(work, &self.gate).await
    }

    /// Whoever may not do it hears nothing about what was wrong with the offer.
    async fn offer(
        &self,
        fields: &Fields,
        body: ClientBody,
        address: Address,
        facts: admission::Request,
    ) -> Result<Answer<Body>, Refusal> {
        let draft = offer::read(body).await;
        let token = draft.as_ref().ok().and_then(OfferDraft::token);
        let caller = Caller {
            claim: match token {
                Some(token) => caller::read_token(token),
                None => caller::read_claim(fields, false),
            },
            origin: fields.text(&header::ORIGIN),
            client: address.ip,
            direct_loopback: address.direct_loopback,
        };
        let ask = caller.ask_for(Right::Offer, Family::of_path(&facts.path));
        let permit = self.gate.admit(&ask, facts).await?;
        let answer = self.relay.offer(permit, draft).await?;
        Ok(answer.map(Body::whole))
    }

    /// A page cannot read the answer to a failed upgrade: it gets a socket that says why. A page
    /// that is not on the list gets none.
    async fn socket(
        &self,
        admitted: Result<Box<Permit>, Refusal>,
        target: Target,
        fields: Fields,
        handshake: &Handshake,
    ) -> Result<Answer<Body>, Refusal> {
        let opened = match admitted {
            Ok(permit) => self.relay.open(permit, &target, fields, handshake).await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(Opened::Socket(answer)) => Ok(answer.map(Body::socket)),
            Ok(Opened::Refused(answer)) => Ok(answer.map(Body::Relayed)),
            Err(refusal) if handshake.is_page() && refusal.kind() != Kind::OriginNotAllowed => {
                let farewell = Farewell::of_refusal(handshake, &refusal, &target.path_text());
                Ok(farewell.map(|farewell| Body::socket(Socket::Farewell(farewell))))
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn control(
        &self,
        visitor: Visitor,
        request: Box<Request<ClientBody>>,
        facts: &admission::Request,
    ) -> Answer<Body> {
        let mut request = request.into_http();
        request.extensions_mut().insert(visitor.clone());
        let mut router = self.control.clone();
        let answered = if request.method().is_safe() {
            router.call(request).await
        } else {
            Finish::of(request, &self.gate, |request| router.call(request)).await
        };
        let response = match answered {
            Ok(response) => response.map(Body::Control),
            Err(never) => match never {},
        };
        if let Some(refusal) = response.extensions().get::<Refusal>() {
            self.gate.turn_away(refusal.clone(), facts);
        }
        let mut answer = Answer::from(response);
        if let Some(allowance) = visitor.allowance() {
            allowance.write(&mut answer.fields);
        }
        answer
    }

    fn find_route(&self, request: &Request<ClientBody>, path: &str) -> Result<Route, Refusal> {
        let upgrade = sanitize::sanitize(request)?;
        if cors::is_preflight(&request.method, &request.fields) {
            let origin = request.fields.text(&header::ORIGIN);
            self.gate.check_preflight(origin)?;
            return Ok(Route::Preflight);
        }
        route::route(&request.method, path, upgrade)
    }

    fn listed_origin(&self, fields: &Fields) -> Option<HeaderValue> {
        let origin = fields.text(&header::ORIGIN)?;
        let is_listed = self.gate.is_origin_listed(origin);
        is_listed.then(|| HeaderValue::from_str(origin).ok())?
    }
}
