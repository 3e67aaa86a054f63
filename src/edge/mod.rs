//! The edge: the whole path of a request on one screen, and what every answer wears.

mod address;
mod body;
mod caller;
mod cors;
mod offer;
mod route;
mod sanitize;
mod security;

use std::net::IpAddr;
use std::time::Instant;

use axum::Router;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use tower_service::Service;

pub use body::Body;

use crate::admission::{self, Ask, Claim, Gate, Permit, Right};
use crate::config::TrustedProxies;
use crate::error::{Door, Kind, Refusal};
use crate::relay::Relay;
use crate::wire::{ClientBody, Target};
use address::Address;
use route::Route;

/// Answers requests, whichever connection they come from.
pub struct Edge {
    gate: Gate,
    relay: Relay,
    control: Router,
    trusted_proxies: TrustedProxies,
}

impl Edge {
    /// An edge in front of these rooms.
    pub fn new(gate: Gate, relay: Relay, control: Router, trusted_proxies: TrustedProxies) -> Edge {
        Edge {
            gate,
            relay,
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
        let answered = if is_preflight {
            preflight(&request, listed_origin.is_some())
        } else {
            self.answer(peer, &target, request).await
        };
        let mut response =
            answered.unwrap_or_else(|refusal| refusal.into_response(door).map(Body::whole));
        let headers = response.headers_mut();
        cors::apply(headers, listed_origin.as_ref(), is_preflight);
        security::apply(headers, is_relayed);
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

    /// Route → caller → gate → mover.
    async fn answer(
        &self,
        peer: IpAddr,
        target: &Target,
        request: Request<ClientBody>,
    ) -> Result<Response<Body>, Refusal> {
        let address = address::client_address(request.headers(), peer, &self.trusted_proxies);
        let facts = admission::Request {
            method: request.method().clone(),
            path: target.path_text().into_owned(),
            client: address.ip,
            start: Instant::now(),
        };
        let route = find_route(target, &request).map_err(|no| self.gate.turn_away(no, &facts))?;
        match route {
            Route::Control => Ok(self.control(request).await),
            Route::Http(right) => {
                let claim = caller::read_claim(request.headers(), false);
                let permit = self.admit(request.headers(), address, claim, right, facts)?;
                let response = self.relay.http(permit, target, request).await?;
                Ok(response.map(Body::Relayed))
            }
            Route::Offer => {
                let (head, body) = request.into_parts();
                let offer = offer::read(body).await;
                let offer = offer.map_err(|no| self.gate.turn_away(no, &facts))?;
                let claim = match offer.token() {
                    Some(token) => Claim::Token(token),
                    None => caller::read_claim(&head.headers, false),
                };
                let permit = self.admit(&head.headers, address, claim, Right::Offer, facts)?;
                let response = self.relay.offer(permit, offer).await?;
                Ok(response.map(Body::whole))
            }
            Route::Socket(right) => {
                let claim = caller::read_claim(request.headers(), true);
                let permit = self.admit(request.headers(), address, claim, right, facts)?;
                Err(self.relay.socket(permit))
            }
        }
    }

    fn admit(
        &self,
        headers: &HeaderMap,
        address: Address,
        claim: Claim<'_>,
        right: Right,
        facts: admission::Request,
    ) -> Result<Permit, Refusal> {
        let ask = Ask {
            claim,
            right,
            origin: headers
                .get(header::ORIGIN)
                .and_then(|origin| origin.to_str().ok()),
            is_upgrade: headers.contains_key(header::UPGRADE),
            direct_loopback: address.direct_loopback,
        };
        self.gate.admit(&ask, facts)
    }

    async fn control(&self, request: Request<ClientBody>) -> Response<Body> {
        let mut router = self.control.clone();
        match router.call(request).await {
            Ok(response) => response.map(Body::Control),
            Err(never) => match never {},
        }
    }

    fn listed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let is_listed = self.gate.is_origin_listed(origin.to_str().ok()?);
        is_listed.then(|| origin.clone())
    }
}

fn find_route(target: &Target, request: &Request<ClientBody>) -> Result<Route, Refusal> {
    let method = request.method();
    let authority = match request.version() {
        Version::HTTP_2 => request.uri().authority(),
        _ => None,
    };
    let upgrade = sanitize::sanitize(method, target, authority, request.headers())?;
    route::route(method, &target.path_text(), upgrade)
}

fn preflight(request: &Request<ClientBody>, is_listed: bool) -> Result<Response<Body>, Refusal> {
    if is_listed {
        return Ok(cors::preflight(request.headers()).map(Body::whole));
    }
    Err(Refusal::new(
        Kind::OriginNotAllowed,
        "This page's origin is not on the relay's list. The operator can add it to ALLOWED_ORIGINS.",
    ))
}
