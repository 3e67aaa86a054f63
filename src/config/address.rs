//! The grammars of addresses: the upstream's base URL, outbound proxies, and origins.
//!
//! Like every grammar it must never repeat the text that it refuses, which may hold a password.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secrecy::{ExposeSecret, SecretString};

use super::mask::without_user;

/// Where the upstream's `/v1` is: scheme, host, port, and what comes before `/v1` in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    tls: bool,
    host: String,
    port: Option<u16>,
    prefix: String,
}

impl BaseUrl {
    /// A base URL with nothing in it, until the table's default is read.
    pub(super) fn blank() -> Self {
        Self {
            tls: true,
            host: String::new(),
            port: None,
            prefix: String::new(),
        }
    }

    /// Reads a base URL with or without `/v1`, with or without a trailing slash.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("has no scheme: start it with https://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            "wss" | "ws" => {
                return Err("is a WebSocket address: write it with https:// or http://".to_owned());
            }
            _ => return Err("has another scheme than https or http".to_owned()),
        };
        if rest.contains(['?', '#']) {
            return Err("has a query or a fragment".to_owned());
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let Authority { host, port } = Authority::parse(authority)?;
        let path = path.trim_end_matches('/');
        let prefix = path
            .strip_suffix("/v1")
            .unwrap_or(path)
            .trim_end_matches('/');
        check_path(prefix)?;
        let port = port.filter(|port| *port != default_port(tls));
        Ok(Self {
            tls,
            host,
            port,
            prefix: prefix.to_owned(),
        })
    }

    /// Reads the address of realtime sockets, which ends with `/realtime`.
    pub(super) fn parse_realtime(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("has no scheme: start it with wss://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "wss" | "https" => "https",
            "ws" | "http" => "http",
            _ => return Err("has another scheme than wss or ws".to_owned()),
        };
        let rest = rest.trim_end_matches('/');
        let base = rest
            .strip_suffix("/realtime")
            .ok_or("does not end with /v1/realtime")?;
        Self::parse(&format!("{scheme}://{base}"))
    }

    /// Whether the upstream is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| default_port(self.tls))
    }

    /// Host and port as a `Host` header has them: brackets around IPv6, no port where it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        render(&self.host, self.port)
    }

    /// What comes before `/v1` in the path, normally nothing; starts with a slash and does not end with one.
    #[must_use]
    pub fn path_prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}{}/v1", self.authority(), self.prefix)
    }
}

/// The address of an outbound proxy, printed without its user and password.
#[derive(Clone)]
pub struct ProxyUrl(SecretString);

impl ProxyUrl {
    /// Reads a proxy's address; without a scheme it is an HTTP proxy.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https", "socks4", "socks5", "socks5h"].contains(&scheme.as_str()) {
            return Err("has a scheme that is no proxy's".to_owned());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, authority)| (Some(user), authority));
        let Authority { host, port } = Authority::parse(authority)?;
        let user = match user {
            Some(user) if user.contains(['/', '?', '#', '@']) || !is_visible_ascii(user) => {
                return Err(
                    "has a user or password with characters that must be percent-encoded"
                        .to_owned(),
                );
            }
            Some(user) => format!("{user}@"),
            None => String::new(),
        };
        Ok(Self(SecretString::from(format!(
            "{scheme}://{user}{}",
            render(&host, port)
        ))))
    }

    /// The whole address with user and password, for the connector only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&without_user(self.expose()))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// One origin in the form in which browsers send it: lower case, no default port.
