//! JSON of which only the visited places are taken apart. All else keeps its bytes: numbers of any
//! size, escapes, order, and whatever is not known.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value.
#[derive(Clone, Debug)]
pub(in crate::relay) enum Json<'a> {
    /// As it came, or a constant: the text of one value.
    Raw(&'a str),
    /// The text of one value, made here.
    Made(String),
    Object(Object<'a>),
    Array(Vec<Json<'a>>),
}

/// The fields of an object in their order.
#[derive(Clone, Debug, Default)]
pub(in crate::relay) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Json<'a> {
    /// A string.
    pub(in crate::relay) fn string(text: &str) -> Json<'static> {
        Json::Made(serde_json::Value::from(text).to_string())
    }

    /// Its text, unless it was taken apart.
    pub(in crate::relay) fn text(&self) -> Option<&str> {
        match self {
            Json::Raw(text) => Some(text),
            Json::Made(text) => Some(text),
            Json::Object(_) | Json::Array(_) => None,
        }
    }

    /// What it says, if it is a string.
    pub(in crate::relay) fn as_string(&self) -> Option<String> {
        serde_json::from_str(self.text()?).ok()
    }

    /// Takes an object apart; `None` for any other value.
    pub(in crate::relay) fn as_object(&mut self) -> Option<&mut Object<'a>> {
        if let Json::Raw(text) = self {
            *self = Json::Object(Object::parse(text.as_bytes())?);
        }
        match self {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Takes an array apart; `None` for any other value.
    pub(in crate::relay) fn as_array(&mut self) -> Option<&mut Vec<Json<'a>>> {
        if let Json::Raw(text) = self {
            let items: Vec<&'a RawValue> = serde_json::from_str(text).ok()?;
            *self = Json::Array(
                items
                    .into_iter()
                    .map(|item| Json::Raw(item.get()))
                    .collect(),
            );
        }
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Raw(text) => out.push_str(text),
            Json::Made(text) => out.push_str(text),
            Json::Object(object) => object.write(out),
            Json::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
        }
    }
}

impl<'a> Object<'a> {
    /// Takes the outermost object apart; `None` if the text is anything but one JSON object.
    pub(in crate::relay) fn parse(text: &'a [u8]) -> Option<Object<'a>> {
        serde_json::from_slice(text).ok()
    }

    /// As text.
    pub(in crate::relay) fn to_text(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out);
        out.into_bytes()
    }

    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field's value. Of fields with one name, the last counts, as for most parsers.
    pub(in crate::relay) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let mut fields = self.fields.iter().rev();
        fields.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The first of the fields with one name, for comparison with a scanner that stops there.
    #[cfg(any(test, fuzzing))]
    pub(in crate::relay) fn first(&self, name: &str) -> Option<&Json<'a>> {
        let mut fields = self.fields.iter();
        fields.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// What the field says, if it is a string.
    pub(in crate::relay) fn string(&self, name: &str) -> Option<String> {
        self.get(name)?.as_string()
    }

    /// Whether the field is there and null.
    pub(in crate::relay) fn is_null(&self, name: &str) -> bool {
        self.get(name).and_then(Json::text) == Some("null")
    }

