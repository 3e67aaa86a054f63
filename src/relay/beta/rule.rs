//! What can be done with an event, and looking it up by the event's type.

use super::{Translated, Translator, scan};
use crate::relay::json::Object;

/// What is done with events of one type.
pub(super) enum Rule {
    /// They are the same on both sides.
    Pass,
    /// Their type has another name; nothing else of them is looked at.
    Rename(&'static str),
    /// They are taken apart.
    Rewrite(Rewrite),
}

type Rewrite = fn(&mut Translator, &mut Object<'_>) -> Translated<'static>;

/// What the table makes of this event. What is no event, or none that the table knows, is not
/// changed: whoever receives it can say more about it.
pub(super) fn apply<'a>(
    rules: &[(&str, Rule)],
    translator: &mut Translator,
    event: &'a [u8],
) -> Translated<'a> {
    let Some(place) = scan::find_type(event) else {
        return Translated::Unchanged;
    };
    let Some(name) = scan::unescaped(event, place.clone()) else {
        return Translated::Unchanged;
    };
    let rule = rules.iter().find(|(known, _)| *name == *known.as_bytes());
    match rule.map(|(_, rule)| rule) {
        None | Some(Rule::Pass) => Translated::Unchanged,
        Some(Rule::Rename(new)) => {
            Translated::Renamed([&event[..place.start], new.as_bytes(), &event[place.end..]])
        }
        Some(Rule::Rewrite(rewrite)) => match Object::parse(event) {
            Some(mut object) => rewrite(translator, &mut object),
            None => Translated::Unchanged,
        },
    }
}
