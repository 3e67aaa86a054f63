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
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use tower_service::Service;

pub use crate::relay::{Life, Socket};
pub use body::Body;

use crate::admission::{self, Caller, Gate, Permit, Right, Visitor};
use crate::config::TrustedProxies;
use crate::error::{Door, Kind, Refusal};
use crate::family::Family;
use crate::relay::{Farewell, Handshake, OfferDraft, Opened, Relay};
use crate::wire::{ClientBody, Target};
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

    /// Answers one request. Every answer leaves through here, refusals included.
    pub async fn dispatch(
        &self,
        peer: IpAddr,
        target: Target,
        request: Request<ClientBody>,
    ) -> Response<Body> {
        let path = target.path_text();
        let (door, is_relayed) = (Door::of(&path), path.starts_with("/v1/"));
        let is_preflight = cors::is_preflight(request.method(), request.headers());
        let listed_origin = self.listed_origin(request.headers());
        let answered = self.answer(peer, &target, request).await;
        let mut response =
            answered.unwrap_or_else(|refusal| refusal.into_response(door).map(Body::whole));
        let is_socket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        cors::apply(headers, listed_origin.as_ref(), is_preflight);
        security::apply(headers, is_relayed || is_socket);
        response
    }

    /// The answer to something that is no request, or to one that the relay made a mistake over.
    pub fn refuse(&self, peer: IpAddr, refusal: Refusal) -> Response<Body> {
        let facts = admission::Request::unreadable(peer, Instant::now());
        let refusal = self.gate.turn_away(refusal, &facts);
        let mut response = refusal.into_response(Door::OpenAi).map(Body::whole);
        security::apply(response.headers_mut(), true);
        response
    }

    /// Route → caller → gate → mover. What is not the common way is boxed, so that the common one
    /// stays small.
    async fn answer(
        &self,
        peer: IpAddr,
        target: &Target,
        request: Request<ClientBody>,
    ) -> Result<Response<Body>, Refusal> {
        let address = address::client_address(request.headers(), peer, &self.trusted_proxies);
        let facts = admission::Request {
            method: request.method().clone(),
            path: target.path_text().into(),
            client: address.ip,
            start: Instant::now(),
        };
        let route = self.find_route(target, &request);
        let route = route.map_err(|no| self.gate.turn_away(no, &facts))?;
        let caller = Caller {
            claim: caller::read_claim(request.headers(), matches!(route, Route::Socket(_))),
            origin: origin(request.headers()),
            client: address.ip,
            direct_loopback: address.direct_loopback,
        };
        let calls = route::calls(target).map_err(|no| self.gate.turn_away(no, &facts))?;
        let family = Family::of_path(&facts.path);
        match route {
            Route::Preflight => Ok(cors::preflight(request.headers()).map(Body::whole)),
            Route::Chat(chat) if self.gate.accounts().is_some() => {
                let ask = caller.ask_for(Right::User, family);
                let permit = self.gate.admit(&ask, facts).await?;
                let response = Box::pin(self.relay.chat(permit, chat, request)).await?;
                Ok(response.map(Body::answered))
            }
            Route::Control | Route::Chat(_) => {
                let visitor = Visitor::new(&caller);
                Ok(Box::pin(self.control(visitor, request, &facts)).await)
            }
            Route::Http(right) => {
                let ask = caller.ask_about(right, family, &calls);
                let permit = self.gate.admit(&ask, facts).await?;
                self.http(permit, right, target, request).await
            }
            Route::Offer => {
                let (head, body) = request.into_parts();
                Box::pin(self.offer(&head.headers, body, address, facts)).await
            }
            Route::Socket(right) => {
                let has_body = !request.body().is_end_stream();
                let handshake = Handshake::read(
                    request.method(),
                    request.version(),
                    request.headers(),
                    has_body,
                );
                let handshake = handshake.map_err(|no| self.gate.turn_away(no, &facts))?;
                let ask = caller.ask_about(right, family, &calls).to_upgrade();
                let admitted = self.gate.admit(&ask, facts).await;
                let headers = request.headers().clone();
                Box::pin(self.socket(admitted, target, headers, &handshake)).await
            }
        }
    }

    async fn http(
        &self,
        permit: Permit,
        right: Right,
        target: &Target,
        request: Request<ClientBody>,
    ) -> Result<Response<Body>, Refusal> {
        let response = match right {
            Right::ClientSecret => Box::pin(self.relay.secret(permit, target, request)).await?,
            _ if permit.principal().finishes() => {
                return Box::pin(self.finished(permit, target, request)).await;
            }
            _ => self.relay.http(permit, target, request).await?,
        };
        Ok(response.map(Body::answered))
    }

    /// The same for a caller whose requests go on without it. What it did not send of one by then
    /// will not come, and ends it.
    async fn finished(
        &self,
        permit: Permit,
        target: &Target,
        request: Request<ClientBody>,
    ) -> Result<Response<Body>, Refusal> {
        let (relay, gate) = (Arc::clone(&self.relay), Arc::clone(&self.gate));
        let target = target.clone();
        let work = async move {
            let answer = relay.http(permit, &target, request).await?;
            Ok(answer.map(|body| Body::kept(body, &gate)))
        };
        Finish::new(work, &self.gate).await
    }

    /// Whoever may not do it hears nothing about what was wrong with the offer.
    async fn offer(
        &self,
        headers: &HeaderMap,
        body: ClientBody,
        address: Address,
        facts: admission::Request,
    ) -> Result<Response<Body>, Refusal> {
        let draft = offer::read(body).await;
        let token = draft.as_ref().ok().and_then(OfferDraft::token);
        let caller = Caller {
            claim: match token {
                Some(token) => caller::read_token(token),
                None => caller::read_claim(headers, false),
            },
            origin: origin(headers),
            client: address.ip,
            direct_loopback: address.direct_loopback,
        };
        let ask = caller.ask_for(Right::Offer, Family::of_path(&facts.path));
        let permit = self.gate.admit(&ask, facts).await?;
        let response = self.relay.offer(permit, draft).await?;
        Ok(response.map(Body::whole))
    }

    /// A page cannot read the answer to a failed upgrade: it gets a socket that says why. A page
    /// that is not on the list gets none.
    async fn socket(
        &self,
        admitted: Result<Permit, Refusal>,
        target: &Target,
        headers: HeaderMap,
        handshake: &Handshake,
    ) -> Result<Response<Body>, Refusal> {
        let opened = match admitted {
            Ok(permit) => self.relay.open(permit, target, headers, handshake).await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(Opened::Socket(response)) => Ok(response.map(Body::socket)),
            Ok(Opened::Refused(response)) => Ok((*response).map(Body::Relayed)),
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
        mut request: Request<ClientBody>,
        facts: &admission::Request,
    ) -> Response<Body> {
        request.extensions_mut().insert(visitor.clone());
        let mut router = self.control.clone();
        let answered = if request.method().is_safe() {
            router.call(request).await
        } else {
            Finish::of(request, &self.gate, |request| router.call(request)).await
        };
        let mut response = match answered {
            Ok(response) => response.map(Body::Control),
            Err(never) => match never {},
        };
        if let Some(allowance) = visitor.allowance() {
            allowance.write(response.headers_mut());
        }
        if let Some(refusal) = response.extensions().get::<Refusal>() {
            self.gate.turn_away(refusal.clone(), facts);
        }
        response
    }

    fn find_route(&self, target: &Target, request: &Request<ClientBody>) -> Result<Route, Refusal> {
        let (method, headers) = (request.method(), request.headers());
        let authority = match request.version() {
            Version::HTTP_2 => request.uri().authority(),
            _ => None,
        };
        let upgrade = sanitize::sanitize(request.version(), method, target, authority, headers)?;
        if cors::is_preflight(method, headers) {
            self.gate.check_preflight(origin(headers))?;
            return Ok(Route::Preflight);
        }
        route::route(method, &target.path_text(), upgrade)
    }

    fn listed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let is_listed = self.gate.is_origin_listed(origin.to_str().ok()?);
        is_listed.then(|| origin.clone())
    }
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok())
}
