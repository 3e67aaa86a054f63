//! Rules: what a relay key or a sealed token may be used for. Pure; they are read from JSON once, and
//! asked by whatever meets the caller. The first one that says no is named.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admission::Ask;
use crate::config::{self, Limit};
use crate::error::{Kind, Problem, Refusal};
use crate::family::Family;

/// The most entries of one list.
const MOST: usize = 64;
/// The most limits: those of a token and of its maker are kept together.
const MOST_LIMITS: usize = 32;
/// The longest name of a model, in bytes.
const LONGEST: usize = 128;

/// Rules as people write them. What is left out restricts nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RulesText {
    /// The families of routes that may be used: chat, responses, embeddings, audio, images, videos,
    /// files, batches, models, moderations, realtime, other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<String>,
    /// The models that may be used; a `*` at the end stands for any rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The pages that it may be used from, such as `https://app.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The addresses and networks that it may be used from, such as 192.0.2.0/24.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Limits of its own, such as `chat=60/1m` or `concurrent realtime=2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// What a client may not set on a socket: model, instructions, tools, voice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// Whether `OpenAI-Organization` and `OpenAI-Project` go up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub organization: bool,
    /// What becomes of a request whose client leaves: cancel, which is what happens anyway, or finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_leave: Option<String>,
}

/// What a client may not set on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Any other model than the session's.
    Model,
    /// Instructions.
    Instructions,
    /// Tools.
    Tools,
    /// The voice.
    Voice,
}

const PINS: [(&str, Pin); 4] = [
    ("model", Pin::Model),
    ("instructions", Pin::Instructions),
    ("tools", Pin::Tools),
    ("voice", Pin::Voice),
];

/// What becomes of a request whose client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLeave {
    /// It ends upstream too.
    Cancel,
    /// Its answer is read to the end.
    Finish,
}

const LEAVINGS: [(&str, OnLeave); 2] = [("cancel", OnLeave::Cancel), ("finish", OnLeave::Finish)];

/// Rules that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    families: Vec<Family>,
    models: Vec<String>,
    origins: Vec<String>,
    addresses: Vec<IpNet>,
    limits: Vec<Limit>,
    pinned: Vec<Pin>,
    names_organization: bool,
    on_leave: Option<OnLeave>,
}

impl RulesText {
    /// Reads them, or says what is wrong with which field.
    pub fn read(&self) -> Result<Rules, Refusal> {
        let mut problems = Vec::new();
        if self.limits.len() > MOST_LIMITS {
            let message = format!("Use {MOST_LIMITS} limits at the most.");
            problems.push(Problem::of("rules.limits", message));
        }
        let rules = Rules {
            families: each(&self.families, "families", &mut problems, |name| {
                Family::named(name).ok_or_else(|| {
                    let names: Vec<&str> = Family::names().collect();
                    format!("Use families of routes: {}.", names.join(", "))
                })
            }),
            models: each(&self.models, "models", &mut problems, model),
            origins: each(&self.origins, "origins", &mut problems, |text| {
                config::origin(text).map_err(|fault| {
                    format!("Use origins such as https://app.example.com: one {fault}.")
                })
            }),
            addresses: each(&self.addresses, "addresses", &mut problems, |text| {
                network(text)
                    .ok_or_else(|| "Use addresses and networks such as 192.0.2.0/24.".to_owned())
            }),
            limits: each(&self.limits, "limits", &mut problems, |text| {
                Limit::parse(text).map_err(|fault| {
                    format!("Write limits as `chat=60/1m` or `concurrent realtime=2`: one {fault}.")
                })
            }),
            pinned: each(&self.pinned, "pinned", &mut problems, |name| {
                let pin = PINS.iter().find(|(known, _)| *known == name);
                pin.map(|(_, pin)| *pin)
                    .ok_or_else(|| "Use model, instructions, tools or voice.".to_owned())
            }),
            names_organization: self.organization,
            on_leave: self.on_leave.as_deref().and_then(|name| {
                let leaving = LEAVINGS.iter().find(|(known, _)| *known == name);
                if leaving.is_none() {
                    problems.push(Problem::of("rules.on_leave", "Use cancel or finish."));
                }
                leaving.map(|(_, leaving)| *leaving)
            }),
        };
        match problems.is_empty() {
            true => Ok(rules),
            false => Err(Refusal::over_fields(problems)),
        }
    }
}