pub fn origin(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("null") {
        return Err(
            "is the origin of every page without one, which cannot be told apart".to_owned(),
        );
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("has no scheme: write it as https://host")?;
    let scheme = scheme.to_ascii_lowercase();
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !scheme_fits {
        return Err("has a scheme that cannot be one".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('*') {
        return Err("has a wildcard: origins are matched exactly, list each one".to_owned());
    }
    if rest.contains(['/', '?', '#']) {
        return Err("has a path: an origin ends after host and port".to_owned());
    }
    let Authority { host, port } = Authority::parse(rest)?;
    let own = match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    Ok(format!(
        "{scheme}://{}",
        render(&host, port.filter(|port| Some(*port) != own))
    ))
}

/// Host and port between the slashes of a URL.
pub(super) struct Authority {
    /// Lower case, IPv6 without brackets.
    pub(super) host: String,
    /// Never 0.
    pub(super) port: Option<u16>,
}

impl Authority {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("has a user or password in it, which does not belong there".to_owned());
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or("has an open bracket")?;
            let address: Ipv6Addr = inside
                .parse()
                .map_err(|_| "has brackets around something else than IPv6")?;
            return Ok(Self {
                host: address.to_string(),
                port: Self::port(after)?,
            });
        }
        let (host, after) = text.find(':').map_or((text, ""), |at| text.split_at(at));
        Ok(Self {
            host: Self::host(host)?,
            port: Self::port(after)?,
        })
    }

    fn host(text: &str) -> Result<String, String> {
        if text.is_empty() {
            return Err("has no host".to_owned());
        }
        if !text.is_ascii() {
            return Err("has a host outside ASCII: write its xn-- form".to_owned());
        }
        let label_fits =
            |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_host_byte);
        let name = text.strip_suffix('.').unwrap_or(text);
        if text.len() > 253 || !name.split('.').all(label_fits) {
            return Err("has a host that cannot be one".to_owned());
        }
        let numeric = name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if numeric && name.parse::<Ipv4Addr>().is_err() {
            return Err("has a host that is not an IPv4 address".to_owned());
        }
        Ok(text.to_ascii_lowercase())
    }

    /// The port in `:443`, or none in an empty text.
    fn port(text: &str) -> Result<Option<u16>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text
            .strip_prefix(':')
            .ok_or("has something after its host that is no port")?;
        let port = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten();
        port.filter(|port| *port != 0)
            .map(Some)
            .ok_or_else(|| "has a port that is not a number from 1 to 65535".to_owned())
    }
}

/// Whether a host is on this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Host and port as a URL has them.
pub(super) fn render(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

fn check_path(path: &str) -> Result<(), String> {
    if path
        .split('/')
        .skip(1)
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err("has an empty or dotted part in its path".to_owned());
    }
    if !path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte))
    {
        return Err("has characters in its path that must be percent-encoded".to_owned());
    }
    Ok(())
}

fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_the_same_with_and_without_v1_and_slash() {
        for text in [
            "https://api.openai.com",
            "https://api.openai.com/",
            "https://API.openai.com/v1",
            "https://api.openai.com:443/v1/",
        ] {
            let base = BaseUrl::parse(text).expect("a base URL");
            assert_eq!(base.to_string(), "https://api.openai.com/v1", "{text}");
            assert_eq!(
                (base.authority().as_str(), base.port(), base.path_prefix()),
                ("api.openai.com", 443, "")
            );
        }
        let base = BaseUrl::parse("http://[::1]:9000/openai/v1/").expect("a base URL");
        assert_eq!(
            (base.host(), base.authority().as_str(), base.port()),
            ("::1", "[::1]:9000", 9000)
        );
        assert_eq!((base.path_prefix(), base.is_tls()), ("/openai", false));
        assert_eq!(base.to_string(), "http://[::1]:9000/openai/v1");
        assert_eq!(
            BaseUrl::parse("https://gate.example/v1beta").map(|base| base.prefix),
            Ok("/v1beta".to_owned())
        );
    }

    #[test]
    fn a_base_url_that_cannot_be_dialled_is_refused() {
        let bad = [
            "api.openai.com",
            "ftp://a.example",
            "wss://a.example/v1",
            "https://",
            "https:///v1",
            "https://a.example:0",
            "https://a.example:99999",
            "https://u:p@a.example",
            "https://a.example/?x=1",
            "https://a.example/#x",
            "https://a b.example",
            "https://1.2.3",
            "https://[::1",
            "https://[zz]",
            "https://[::1]x",
            "https://bücher.example",
            "https://a..example",
            "https://a.example/a//b",
            "https://a.example/../b",
            "https://a.example/a b",
            "https://a.example:+443",
            "https://a.example:",
        ];
        for text in bad {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_prints_without_user_and_password() {
        let proxy = ProxyUrl::parse("socks5h://me:pa%40ss@Proxy.example:1080/").expect("a proxy");
        assert_eq!(proxy.expose(), "socks5h://me:pa%40ss@proxy.example:1080");
        assert_eq!(proxy.to_string(), "socks5h://***@proxy.example:1080");
        assert_eq!(format!("{proxy:?}"), proxy.to_string());
        assert_eq!(
            ProxyUrl::parse("proxy:3128").map(|proxy| proxy.expose().to_owned()),
            Ok("http://proxy:3128".to_owned())
        );
        for text in [
            "ftp://proxy",
            "http://",
            "http://proxy/path",
            "http://a:b/c@proxy",
            "http://pro xy",
            "proxy:port",
        ] {
            assert!(ProxyUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_kept_as_browsers_send_them() {
        assert_eq!(
            origin("HTTPS://App.Example:443/"),
            Ok("https://app.example".to_owned())
        );
        assert_eq!(
            origin("http://[0:0::1]:3000"),
            Ok("http://[::1]:3000".to_owned())
        );
        assert_eq!(
            origin("capacitor://localhost"),
            Ok("capacitor://localhost".to_owned())
        );
    }
}
