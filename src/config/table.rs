//! The table of variables: one row for each, with what it is called, means and accepts.
//!
//! A default stands here and nowhere else; a variable must never be read that has no row and no effect.

use secrecy::SecretString;

use super::accounts::ACCOUNTS;
use super::draft::{Draft, put};
use super::limiting::LIMITING;
use super::limits::LIMITS;
use super::realtime::REALTIME;
use super::row::{PLAIN, Row, Section};
use super::tokens::TOKENS;
use super::{BaseUrl, ProxyUrl, file, value};

const SECONDS: &str = "seconds, or a number with ms, s, m or h, such as 500ms or 15m; at most 168h";
const POSITIVE_SECONDS: &str =
    "seconds above 0, or a number with ms, s, m or h, such as 500ms or 15m; at most 168h";
const YES_NO: &str = "true, false, 1, 0, yes, no, on or off";
const PROXY: &str =
    "an http, https, socks4, socks5 or socks5h URL, with user and password if needed";

/// Every variable that has an effect, in the order of the documents.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .chain(REALTIME)
        .chain(LIMITS)
        .chain(LIMITING)
        .chain(ACCOUNTS)
        .chain(TOKENS)
}

const ROWS: &[Row] = &[
    Row {
        name: "OPENAI_API_KEY",
        accepts: "an OpenAI API key, without spaces and without the word Bearer",
        help: "The server's OpenAI key, which clients use without seeing it. Not needed where every client brings an ephemeral \
               credential of its own.",
        secret: true,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.api_key,
                value::api_key(text).map(|text| Some(SecretString::from(text))),
            )
        },
        ..PLAIN
    },
    Row {
        name: "RELAY_TOKEN",
        aliases: &["OPENAI_RELAY_TOKEN"],
        accepts: "printable ASCII, best 32 or more letters and digits, for instance from `openssl rand -hex 32`",
        help: "The token that clients send as `Authorization: Bearer` to use the server's key. Browsers can carry it only if it is \
               made of letters, digits and ``!#$%&'*+-.^_`|~``. It must differ from `OPENAI_API_KEY`.",
        secret: true,
        set: |draft, text| {
            put(
                &mut draft.config.access.relay_token,
                value::credential(text).map(|text| Some(SecretString::from(text))),
            )
        },
        ..PLAIN
    },
    Row {
        name: "ALLOWED_ORIGINS",
        accepts: "origins such as https://app.example.com, comma-separated or as a JSON list, or *",
        help: "The web pages that may call, by origin. Matched exactly: scheme, host and port, no path, no wildcard inside. Unset, \
               it means any origin in development and none in production.",
        section: Section::Access,
        set: |draft, text| put(&mut draft.origins, value::origins(text).map(Some)),
        ..PLAIN
    },
    Row {
        name: "ALLOW_ANONYMOUS",
        default: "false",
        accepts: YES_NO,
        help: "Where no RELAY_TOKEN is set, serve requests without any credential, with the server's key.",
        section: Section::Access,
        set: |draft, text| {
            put(
                &mut draft.config.access.allow_anonymous,
                value::boolean(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "ALLOW_CLIENT_KEYS",
        default: "false",
        accepts: YES_NO,
        help: "Let clients bring a full OpenAI key (`sk-…`) of their own, which then goes upstream in place of the server's.",
        section: Section::Access,
        set: |draft, text| {
            put(
                &mut draft.config.access.allow_client_keys,
                value::boolean(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "HOST",
        default: "0.0.0.0",
        accepts: "an IPv4 or IPv6 address, or localhost",
        help: "The address to listen on. `127.0.0.1` serves this machine only.",
        section: Section::Server,
        set: |draft, text| put(&mut draft.config.server.host, value::host(text)),
        ..PLAIN
    },
    Row {
        name: "PORT",
        default: "8080",
        accepts: "a number from 0 to 65535 (0 takes any free port)",
        help: "The port to listen on.",
        section: Section::Server,
        set: |draft, text| put(&mut draft.config.server.port, value::port(text)),
        ..PLAIN
    },
    Row {
        name: "METRICS_ADDRESS",
        accepts: "an address and a port such as 127.0.0.1:9464 or [::1]:9464",
        help: "A second address that answers `/metrics`, `/health`, `/ready`, `/stats` and `/api/v1/health/detailed` to whoever reaches it, \
               without a credential and without TLS. For a network of your own.",
        section: Section::Server,
        set: |draft, text| {
            put(
                &mut draft.config.server.metrics_address,
                value::listener(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "TLS_CERT",
        accepts: "the path of a PEM file of certificates, the server's own first",
        help: "The certificate chain to serve with. With it `PORT` speaks TLS only. The file is read again when it changes; what \
               cannot be read leaves the old pair in use.",
        section: Section::Server,
        set: |draft, text| {
            put(
                &mut draft.config.server.tls_cert,
                file::authorities(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "TLS_KEY",
        accepts: "the path of a PEM file of a private key",
        help: "The private key of `TLS_CERT`.",
        section: Section::Server,
        set: |draft, text| {
            put(
                &mut draft.config.server.tls_key,
                file::private_key(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "NODE_ENV",
        default: "development",
        accepts: "production; anything else counts as development",
        help: "Where the relay runs: production makes the defaults strict. `RELAY_ENV` wins over it.",
        section: Section::Server,
        set: Draft::set_node_env,
        ..PLAIN
    },
    Row {
        name: "RELAY_ENV",
        accepts: "production or development",
        help: "As `NODE_ENV`, for this program alone.",
        section: Section::Server,
        set: |draft, text| put(&mut draft.config.environment, value::environment(text)),
        ..PLAIN
    },
    Row {
        name: "TRUSTED_PROXIES",
        default: "loopback,private",
        accepts: "addresses and CIDR ranges, comma-separated, the words loopback and private, or none",
        help: "The proxies whose `X-Forwarded-For` and `Forwarded` headers are believed, read from the right. `loopback` is \
               127.0.0.0/8 and ::1; `private` is 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7. With \
               `none`, all users behind a proxy count as one address.",
        section: Section::Server,
        set: |draft, text| {
            put(
                &mut draft.config.server.trusted_proxies,
                value::trusted_proxies(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "DRAIN_TIMEOUT",
        default: "30",
        unit: "s",
        accepts: SECONDS,
        help: "How long running work may go on after the signal to stop, `DRAIN_DELAY` included. Keep it below what your \
               supervisor waits before it kills: Docker 10 s, Kubernetes 30 s, systemd 90 s.",
        section: Section::Server,
        set: |draft, text| {
            put(
                &mut draft.config.server.drain_timeout,
                value::duration(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "DRAIN_DELAY",
        default: "0",
        unit: "s",
        accepts: SECONDS,
        help: "How long `/ready` says draining before new work is refused. Behind a load balancer, set it to what the balancer \
               takes to notice.",
        section: Section::Server,
        set: |draft, text| put(&mut draft.config.server.drain_delay, value::duration(text)),
        ..PLAIN
    },
    Row {
        name: "OPENAI_BASE_URL",
        default: "https://api.openai.com/v1",
        accepts: "an https or http URL without user, query and fragment",
        help: "Where OpenAI's API is, with or without `/v1` at the end.",
        section: Section::Upstream,
        set: |draft, text| put(&mut draft.config.upstream.base, BaseUrl::parse(text)),
        ..PLAIN
    },
    Row {
        name: "OPENAI_CONNECT_TIMEOUT",
        default: "10",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "The longest wait for a connection to OpenAI, TLS included.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.connect_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "OPENAI_READ_TIMEOUT",
        default: "600",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "The longest silence between bytes from OpenAI. It never limits the whole answer.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.read_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "OPENAI_WRITE_TIMEOUT",
        default: "300",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "The longest wait for OpenAI to take more bytes of a request.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.write_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "OPENAI_POOL_TIMEOUT",
        default: "10",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "The longest wait for a free connection to OpenAI.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.pool_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "HTTPS_PROXY",
        aliases: &["https_proxy"],
        accepts: PROXY,
        help: "The outbound proxy for an https upstream.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.proxy.https,
                ProxyUrl::parse(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "ALL_PROXY",
        aliases: &["all_proxy"],
        accepts: PROXY,
        help: "The outbound proxy where no other one is set.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.proxy.all,
                ProxyUrl::parse(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "NO_PROXY",
        aliases: &["no_proxy"],
        accepts: "host names, domains, addresses and ranges, comma-separated, or *",
        help: "The hosts that are dialled without a proxy.",
        section: Section::Upstream,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.proxy.no,
                value::no_proxy(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "OPENAI_CA_FILE",
        accepts: "the path of a PEM file of certificates",
        help: "Further certificate authorities to trust towards OpenAI, for inspecting proxies and private gateways.",
        section: Section::Upstream,
        set: |draft, text| file::authorities(text).map(|path| draft.add_ca_file(path)),
        ..PLAIN
    },
    Row {
        name: "SSL_CERT_FILE",
        accepts: "the path of a PEM file of certificates",
        help: "As `OPENAI_CA_FILE`, under the name that other programs read too; both may be set.",
        section: Section::Upstream,
        set: |draft, text| file::authorities(text).map(|path| draft.add_ca_file(path)),
        ..PLAIN
    },
    Row {
        name: "LOG_LEVEL",
        default: "info",
        accepts: "critical, fatal, error, warn, warning, notice, info, http, verbose, debug, silly or trace, in any case",
        help: "The least level that is written.",
        section: Section::Log,
        set: |draft, text| put(&mut draft.config.log.level, value::level(text)),
        ..PLAIN
    },
    Row {
        name: "DEBUG",
        default: "false",
        accepts: "true, false, 1, 0, yes, no, on or off; a pattern of another program is passed over",
        help: "Write debug messages too. `LOG_LEVEL` wins over it.",
        section: Section::Log,
        set: Draft::set_debug,
        ..PLAIN
    },
    Row {
        name: "LOG_FORMAT",
        default: "auto",
        accepts: "auto, pretty or json",
        help: "The shape of a log line: `auto` is pretty on a terminal and JSON otherwise.",
        section: Section::Log,
        set: |draft, text| put(&mut draft.config.log.format, value::log_format(text)),
        ..PLAIN
    },
    Row {
        name: "LOG_FILE",
        accepts: "the path of a file that can be written",
        help: "The file to write the log to. SIGHUP opens it anew, after it was moved away.",
        section: Section::Log,
        set: |draft, text| put(&mut draft.config.log.file, file::writable(text).map(Some)),
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::file_name;

    #[test]
    fn every_default_is_a_value_that_its_own_row_accepts() {
        for row in rows().filter(|row| !row.default.is_empty()) {
            assert_eq!(
                (row.set)(&mut Draft::blank(), row.default),
                Ok(()),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn no_two_variables_share_a_name_or_a_file_name() {
        let mut names: Vec<String> = rows().flat_map(Row::names).map(str::to_owned).collect();
        names.extend(names.clone().iter().map(|name| file_name(name)));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_row_says_what_it_is_for_and_what_it_accepts() {
        for row in rows() {
            assert!(
                row.help.contains('.') && !row.accepts.is_empty() && !row.accepts.ends_with('.'),
                "{}",
                row.name
            );
            assert!(!row.secret || row.default.is_empty(), "{}", row.name);
        }
    }
}