    /// The field's value, to be changed in its place.
    pub(in crate::relay) fn value(&mut self, name: &str) -> Option<&mut Json<'a>> {
        let mut fields = self.fields.iter_mut().rev();
        fields.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The object in this field.
    pub(in crate::relay) fn object(&mut self, name: &str) -> Option<&mut Object<'a>> {
        self.value(name)?.as_object()
    }

    /// The array in this field.
    pub(in crate::relay) fn array(&mut self, name: &str) -> Option<&mut Vec<Json<'a>>> {
        self.value(name)?.as_array()
    }

    /// Sets a field in its place, or behind all others.
    pub(in crate::relay) fn set(&mut self, name: &'static str, value: Json<'a>) {
        match self.value(name) {
            Some(place) => *place = value,
            None => self.fields.push((Cow::Borrowed(name), value)),
        }
    }

    /// Sets a field that is not there.
    pub(in crate::relay) fn set_missing(
        &mut self,
        name: &'static str,
        value: impl FnOnce() -> Json<'a>,
    ) {
        if self.get(name).is_none() {
            self.fields.push((Cow::Borrowed(name), value()));
        }
    }

    /// Takes a field out.
    pub(in crate::relay) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        self.get(name)?;
        let mut taken = None;
        // All with this name; no second pass, as an object may have millions of fields.
        self.fields.retain_mut(|(key, value)| {
            let is_other = key != name;
            if !is_other {
                taken = Some(std::mem::replace(value, Json::Raw("null")));
            }
            is_other
        });
        taken
    }

    /// Sets a field in objects within objects, which are made where they are not there.
    pub(in crate::relay) fn set_at(&mut self, path: &'static [&'static str], value: Json<'a>) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        if rest.is_empty() {
            return self.set(name, value);
        }
        if self.object(name).is_none() {
            self.set(name, Json::Object(Object::default()));
        }
        if let Some(inner) = self.object(name) {
            inner.set_at(rest, value);
        }
    }

    /// Takes a field out of objects within objects, and with it those that it leaves empty.
    pub(in crate::relay) fn take_at(&mut self, path: &[&str]) -> Option<Json<'a>> {
        let (name, rest) = path.split_first()?;
        if rest.is_empty() {
            return self.take(name);
        }
        let inner = self.object(name)?;
        let taken = inner.take_at(rest)?;
        if inner.is_empty() {
            self.take(name);
        }
        Some(taken)
    }

    fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(&**name).to_string());
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    fields.push((name, Json::Raw(value.get())));
                }
                Ok(Object { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A field's name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        Object::parse(text.as_bytes()).expect("an object")
    }

    fn text(object: &Object<'_>) -> String {
        String::from_utf8(object.to_text()).expect("text")
    }

    #[test]
    fn what_is_not_visited_keeps_its_bytes() {
        let tail =
            r#""n":1234567890123456789012345678901234567890.10E+400, "s":"\u00e9\/\ud83d\ude00""#;
        let source = format!(r#"{{"a":{{"b":1.0, {tail}}},"z":[ 1 ,2e0 ], {tail}}}"#);
        let mut object = object(&source);
        let inner = object.object("a").expect("an object");
        inner.set("b", Json::Raw("2"));
        let tight =
            r#""n":1234567890123456789012345678901234567890.10E+400,"s":"\u00e9\/\ud83d\ude00""#;
        let expected = format!(r#"{{"a":{{"b":2,{tight}}},"z":[ 1 ,2e0 ],{tight}}}"#);
        assert_eq!(text(&object), expected);
    }

    #[test]
    fn names_may_be_escaped_and_the_last_of_one_name_counts() {
        let mut object = object(r#"{"\u0061":1,"b\n":2,"a":3}"#);
        assert_eq!(object.get("a").and_then(Json::text), Some("3"));
        assert_eq!(text(&object), r#"{"a":1,"b\n":2,"a":3}"#);
        assert_eq!(object.take("a").as_ref().and_then(Json::text), Some("3"));
        assert_eq!(text(&object), r#"{"b\n":2}"#);
        assert!(object.take("a").is_none());
    }

    #[test]
    fn paths_make_objects_and_leave_no_empty_ones() {
        let mut object = object(r#"{"keep":{},"audio":null}"#);
        object.set_at(&["audio", "input", "format"], Json::Raw("1"));
        object.set_at(&["audio", "input", "other"], Json::Raw("2"));
        let nested = r#"{"keep":{},"audio":{"input":{"format":1,"other":2}}}"#;
        assert_eq!(text(&object), nested);
        assert!(object.take_at(&["audio", "output", "format"]).is_none());
        assert!(object.take_at(&["audio", "input", "format"]).is_some());
        assert!(object.take_at(&["audio", "input", "other"]).is_some());
        assert_eq!(text(&object), r#"{"keep":{}}"#);
    }

    #[test]
    fn only_one_whole_object_is_one() {
        for bad in [
            "",
            "[]",
            "null",
            "{",
            r#"{"a"}"#,
            r#"{"a":01}"#,
            r#"{"a":1}x"#,
            "{\"a\":\"\n\"}",
        ] {
            assert!(Object::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Object::parse(deep.as_bytes()).is_some());
    }
}
