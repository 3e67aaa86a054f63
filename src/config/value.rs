//! The grammars of single values: each function turns one text into one typed value or says what is wrong with it.
//!
//! A fault is the end of a sentence that starts with the value, and must never repeat the value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use tracing::Level;

use super::address::origin;
use super::{Environment, LogFormat, Origins, TrustedProxies};

/// The longest duration that any variable takes.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither yes nor no".to_owned()),
    }
}

/// A TCP port, 0 included.
pub(super) fn port(text: &str) -> Result<u16, String> {
    digits(text)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "is not a port".to_owned())
}

/// An address to listen on.
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().map_err(|_| "is not an IP address".to_owned())
}

/// An address to listen on, with its port.
pub(super) fn listener(text: &str) -> Result<SocketAddr, String> {
    let (address, number) = text.rsplit_once(':').ok_or("has no port")?;
    Ok(SocketAddr::new(host(address)?, port(number)?))
}

/// A time span: a bare number counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let unit_nanos: u128 = match suffix.trim_start() {
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err("is not a duration".to_owned()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if digits(whole).is_none() || digits(fraction).is_none() {
        return Err("is not a duration".to_owned());
    }
    let too_long = || "is too long".to_owned();
    let whole: u128 = whole.parse().map_err(|_| too_long())?;
    let fraction = &fraction[..fraction.len().min(9)];
    let scale = 10_u128.pow(fraction.len().try_into().unwrap_or(9));
    let fraction: u128 = fraction.parse().map_err(|_| too_long())?;
    let nanos = whole.checked_mul(unit_nanos).ok_or_else(too_long)? + fraction * unit_nanos / scale;
    if nanos > LONGEST.as_nanos() {
        return Err(too_long());
    }
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| too_long())
}

/// A duration whose bare number means milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    match digits(text) {
        Some(_) => duration(&format!("{text}ms")),
        None => duration(text),
    }
}

/// A time span that is not zero.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("would end every request at once".to_owned()),
        span => Ok(span),
    }
}

/// A log level, by Python's or Node's name.
pub(super) fn level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "critical" | "fatal" | "error" => Ok(Level::ERROR),
        "warn" | "warning" => Ok(Level::WARN),
        "info" | "notice" | "http" => Ok(Level::INFO),
        "verbose" | "debug" => Ok(Level::DEBUG),
        "silly" | "trace" => Ok(Level::TRACE),
        _ => Err("is not a log level".to_owned()),
    }
}

/// The shape of a log line.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(LogFormat::Auto),
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("is not a log format".to_owned()),
    }
}

/// Development or production, by name.
pub(super) fn environment(text: &str) -> Result<Environment, String> {
    match text.to_ascii_lowercase().as_str() {
        "production" => Ok(Environment::Production),
        "development" => Ok(Environment::Development),
        _ => Err("is no environment".to_owned()),
    }
}

/// A model's name, which travels in a query and in JSON.
pub(super) fn model(text: &str) -> Result<String, String> {
    if text.len() > 200 {
        return Err("is longer than 200 characters".to_owned());
    }
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._:/".contains(c))
    {
        return Ok(text.to_owned());
    }
    Err("is not a model name".to_owned())
}

/// A list of origins, comma-separated or as JSON.
pub(super) fn origins(text: &str) -> Result<Origins, String> {
    let items: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| "is not a JSON list of strings".to_owned())?
    } else {
        text.split(',').map(str::to_owned).collect()
    };
    let mut listed = Vec::new();
    let mut any = false;
    let mut faults = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.trim() {
            "" => {}
            "*" => any = true,
            item => match origin(item) {
                Ok(one) => listed.push(one),
                Err(fault) if items.len() == 1 => faults.push(fault),
                Err(fault) => faults.push(format!("item {} {fault}", index + 1)),
            },
        }
    }
    match faults.as_slice() {
        [] => {}
        [only] if items.len() == 1 => return Err(only.clone()),
        [one] => return Err(format!("has a fault: {one}")),
        several => return Err(format!("has faults: {}", several.join("; "))),
    }
    if any {
        return Ok(Origins::Any);
    }
    if listed.is_empty() && !text.starts_with('[') {
        return Err("lists no origin".to_owned());
    }
    listed.sort();
    listed.dedup();
    Ok(Origins::Listed(listed))
}

/// The ranges of `loopback` in [`trusted_proxies`].
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// The ranges of `private` in [`trusted_proxies`].
const PRIVATE: [&str; 5] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
];

