//! Where Redis is: one server, servers that sentinels watch over, or a cluster.
//!
//! Nothing is dialled here, and a password is never part of an error.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::address::{Authority, render};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A Redis that can be dialled.
#[derive(Debug, Clone)]
pub struct RedisUrl {
    /// How it is laid out.
    pub layout: Layout,
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
    /// The user, where there is one beside the default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The number of the database.
    pub database: i64,
}

/// How a Redis is laid out; addresses are host (IPv6 without brackets) and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One server.
    Server(String, u16),
    /// One server behind a socket in the file system.
    Socket(PathBuf),
    /// A server that sentinels know by a name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<(String, u16)>,
        /// The server's name.
        name: String,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<(String, u16)>),
}

impl RedisUrl {
    /// Reads one; the second part names parameters that mean nothing here.
    pub(super) fn parse(text: &str) -> Result<(RedisUrl, Vec<String>), String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("has no scheme: start it with redis://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains('#') {
            return Err("has a fragment; in a password # is written as %23".to_owned());
        }
        let (layout, is_tls) = match scheme.as_str() {
            "unix" | "redis+unix" | "valkey+unix" => return socket(rest, query),
            "redis" | "valkey" => ("server", false),
            "rediss" | "valkeys" => ("server", true),
            "redis+sentinel" | "redis-sentinel" => ("sentinel", false),
            "rediss+sentinel" | "rediss-sentinel" => ("sentinel", true),
            "redis+cluster" | "redis-cluster" => ("cluster", false),
            "rediss+cluster" | "rediss-cluster" => ("cluster", true),
            _ => return Err("has a scheme that is no Redis".to_owned()),
        };
        let (user, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let (layout, database) = match layout {
            "server" => {
                let [host] = <[_; 1]>::try_from(addresses(hosts, PORT)?).map_err(
                    |_| "has several hosts: write redis+sentinel:// or redis+cluster://",
                )?;
                (Layout::Server(host.0, host.1), path)
            }
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err("does not name the server that the sentinels watch: redis+sentinel://host/name".to_owned());
                }
                let name = decoded(name)?;
                let sentinels = addresses(hosts, SENTINEL_PORT)?;
                (Layout::Sentinel { sentinels, name }, database)
            }
            _ => (Layout::Cluster(addresses(hosts, PORT)?), path),
        };
        let (username, password) = user.map_or(Ok((None, None)), credentials)?;
        let url = RedisUrl {
            layout,
            is_tls,
            username,
            password,
            database: number(database)?,
        };
        url.with(query)
    }

    /// Where it is, for people, without credentials.
    #[must_use]
    pub fn shown(&self) -> String {
        let list = |hosts: &[(String, u16)]| {
            let hosts = hosts.iter().map(|(host, port)| render(host, Some(*port)));
            hosts.collect::<Vec<_>>().join(",")
        };
        let s = if self.is_tls { "s" } else { "" };
        let database = self.database;
        match &self.layout {
            Layout::Server(host, port) => {
                format!("redis{s}://{}/{database}", render(host, Some(*port)))
            }
            Layout::Socket(path) => format!("unix://{}", path.display()),
            Layout::Sentinel { sentinels, name } => {
                format!("redis{s}+sentinel://{}/{name}/{database}", list(sentinels))
            }
            Layout::Cluster(nodes) => format!("redis{s}+cluster://{}", list(nodes)),
        }
    }

    fn with(mut self, query: &str) -> Result<(RedisUrl, Vec<String>), String> {
        let mut passed_over = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "db" => self.database = number(&value)?,
                _ => passed_over.push(name.into_owned()),
            }
        }
        if matches!(self.layout, Layout::Cluster(_)) && self.database != 0 {
            return Err("names a database, and a cluster has only number 0".to_owned());
        }
        Ok((self, passed_over))
    }
}

fn socket(path: &str, query: &str) -> Result<(RedisUrl, Vec<String>), String> {
    if !path.starts_with('/') {
        return Err("does not hold an absolute path".to_owned());
    }
    let url = RedisUrl {
        layout: Layout::Socket(PathBuf::from(decoded(path)?)),
        is_tls: false,
        username: None,
        password: None,
        database: 0,
    };
    url.with(query)
}

fn addresses(text: &str, default_port: u16) -> Result<Vec<(String, u16)>, String> {
    let addresses = text.split(',').map(|one| {
        let Authority { host, port } = Authority::parse(one.trim())?;
        Ok((host, port.unwrap_or(default_port)))
    });
    addresses.collect()
}

