//! What the routes of the accounts API are given: bounded, typed, and refused in their own form.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Control;
use super::answer::No;
use crate::error::{Problem, Refusal};
use crate::wire::read_whole;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Text that can be kept: Postgres keeps no NUL.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.contains('\0') {
            true => Err(D::Error::custom("NUL is no character of a text")),
            false => Ok(Text(text)),
        }
    }
}

/// A body of JSON.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Control> for Input<T> {
    type Rejection = No;

    async fn from_request(request: Request, _: &Control) -> Result<Self, No> {
        let body = read(request).await?;
        Ok(Input(from_json_or_nothing(&body)?))
    }
}

/// A body of JSON, or of a form (RFC 6749 section 4.3.2).
pub(super) struct FormOrJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Control> for FormOrJson<T> {
    type Rejection = No;

    async fn from_request(request: Request, _: &Control) -> Result<Self, No> {
        let is_form = is_form(request.headers());
        let body = read(request).await?;
        // Tools call JSON a form when nobody tells them.
        let value = if is_form && !body.starts_with(b"{") {
            from_form(&body)?
        } else {
            from_json_or_nothing(&body)?
        };
        Ok(FormOrJson(value))
    }
}

/// A body of JSON, or none, which reads as `{}`.
pub(super) struct Perhaps<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Control> for Perhaps<T> {
    type Rejection = No;

    async fn from_request(request: Request, _: &Control) -> Result<Self, No> {
        let body = read(request).await?;
        let body: &[u8] = match body.trim_ascii() {
            b"" | b"null" => b"{}",
            body => body,
        };
        Ok(Perhaps(from_json(body)?))
    }
}

/// The id in a path.
pub(super) struct Id(pub(super) String);

impl FromRequestParts<Control> for Id {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, No> {
        let id = Path::<Text>::from_request_parts(parts, state).await;
        id.map(|Path(Text(id))| Id(id))
            .map_err(|_| problem("path", "id", "Use an id that is text without NUL.").into())
    }
}

/// A part of a list.
pub(super) struct Part {
    pub(super) search: String,
    pub(super) limit: i64,
    pub(super) offset: i64,
}

/// How many entries of a list come at once, unless said otherwise, and at the most.
const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;

impl FromRequestParts<Control> for Part {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, No> {
        let mut part = Part {
            search: String::new(),
            limit: LIMIT,
            offset: 0,
        };
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let number = |message| {
                let number = value.parse::<u32>().map(i64::from);
                number.map_err(|_| problem("query", &name, message))
            };
            match &*name {
                "search" if value.contains('\0') => {
                    return Err(problem("query", "search", "Leave out NUL.").into());
                }
                "search" => part.search = value.into_owned(),
                "limit" => part.limit = number("Use a number from 1 to 500.")?,
                "offset" => part.offset = number("Use a number from 0 on.")?,
                _ => {}
            }
        }
        if !(1..=MAX_LIMIT).contains(&part.limit) {
            return Err(problem("query", "limit", "Use a number from 1 to 500.").into());
        }
        Ok(part)
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.as_bytes());
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    kind.is_some_and(|kind| {
        kind.trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    let too_large = "A body is at most 64 KiB here.";
    read_whole(request.into_body(), MAX_BODY, too_large).await
}

fn from_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if fields.contains_key(&*name) {
            return Err(problem("body", &name, "Send this field once."));
        }
        fields.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    from_fields(fields)
}

/// The fields of an object, or all that is wrong with them.
fn from_fields<T: DeserializeOwned>(mut fields: Map<String, Value>) -> Result<T, Refusal> {
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let value = Value::Object(fields.clone());
        let error = match serde_path_to_error::deserialize(value) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(Refusal::over_fields(problems)),
            Err(error) => error,
        };
        let problem = shape(&error.path().to_string(), &error.inner().to_string());
        let field = problem.field.clone();
        let is_missing = !field.is_empty() && !fields.contains_key(&field);
        problems.push(problem);
        if !is_missing {
            return Err(Refusal::over_fields(problems));
        }
        // Stands in for what is missing, so that the next one is found.
        fields.insert(field, Value::String(String::new()));
    }
}

/// As [`from_json`]; an empty body is told what it should hold.
fn from_json_or_nothing<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if !body.trim_ascii().is_empty() {
        return from_json(body);
    }
    from_fields::<T>(Map::new())?;
    Err(problem("body", "", "Send a body of JSON."))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let inner = error.inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let found = shape(&error.path().to_string(), &inner.to_string());
                all_that_is_wrong::<T>(body, found)
            }
            _ => not_json(inner),
        }
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// What was found first, and whatever else is wrong.
fn all_that_is_wrong<T: DeserializeOwned>(body: &[u8], found: Problem) -> Refusal {
    let fields = serde_json::from_slice::<Map<String, Value>>(body);
    let all = fields
        .ok()
        .and_then(|fields| from_fields::<T>(fields).err());
    all.unwrap_or_else(|| Refusal::over_fields(vec![found]))
}

fn not_json(error: &serde_json::Error) -> Refusal {
    let place = format!("line {}, column {}", error.line(), error.column());
    problem("body", "", &format!("This is not JSON ({place})."))
}

/// A field that is missing, or not of its type. The library's words tell types apart; what was
/// sent is cut off, as it may be a password.
fn shape(path: &str, error: &str) -> Problem {
    if let Some(name) = error.strip_prefix("missing field `") {
        let name = name.split('`').next().unwrap_or_default();
        return body_problem(name, "This field is required.");
    }
    let expected = error.rsplit_once("expected ").map(|(_, kind)| kind);
    let kind = expected.and_then(|kind| kind.split(" at line").next());
    let message = match kind {
        Some(kind) => format!("This must be {kind}."),
        None => "This cannot be used as it is.".to_owned(),
    };
    body_problem(path.trim_matches('.'), &message)
}

fn body_problem(field: &str, message: &str) -> Problem {
    Problem {
        place: "body",
        field: field.to_owned(),
        message: message.to_owned().into(),
    }
}

pub(super) fn problem(place: &'static str, field: &str, message: &str) -> Refusal {
    Refusal::over_fields(vec![Problem {
        place,
        field: field.to_owned(),
        message: message.to_owned().into(),
    }])
}