/// Addresses and ranges whose forwarding headers are believed.
pub(super) fn trusted_proxies(text: &str) -> Result<TrustedProxies, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(TrustedProxies(Vec::new()));
    }
    let mut ranges = Vec::new();
    for (index, item) in text.split(',').map(str::trim).enumerate() {
        let fault = || {
            format!(
                "has a fault: item {} is neither an address nor a range",
                index + 1
            )
        };
        match item.to_ascii_lowercase().as_str() {
            "" => {}
            "loopback" => ranges.extend(
                LOOPBACK
                    .iter()
                    .filter_map(|range| range.parse::<IpNet>().ok()),
            ),
            "private" => ranges.extend(
                PRIVATE
                    .iter()
                    .filter_map(|range| range.parse::<IpNet>().ok()),
            ),
            "none" => return Err("has none beside other items".to_owned()),
            item => ranges.push(range(item).ok_or_else(fault)?),
        }
    }
    if ranges.is_empty() {
        return Err("lists no address".to_owned());
    }
    Ok(TrustedProxies(ranges))
}

/// One address or range, IPv4 where an IPv6 spelling of IPv4 is given.
fn range(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let range = text.parse::<IpNet>().ok()?.trunc();
    match (
        range.addr().to_canonical(),
        range.prefix_len().checked_sub(96),
    ) {
        (IpAddr::V4(address), Some(length)) if range.addr().is_ipv6() => {
            Ipv4Net::new(address, length).ok().map(IpNet::V4)
        }
        _ => Some(range),
    }
}

/// The server's OpenAI key.
pub(super) fn api_key(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_whitespace) && !starts_with_bearer(text) {
        return Err("contains a space or a line break".to_owned());
    }
    credential(text)
}

/// A credential that must fit into a header.
pub(super) fn credential(text: &str) -> Result<String, String> {
    if starts_with_bearer(text) {
        return Err("starts with `Bearer `: drop that word and keep what follows".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character or a line break".to_owned());
    }
    if !text.is_ascii() {
        return Err("contains characters outside ASCII, which no header carries".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether a secret is one of the texts that documents print in its place.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let parts = [
        "your_",
        "your-",
        "_here",
        "-here",
        "changeme",
        "change_me",
        "change-me",
        "replace-me",
        "replace_me",
        "xxxx",
    ];
    parts.iter().any(|part| text.contains(part))
        || text.ends_with("...")
        || text.starts_with('<')
        || text.starts_with("${")
}

/// Whether `text` is a token in the sense of RFC 9110, as the items of `Sec-WebSocket-Protocol` must be.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// `NO_PROXY`'s list, which is left to the connector to match.
pub(super) fn no_proxy(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

fn starts_with_bearer(text: &str) -> bool {
    text.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("bearer "))
}

/// `text` if it is ASCII digits and nothing else.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_suffixes_and_fractions_and_refuse_the_rest() {
        let good = [
            ("0", 0),
            ("30", 30_000),
            ("0.5", 500),
            ("500ms", 500),
            ("15m", 900_000),
            ("1.5h", 5_400_000),
            ("2 s", 2000),
        ];
        for (text, millis) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "-1",
            "NaN",
            "inf",
            "1e3",
            "1,5",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "5d",
            "1s2",
            "+1",
            "٣",
            "9999999999999999999999999",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("340282366920938463463374607431768211455h").is_err());
        assert!(duration("200h").is_err());
        assert!(timeout("0.000").is_err());
    }

    #[test]
    fn origins_come_as_csv_or_json_and_lose_a_trailing_slash() {
        let listed = |items: &[&str]| {
            Ok(Origins::Listed(
                items.iter().map(|item| (*item).to_owned()).collect(),
            ))
        };
        assert_eq!(
            origins("http://localhost:5173, https://A.example/"),
            listed(&["http://localhost:5173", "https://a.example"])
        );
        assert_eq!(
            origins(r#"["http://localhost:3000"]"#),
            listed(&["http://localhost:3000"])
        );
        assert_eq!(origins("https://a.example,*"), Ok(Origins::Any));
        assert_eq!(origins("[]"), listed(&[]));
        for text in [
            "null",
            "a.example",
            "https://a.example/app",
            "https://*.example",
            ",",
            "[1]",
            "[\"*\"",
            "https://u:p@a.example",
        ] {
            assert!(origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn proxies_are_addresses_ranges_and_two_words() {
        let trusted =
            trusted_proxies("203.0.113.7, 2001:db8::/32, ::ffff:198.51.100.0/120").expect("a list");
        for inside in [
            "203.0.113.7",
            "2001:db8::9",
            "198.51.100.200",
            "::ffff:198.51.100.200",
        ] {
            assert!(
                trusted.contains(inside.parse().expect("an address")),
                "{inside}"
            );
        }
        assert!(!trusted.contains("203.0.113.8".parse().expect("an address")));
        for text in [
            "*",
            "10.0.0.0/33",
            "proxy.local",
            "none,10.0.0.1",
            ",",
            "10.0.0.1:80",
        ] {
            assert!(trusted_proxies(text).is_err(), "{text}");
        }
    }

    #[test]
    fn placeholders_from_documents_are_recognised() {
        for text in [
            "your_openai_api_key_here",
            "YOUR_OPENAI_API_KEY_HERE",
            "sk-proj-...",
            "<key>",
            "your-openai-key",
            "changeme",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        assert!(!is_placeholder("sk-proj-Abc123"));
    }
}