/// `user:password`, or `:password`. A word alone is a user everywhere else, and most often meant as a
/// password; `user:` is one whose user needs none.
fn credentials(text: &str) -> Result<(Option<String>, Option<SecretString>), String> {
    if text.contains(['/', '@']) {
        return Err(
            "has a user or password with characters that must be percent-encoded".to_owned(),
        );
    }
    let Some((user, password)) = text.split_once(':') else {
        return Err(
            "has a user and no password: a password alone is written as :password@, a user that needs none as user:@"
                .to_owned(),
        );
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    // A server asks for a password with a user, be it an empty one.
    let has_password = !user.is_empty() || !password.is_empty();
    Ok((
        (!user.is_empty()).then_some(user),
        has_password.then(|| SecretString::from(password)),
    ))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "has percent-encoding that is not UTF-8".to_owned())
}

fn number(text: &str) -> Result<i64, String> {
    match text {
        "" => Ok(0),
        text => text
            .parse::<u16>()
            .map(i64::from)
            .map_err(|_| "names a database that is no number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(text: &str) -> RedisUrl {
        RedisUrl::parse(text).expect(text).0
    }

    #[test]
    fn one_server_is_spelled_as_everywhere() {
        for (text, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://localhost", "redis://localhost:6379/0"),
            ("valkey://cache.internal/3", "redis://cache.internal:6379/3"),
            (
                "rediss://:planted@cache.example:6380",
                "rediss://cache.example:6380/0",
            ),
            ("REDIS://[::1]:7000/?db=2", "redis://[::1]:7000/2"),
            ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ] {
            assert_eq!(read(text).shown(), shown, "{text}");
        }
        assert_eq!(
            read("redis+unix:///run/redis.sock").layout,
            Layout::Socket(PathBuf::from("/run/redis.sock"))
        );
    }

    #[test]
    fn sentinels_and_clusters_have_several_hosts() {
        let sentinel = read("redis+sentinel://u:p@a:1,b,[::1]:3/mymaster/4");
        let sentinels = vec![
            ("a".to_owned(), 1),
            ("b".to_owned(), 26379),
            ("::1".to_owned(), 3),
        ];
        let name = "mymaster".to_owned();
        assert_eq!(sentinel.layout, Layout::Sentinel { sentinels, name });
        assert_eq!(
            (sentinel.database, sentinel.username.as_deref()),
            (4, Some("u"))
        );
        let cluster = read("rediss+cluster://a,b:7001");
        assert!(cluster.is_tls);
        assert_eq!(cluster.shown(), "rediss+cluster://a:6379,b:7001");
    }

    #[test]
    fn passwords_are_decoded_and_never_shown() {
        let url = read("redis://default:p%40ss%2Fplanted@h/0");
        let password = url.password.as_ref().expect("a password");
        assert_eq!(password.expose_secret(), "p@ss/planted");
        assert!(!format!("{url:?} {}", url.shown()).contains("planted"));
        let (url, passed_over) = RedisUrl::parse("redis://h?ssl_cert_reqs=none").expect("a URL");
        assert_eq!(
            (url.username, passed_over),
            (None, vec!["ssl_cert_reqs".to_owned()])
        );
    }

    #[test]
    fn a_word_before_the_host_must_say_whether_it_is_a_user_or_a_password() {
        let fault = RedisUrl::parse("redis://planted@h").expect_err("one word");
        assert!(
            fault.contains(":password@") && fault.contains("user:@"),
            "{fault}"
        );
        let read = |text| {
            let url = read(text);
            let password = url.password.map(|word| word.expose_secret().to_owned());
            (url.username, password)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("redis://:p@h"), (None, some("p")));
        assert_eq!(read("redis://u:@h"), (some("u"), some("")));
        assert_eq!(read("redis://:@h"), (None, None));
    }

    #[test]
    fn what_is_no_redis_is_refused_without_its_password() {
        for text in [
            "localhost:6379",
            "http://planted@h",
            "redis://",
            "redis://u:pl/anted@h",
            "redis://u:pl#anted@h",
            "redis://u:planted@h:port",
            "redis://u:planted@h/one",
            "redis://a,b",
            "redis://planted@h",
            "redis+sentinel://u:planted@a",
            "redis+cluster://a/1",
            "unix://run/redis.sock",
            "redis://u:%FFplanted@h",
        ] {
            let fault = RedisUrl::parse(text).expect_err(text);
            assert!(!fault.contains("planted"), "{fault}");
        }
    }
}
