//! The shapes that events must have, as tables, and the check that names what does not fit
//! (wire.md 5.4: an `error` event that names the parameter).

use serde_json::{Map, Value};

use crate::errors::{self, ApiError};

/// What a value must look like.
#[derive(Debug)]
pub(super) enum Shape {
    /// Anything at all.
    Any,
    /// A string.
    Text,
    /// A string of at most so many characters.
    Short(usize),
    /// A boolean.
    Flag,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A number within bounds.
    Number(f64, f64),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// The same, or null.
    Nullable(&'static Shape),
    /// A list of such values.
    List(&'static Shape),
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object with any fields.
    Free,
    /// An object whose `type` decides about its other fields.
    Tagged(&'static [(&'static str, &'static [Field])]),
    /// One of these; an error speaks of the last that has the value's own type.
    Either(&'static [Shape]),
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    is_needed: bool,
    shape: Shape,
}

/// A field that must be there.
pub(super) const fn need(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        is_needed: true,
        shape,
    }
}

/// A field that may be there.
pub(super) const fn may(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        is_needed: false,
        shape,
    }
}

type Checked = Result<(), Box<ApiError>>;

/// Checks an object against its fields. `path`: where it sits, empty for an event itself.
pub(super) fn check_fields(object: &Map<String, Value>, fields: &[Field], path: &str) -> Checked {
    let place = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    for field in fields.iter().filter(|field| field.is_needed) {
        if !object.contains_key(field.name) {
            return Err(Box::new(errors::missing(&place(field.name))));
        }
    }
    for (name, value) in object {
        let place = place(name);
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let message = format!("Unknown parameter: '{place}'.");
            let error = errors::bad_param(&place, "unknown_parameter", &message);
            return Err(Box::new(error));
        };
        field.shape.check(value, &place)?;
    }
    Ok(())
}

impl Shape {
    /// Checks a value that sits at `path`.
    pub(super) fn check(&self, value: &Value, path: &str) -> Checked {
        match (self, value) {
            (Shape::Any, _)
            | (Shape::Text, Value::String(_))
            | (Shape::Flag, Value::Bool(_))
            | (Shape::Free, Value::Object(_))
            | (Shape::Nullable(_), Value::Null) => Ok(()),
            (Shape::Nullable(shape), value) => shape.check(value, path),
            (Shape::Short(limit), Value::String(text)) => short(text, *limit, path),
            (Shape::Integer(low, high), Value::Number(number)) if !number.is_f64() => {
                within(number.as_f64(), *low as f64, *high as f64, path)
            }
            (Shape::Number(low, high), Value::Number(number)) => {
                within(number.as_f64(), *low, *high, path)
            }
            (Shape::OneOf(names), Value::String(text)) => one_of(text, names, path),
            (Shape::List(shape), Value::Array(list)) => {
                let mut items = list.iter().enumerate();
                items.try_for_each(|(at, item)| shape.check(item, &format!("{path}[{at}]")))
            }
            (Shape::Object(fields), Value::Object(object)) => check_fields(object, fields, path),
            (Shape::Tagged(kinds), Value::Object(object)) => tagged(object, kinds, path),
            (Shape::Either(shapes), value) => either(shapes, value, path),
            (shape, value) => Err(wrong_type(shape, value, path)),
        }
    }