/// Reads each entry of a list; the first that cannot be read is a problem.
fn each<T>(
    list: &[String],
    field: &str,
    problems: &mut Vec<Problem>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let field = format!("rules.{field}");
    if list.len() > MOST {
        problems.push(Problem::of(
            &field,
            format!("Use {MOST} entries at the most."),
        ));
        return Vec::new();
    }
    let read: Result<Vec<T>, String> = list.iter().map(|entry| read(entry.trim())).collect();
    read.unwrap_or_else(|fault| {
        problems.push(Problem::of(&field, fault));
        Vec::new()
    })
}

fn model(name: &str) -> Result<String, String> {
    let stem = name.strip_suffix('*').unwrap_or(name);
    let is_name = stem
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte));
    match is_name && !name.is_empty() && name.len() <= LONGEST {
        true => Ok(name.to_owned()),
        false => Err(
            "Use names of models such as gpt-6-luna, or gpt-6-* for all that start so.".to_owned(),
        ),
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl Rules {
    /// Whether a request may be made at all, by what its head says.
    pub(in crate::admission) fn check(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        if let Some(family) = ask.family
            && !self.families.is_empty()
            && !self.families.contains(&family)
        {
            return Err(forbidden(format!(
                "This credential does not open this route: its rule `families` does not list {}.",
                family.name()
            )));
        }
        let is_listed = |origin: &str| {
            self.origins
                .iter()
                .any(|known| known.eq_ignore_ascii_case(origin))
        };
        if !self.origins.is_empty() && !ask.origin.is_some_and(is_listed) {
            return Err(forbidden(
                "This credential is for certain pages: its rule `origins` does not list this one.",
            ));
        }
        let client = ask.client.to_canonical();
        let is_inside = |network: &IpNet| network.contains(&client);
        if !self.addresses.is_empty() && !self.addresses.iter().any(is_inside) {
            return Err(forbidden(
                "This credential is for certain addresses: its rule `addresses` does not list this one.",
            ));
        }
        Ok(())
    }

    /// Whether every model must be seen and be on a list.
    pub fn names_models(&self) -> bool {
        !self.models.is_empty()
    }

    /// Whether a model may be used.
    pub fn check_model(&self, model: &str) -> Result<(), Refusal> {
        let is_meant = |pattern: &String| match pattern.strip_suffix('*') {
            Some(stem) => model.starts_with(stem),
            None => pattern == model,
        };
        if self.models.is_empty() || self.models.iter().any(is_meant) {
            return Ok(());
        }
        let shown: String = model.chars().take(LONGEST).collect();
        Err(forbidden(format!(
            "This credential does not open the model {shown:?}: its rule `models` does not list it."
        ))
        .about("model"))
    }

    /// A rule that only the relay can hold somebody to: OpenAI's own credentials know none of them.
    pub(in crate::admission) fn kept_here_alone(&self) -> Option<&'static str> {
        let held = [
            ("models", self.models.is_empty()),
            ("origins", self.origins.is_empty()),
            ("addresses", self.addresses.is_empty()),
            ("limits", self.limits.is_empty()),
            ("pinned", self.pinned.is_empty()),
        ];
        let rule = held.iter().find(|(_, is_empty)| !is_empty);
        rule.map(|(name, _)| *name)
    }

    /// What a client may not set on a socket.
    pub fn pinned(&self) -> &[Pin] {
        &self.pinned
    }

    /// Limits of its own.
    pub(in crate::admission) fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// What becomes of a request whose client leaves, where the rules say so.
    pub(in crate::admission) fn on_leave(&self) -> Option<OnLeave> {
        self.on_leave
    }

    /// Whether organization and project go up.
    pub(in crate::admission) fn names_organization(&self) -> bool {
        self.names_organization
    }
}

/// A refusal that names the rule.
pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Kind::Forbidden, message)
}

impl Pin {
    /// As the rule spells it.
    pub fn name(self) -> &'static str {
        let row = PINS.iter().find(|(_, pin)| *pin == self);
        row.map_or("", |(name, _)| name)
    }
}
