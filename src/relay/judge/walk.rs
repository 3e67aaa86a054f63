//! Walks through JSON, whatever its shape, and notes the models that it names and what of a session it
//! sets. What two readers could take for different things is refused.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::admission::keys::rules::Pin;

/// The most models that a text may name.
const MOST: usize = 1000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Every model that is named, wherever.
    pub(super) models: Vec<Named>,
    /// What it sets of a session.
    pub(super) pins: Vec<Pin>,
    /// Whether it refers to a prompt that is kept elsewhere, with whatever is in that.
    pub(super) has_prompt: bool,
}

/// A model, and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) model: String,
    pub(super) place: Place,
}

/// Where a model is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the outermost object.
    Top,
    /// Of a session, or of one of its responses.
    Session,
    /// For the text of what is heard.
    Transcription,
    /// Anywhere else.
    Within,
}

/// Reads a text; the error says why it is no JSON that can be judged.
pub(super) fn walk(text: &[u8]) -> Result<Findings, serde_json::Error> {
    let mut findings = Findings::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    let outermost = Outermost(&mut findings);
    outermost.deserialize(&mut json)?;
    json.end()?;
    Ok(findings)
}

/// The whole text: an object.
struct Outermost<'f>(&'f mut Findings);

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(Value {
            findings: self.0,
            place: Place::Top,
            is_model: false,
            is_schema: false,
        })
    }
}

/// A value somewhere.
struct Value<'f> {
    findings: &'f mut Findings,
    /// What a model would be that this names.
    place: Place,
    /// Whether this is what a model is called.
    is_model: bool,
    /// Whether it describes what somebody else sends.
    is_schema: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_model = false;
        while let Some(Name(name)) = map.next_key()? {
            let is_model = name.eq_ignore_ascii_case("model");
            if is_model {
                // Escapes, another case, and a second one are what other readers may read otherwise.
                if !matches!(name, Cow::Borrowed("model")) {
                    return Err(A::Error::custom("`model` is written in another way"));
                }
                if std::mem::replace(&mut has_model, true) {
                    return Err(A::Error::custom("`model` is there twice"));
                }
            }
            if name == "metadata" {
                // Means nothing to anybody but its writer.
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if !self.is_schema {
                self.findings.note(&name);
            }
            map.next_value_seed(Value {
                place: self.place.within(&name),
                is_model,
                is_schema: self.is_schema || matches!(&*name, "parameters" | "schema"),
                findings: &mut *self.findings,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let next = Value {
                findings: &mut *self.findings,
                place: Place::Within,
                is_model: false,
                is_schema: self.is_schema,
            };
            if seq.next_element_seed(next)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if self.is_model {
            if self.findings.models.len() >= MOST {
                return Err(E::custom("it names too many models"));
            }
            let (model, place) = (text.to_owned(), self.place);
            self.findings.models.push(Named { model, place });
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.no_name()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.no_name()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.no_name()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.no_name()
    }
}

impl Value<'_> {
    fn no_name<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.is_model {
            true => Err(E::custom("`model` is no text")),
            false => Ok(()),
        }
    }
}

impl Findings {
    fn note(&mut self, name: &str) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("prompt") {
            self.has_prompt = true;
        }
        for pin in [Pin::Instructions, Pin::Tools, Pin::Voice] {
            if is(pin.name()) && !self.pins.contains(&pin) {
                self.pins.push(pin);
            }
        }
    }
}

impl Place {
    /// Of what a field with this name holds: a model is named by `model`, which is where it stands.
    fn within(self, name: &str) -> Place {
        match (self, name) {
            (place, "model") => place,
            (Place::Top, "session" | "response") => Place::Session,
            (_, "transcription" | "input_audio_transcription") => Place::Transcription,
            _ => Place::Within,
        }
    }
}

/// A field's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn models(text: &str) -> Vec<(String, Place)> {
        let found = walk(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let models = found.models.into_iter();
        models.map(|named| (named.model, named.place)).collect()
    }

    #[test]
    fn models_are_found_wherever_they_are_named() {
        let text = r#"{"a":[1,{"model":"deep"}],"model":"top","session":{"model":"s","audio":{"input":
            {"transcription":{"model":"t"}}}},"tools":[{"type":"image_generation","model":"i"}],"n":1e400}"#;
        let named = |model: &str, place| (model.to_owned(), place);
        let text = text.replace("1e400", "1e40");
        assert_eq!(
            models(&text),
            [
                named("deep", Place::Within),
                named("top", Place::Top),
                named("s", Place::Session),
                named("t", Place::Transcription),
                named("i", Place::Within),
            ]
        );
        assert_eq!(models(r#"{"model":null,"metadata":{"model":"x"}}"#), []);
        assert_eq!(models(r#"{"model":"a\/b"}"#), [named("a/b", Place::Top)]);
        let schema = r#"{"tools":[{"parameters":{"properties":{"model":{"type":"string"}}}}]}"#;
        assert_eq!(models(schema), []);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"mod\u0065l":"a"}"#,
            r#"{"Model":"a"}"#,
            r#"{"model":7}"#,
            r#"{"model":true}"#,
            r#"{"x":{"MODEL":"a"}}"#,
            "[]",
            "\"model\"",
            "{} {}",
            "{\"a\":NaN}",
            "\u{feff}{}",
            "",
        ] {
            assert!(walk(text.as_bytes()).is_err(), "{text}");
        }
        assert!(walk(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        assert!(walk(deep.as_bytes()).is_err());
        let many = format!(
            "{{\"a\":[{}]}}",
            vec![r#"{"model":"m"}"#; MOST + 1].join(",")
        );
        assert!(walk(many.as_bytes()).is_err());
    }

    #[test]
    fn what_is_set_of_a_session_is_seen_but_not_in_descriptions_of_tools() {
        let found = |text: &str| walk(text.as_bytes()).expect("JSON");
        let one = found(r#"{"session":{"audio":{"output":{"voice":"x"}},"Instructions":"y"}}"#);
        assert_eq!(one.pins, [Pin::Voice, Pin::Instructions]);
        let tools = found(r#"{"session":{"tools":[{"parameters":{"properties":{"voice":{}}}}]}}"#);
        assert_eq!(tools.pins, [Pin::Tools]);
        assert!(found(r#"{"response":{"prompt":{"id":"p"}}}"#).has_prompt);
    }
}
