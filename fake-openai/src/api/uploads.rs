//! `/v1/uploads`: a large file in parts of at most 64 MB.

use serde_json::{Value, json};

use super::Request;
use super::files;
use super::json::{Refused, needed, object, settle};
use crate::errors;
use crate::multipart::Form;
use crate::state::{Object, now};
use crate::wire::Answer;

const KNOWN: [&str; 5] = ["bytes", "expires_after", "filename", "mime_type", "purpose"];
const MAX_PART: usize = 64 * 1024 * 1024;

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    for name in ["bytes", "filename", "mime_type", "purpose"] {
        needed(&body, name)?;
    }
    let id = request.state.id("upload_");
    let json = json!({
        "id": id,
        "object": "upload",
        "bytes": body["bytes"],
        "created_at": now(),
        "filename": body["filename"],
        "purpose": body["purpose"],
        "status": "pending",
        "expires_at": now() + 3600,
        "file": null,
    });
    let upload = Object {
        json: json.clone(),
        bytes: Vec::new(),
    };
    request.state.store(&id, upload);
    Ok(Answer::ok(&json))
}

pub(super) fn part(request: &Request<'_>, ids: &[&str]) -> Answer {
    let upload = ids.first().copied().unwrap_or_default();
    if request.state.object(upload).is_none() {
        return errors::no_object("Upload", upload).into();
    }
    let content_type = request.head.get("content-type").unwrap_or_default();
    let form = match Form::parse(content_type, request.body) {
        Ok(form) => form,
        Err(why) => return errors::bad_request(&why).into(),
    };
    let Some(piece) = form.part("data") else {
        return errors::missing("data").into();
    };
    if piece.bytes.len() > MAX_PART {
        return errors::bad_request("A part is larger than 64 MB.").into();
    }
    let id = request.state.id("part_");
    let json =
        json!({ "id": id, "object": "upload.part", "created_at": now(), "upload_id": upload });
    let part = Object {
        json: json.clone(),
        bytes: piece.bytes.to_vec(),
    };
    request.state.store(&id, part);
    Answer::ok(&json)
}

pub(super) fn complete(request: &Request<'_>, ids: &[&str]) -> Answer {
    settle(try_complete(
        request,
        ids.first().copied().unwrap_or_default(),
    ))
}

fn try_complete(request: &Request<'_>, id: &str) -> Result<Answer, Refused> {
    let Some(mut upload) = request.state.object(id) else {
        return Err(Box::new(errors::no_object("Upload", id)));
    };
    let body = object(request, &["part_ids", "md5"])?;
    let mut bytes = Vec::new();
    for part in needed(&body, "part_ids")?.as_array().into_iter().flatten() {
        let part = part.as_str().unwrap_or_default();
        match request.state.remove(part) {
            Some(piece) => bytes.extend(piece.bytes),
            None => return Err(Box::new(errors::no_object("Part", part))),
        }
    }
    if upload.json["bytes"].as_u64() != Some(bytes.len() as u64) {
        let message = "The parts' bytes do not add up to the announced size.";
        return Err(Box::new(errors::bad_request(message)));
    }
    let text = |name: &str| upload.json[name].as_str().unwrap_or_default().to_owned();
    let file = files::keep(request.state, &text("filename"), &text("purpose"), bytes);
    Ok(Answer::ok(&close(
        request,
        id,
        &mut upload,
        "completed",
        &file,
    )))
}

pub(super) fn cancel(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.object(id) {
        Some(mut upload) => Answer::ok(&close(request, id, &mut upload, "cancelled", &Value::Null)),
        None => errors::no_object("Upload", id).into(),
    }
}

fn close(
    request: &Request<'_>,
    id: &str,
    upload: &mut Object,
    status: &str,
    file: &Value,
) -> Value {
    upload.json["status"] = json!(status);
    upload.json["file"] = file.clone();
    request.state.store(id, upload.clone());
    upload.json.clone()
}
