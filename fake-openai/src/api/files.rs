//! `/v1/files`: kept in memory, given back byte for byte.

use serde_json::{Value, json};

use super::Request;
use crate::errors;
use crate::multipart::Form;
use crate::state::{Object, State, now};
use crate::wire::Answer;

/// One file may have 512 MB (wire.md 1.1).
const MAX_FILE: usize = 512 * 1024 * 1024;
const PURPOSES: [&str; 6] = [
    "assistants",
    "batch",
    "fine-tune",
    "vision",
    "user_data",
    "evals",
];

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    let content_type = request.head.get("content-type").unwrap_or_default();
    let form = match Form::parse(content_type, request.body) {
        Ok(form) => form,
        Err(why) => return errors::bad_request(&why).into(),
    };
    let Some(purpose) = form.text("purpose") else {
        return errors::missing("purpose").into();
    };
    if !PURPOSES.contains(&purpose) {
        let message = format!("'{purpose}' is not one of {PURPOSES:?} - 'purpose'");
        return errors::bad_param("purpose", "invalid_value", &message).into();
    }
    let Some(file) = form.part("file") else {
        return errors::missing("file").into();
    };
    if file.bytes.len() > MAX_FILE {
        return errors::bad_request("The file is larger than 512 MB.").into();
    }
    let name = file.filename.as_deref().unwrap_or("upload");
    Answer::ok(&keep(request.state, name, purpose, file.bytes.to_vec()))
}

/// Stores a file and describes it.
pub(super) fn keep(state: &State, name: &str, purpose: &str, bytes: Vec<u8>) -> Value {
    let id = state.id("file-");
    let json = json!({
        "id": id,
        "object": "file",
        "bytes": bytes.len(),
        "created_at": now(),
        "expires_at": null,
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": null,
    });
    let object = Object {
        json: json.clone(),
        bytes,
    };
    state.store(&id, object);
    json
}

pub(super) fn list(request: &Request<'_>, _: &[&str]) -> Answer {
    let data = request.state.list("file-");
    Answer::ok(&json!({ "object": "list", "data": data, "has_more": false }))
}

pub(super) fn one(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.object(id) {
        Some(object) => Answer::ok(&object.json),
        None => errors::no_object("File", id).into(),
    }
}

pub(super) fn delete(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.remove(id) {
        Some(_) => Answer::ok(&json!({ "id": id, "object": "file", "deleted": true })),
        None => errors::no_object("File", id).into(),
    }
}

pub(super) fn content(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.object(id) {
        Some(object) => {
            let name = object.json["filename"].as_str().unwrap_or("file");
            let disposition = format!("attachment; filename=\"{name}\"");
            Answer::new(200, "application/octet-stream", object.bytes)
                .with("content-disposition", disposition)
        }
        None => errors::no_object("File", id).into(),
    }
}