    fn takes_type_of(&self, value: &Value) -> bool {
        match self {
            Shape::Any => true,
            Shape::Nullable(shape) => value.is_null() || shape.takes_type_of(value),
            Shape::Either(shapes) => shapes.iter().any(|shape| shape.takes_type_of(value)),
            Shape::Integer(..) => value.is_i64() || value.is_u64(),
            shape => shape.expected() == type_of(value),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Shape::Any => "a value",
            Shape::Text | Shape::Short(_) | Shape::OneOf(_) => "a string",
            Shape::Flag => "a boolean",
            Shape::Integer(..) => "an integer",
            Shape::Number(..) => "a number",
            Shape::List(_) => "an array",
            Shape::Object(_) | Shape::Free | Shape::Tagged(_) => "an object",
            Shape::Nullable(shape) => shape.expected(),
            Shape::Either(shapes) => shapes.last().map_or("a value", Shape::expected),
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong_type(shape: &Shape, value: &Value, path: &str) -> Box<ApiError> {
    let message = format!(
        "Invalid type for '{path}': expected {}, but got {} instead.",
        shape.expected(),
        type_of(value)
    );
    Box::new(errors::bad_param(path, "invalid_type", &message))
}

fn short(text: &str, limit: usize, path: &str) -> Checked {
    let length = text.chars().count();
    if length <= limit {
        return Ok(());
    }
    let message = format!(
        "Invalid '{path}': string too long. Expected a string with maximum length {limit}, but got a string with length {length} instead."
    );
    let code = "string_above_max_length";
    Err(Box::new(errors::bad_param(path, code, &message)))
}

fn within(number: Option<f64>, low: f64, high: f64, path: &str) -> Checked {
    if number.is_some_and(|number| (low..=high).contains(&number)) {
        return Ok(());
    }
    let message = format!("Invalid '{path}': it must be between {low} and {high}.");
    Err(Box::new(errors::bad_param(path, "invalid_value", &message)))
}

fn one_of(text: &str, names: &[&str], path: &str) -> Checked {
    if names.contains(&text) {
        return Ok(());
    }
    Err(unsupported(text, names, path))
}

/// A string that is none of those that are known.
pub(super) fn unsupported(text: &str, names: &[&str], path: &str) -> Box<ApiError> {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let message = format!(
        "Invalid value: '{text}'. Supported values are: {}.",
        names.join(", ")
    );
    Box::new(errors::bad_param(path, "invalid_value", &message))
}

fn tagged(
    object: &Map<String, Value>,
    kinds: &[(&'static str, &'static [Field])],
    path: &str,
) -> Checked {
    let place = format!("{path}.type");
    let kind = match object.get("type") {
        None => return Err(Box::new(errors::missing(&place))),
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(wrong_type(&Shape::Text, other, &place)),
    };
    match kinds.iter().find(|(name, _)| name == kind) {
        Some((_, fields)) => check_fields(object, fields, path),
        None => {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            Err(unsupported(kind, &names, &place))
        }
    }
}

fn either(shapes: &[Shape], value: &Value, path: &str) -> Checked {
    let fitting = shapes.iter().filter(|shape| shape.takes_type_of(value));
    let mut answer = None;
    for shape in fitting {
        match shape.check(value, path) {
            Ok(()) => return Ok(()),
            Err(error) => answer = Some(error),
        }
    }
    let first = shapes.first().unwrap_or(&Shape::Any);
    Err(answer.unwrap_or_else(|| wrong_type(first, value, path)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PET: Shape = Shape::Tagged(&[
        (
            "cat",
            &[
                need("type", Shape::Any),
                need("lives", Shape::Integer(1, 9)),
            ],
        ),
        (
            "dog",
            &[need("type", Shape::Any), may("name", Shape::Short(3))],
        ),
    ]);
    const HOUSE: [Field; 3] = [
        need("pets", Shape::List(&PET)),
        may(
            "rent",
            Shape::Either(&[Shape::OneOf(&["none"]), Shape::Number(0.0, 2.5)]),
        ),
        may("door", Shape::Nullable(&Shape::Flag)),
    ];

    fn error(house: &Value) -> Option<(String, String)> {
        let house = house.as_object().expect("an object");
        let error = check_fields(house, &HOUSE, "house").err()?;
        Some((error.code?, error.param?))
    }

    #[test]
    fn whatever_does_not_fit_is_named_with_its_place() {
        let cases = [
            (json!({}), "missing_required_parameter", "house.pets"),
            (
                json!({ "pets": [], "roof": 1 }),
                "unknown_parameter",
                "house.roof",
            ),
            (json!({ "pets": {} }), "invalid_type", "house.pets"),
            (json!({ "pets": [1] }), "invalid_type", "house.pets[0]"),
            (
                json!({ "pets": [{}] }),
                "missing_required_parameter",
                "house.pets[0].type",
            ),
            (
                json!({ "pets": [{ "type": "cow" }] }),
                "invalid_value",
                "house.pets[0].type",
            ),
            (
                json!({ "pets": [{ "type": "cat", "lives": 10 }] }),
                "invalid_value",
                "house.pets[0].lives",
            ),
            (
                json!({ "pets": [{ "type": "cat", "lives": 1.5 }] }),
                "invalid_type",
                "house.pets[0].lives",
            ),
            (
                json!({ "pets": [{ "type": "dog", "name": "Rex!" }] }),
                "string_above_max_length",
                "house.pets[0].name",
            ),
            (
                json!({ "pets": [], "rent": "some" }),
                "invalid_value",
                "house.rent",
            ),
            (
                json!({ "pets": [], "rent": 3 }),
                "invalid_value",
                "house.rent",
            ),
            (
                json!({ "pets": [], "rent": [] }),
                "invalid_type",
                "house.rent",
            ),
        ];
        for (house, code, param) in cases {
            let found = error(&house);
            assert_eq!(found, Some((code.to_owned(), param.to_owned())), "{house}");
        }
    }

    #[test]
    fn what_fits_passes() {
        for house in [
            json!({ "pets": [] }),
            json!({ "pets": [{ "type": "dog" }], "rent": "none", "door": null }),
            json!({ "pets": [{ "type": "cat", "lives": 9 }], "rent": 2.5, "door": true }),
        ] {
            assert_eq!(error(&house), None, "{house}");
        }
    }
}
