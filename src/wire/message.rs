//! Requests and answers as they travel through the relay, whichever version of HTTP carries them.

use http::uri::Authority;
use http::{Method, StatusCode, Uri, Version};
use hyper::ext::ReasonPhrase;

use super::target::Target;
use crate::fields::Fields;

/// A request.
#[derive(Debug)]
pub struct Request<B> {
    /// As sent.
    pub method: Method,
    /// As sent.
    pub target: Target,
    /// Of the client's own connection.
    pub version: Version,
    /// What HTTP/2 carries beside the fields.
    pub authority: Option<Authority>,
    /// The fields.
    pub fields: Fields,
    /// The body.
    pub body: B,
}

impl<B> Request<B> {
    /// The same for code that needs a URI and a map. A target that is no URI loses its query, or is
    /// the root.
    pub fn into_http(self) -> http::Request<B> {
        let uri =
            Uri::try_from(self.target.as_bytes()).or_else(|_| Uri::try_from(self.target.path()));
        let mut request = http::Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri.unwrap_or_default();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.fields.to_map();
        request
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer<B> {
    /// The status.
    pub status: StatusCode,
    /// Where it differs from the status's usual one.
    pub reason: Option<ReasonPhrase>,
    /// The fields.
    pub fields: Fields,
    /// The body.
    pub body: B,
}

impl<B> Answer<B> {
    /// An answer without fields.
    pub fn new(status: StatusCode, body: B) -> Answer<B> {
        Answer {
            status,
            reason: None,
            fields: Fields::new(),
            body,
        }
    }

    /// The same with another body.
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Answer<C> {
        Answer {
            status: self.status,
            reason: self.reason,
            fields: self.fields,
            body: change(self.body),
        }
    }

    /// The same for code that needs a map.
    pub fn into_http(self) -> http::Response<B> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields.to_map();
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl<B> From<http::Response<B>> for Answer<B> {
    fn from(response: http::Response<B>) -> Answer<B> {
        let (mut head, body) = response.into_parts();
        Answer {
            status: head.status,
            reason: head.extensions.remove::<ReasonPhrase>(),
            fields: Fields::from(&head.headers),
            body,
        }
    }
}
