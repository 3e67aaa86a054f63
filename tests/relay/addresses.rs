//! P10: whose address a request counts under, seen in the log's `client`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Connection, Relay, authorization, pair_with, trust};

/// Sends a request with these lines and returns the client that the log names.
async fn client(relay: &mut Relay, lines: &[&str]) -> String {
    let path = format!("/v1/probe-{}", uuid::Uuid::new_v4().simple());
    let mut connection = Connection::open(relay.address()).await;
    connection.write(&probe(&path, lines)).await;
    connection.answer(false).await.expect("an answer");
    let line = relay
        .line(|line: &Value| line["path"] == path.as_str())
        .await;
    line["client"].as_str().expect("a client").to_owned()
}

fn probe(path: &str, lines: &[&str]) -> Vec<u8> {
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: relay.test\r\n{}\r\n",
        authorization()
    );
    for line in lines {
        head.push_str(&format!("{line}\r\n"));
    }
    (head + "\r\n").into_bytes()
}

async fn check(trusted: &str, cases: &[(&[&str], &str)]) {
    let (_upstream, mut relay) = pair_with(&[("TRUSTED_PROXIES", trusted)]).await;
    for (lines, expected) in cases {
        assert_eq!(
            client(&mut relay, lines).await,
            *expected,
            "TRUSTED_PROXIES={trusted}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn chains_are_read_from_the_right_through_trusted_proxies() {
    check(
        "loopback,private",
        &[
            (&[], "127.0.0.1"),
            (&["X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
            (&["x-forwarded-for:203.0.113.7"], "203.0.113.7"),
            (&["X-Forwarded-For: 203.0.113.7, 10.0.0.1"], "203.0.113.7"),
            (&["X-Forwarded-For: 203.0.113.7,10.0.0.1"], "203.0.113.7"),
            (
                &["X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.0.0.1, 192.168.1.1"],
                "203.0.113.7",
            ),
            // A client cannot hide behind an address that it claims is a proxy's.
            (
                &["X-Forwarded-For: 10.9.9.9, 127.0.0.1, 203.0.113.7, 172.16.0.1"],
                "203.0.113.7",
            ),
            (
                &["X-Forwarded-For: 203.0.113.7, 100.64.0.1, fc00::1, ::1"],
                "203.0.113.7",
            ),
            (&["X-Forwarded-For: 203.0.113.7, 172.32.0.1"], "172.32.0.1"),
        ],
    )
    .await;
    trust::record(
        "P10",
        "each chain of proxies on the list has its exact client",
    );
}

#[tokio::test]
async fn several_lines_are_one_chain() {
    check(
        "loopback,private",
        &[
            (
                &[
                    "X-Forwarded-For: 198.51.100.1",
                    "X-Forwarded-For: 203.0.113.7",
                ],
                "203.0.113.7",
            ),
            (
                &["X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 10.0.0.1"],
                "203.0.113.7",
            ),
            (
                &[
                    "X-Forwarded-For: 198.51.100.1",
                    "X-Other: 1",
                    "x-forwarded-for: 203.0.113.7, 10.0.0.2",
                    "X-FORWARDED-FOR: 10.0.0.1",
                ],
                "203.0.113.7",
            ),
            (
                &[
                    "Forwarded: for=198.51.100.1",
                    "Forwarded: for=203.0.113.7, for=10.0.0.1",
                ],
                "203.0.113.7",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chain_of_trusted_proxies_alone_begins_at_its_outermost() {
    trust::record(
        "P10",
        "every listed chain of proxies has its exact client; forged ones count as their peer",
    );
    check(
        "loopback,private",
        &[
            (&["X-Forwarded-For: 10.0.0.9, 10.0.0.1"], "10.0.0.9"),
            (&["X-Forwarded-For: 127.0.0.1"], "127.0.0.1"),
            (&["X-Forwarded-For: fc00::9, ::1, 192.168.0.1"], "fc00::9"),
            (&["Forwarded: for=10.0.0.9, for=10.0.0.1"], "10.0.0.9"),
        ],
    )
    .await;
}

#[tokio::test]
async fn addresses_are_read_in_every_spelling() {
    check(
        "loopback,private",
        &[
            (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
            (&["X-Forwarded-For: 2001:DB8:0:0::1"], "2001:db8::1"),
            (&["X-Forwarded-For: [2001:db8::1]"], "2001:db8::1"),
            (&["X-Forwarded-For: [2001:db8::1]:443"], "2001:db8::1"),
            (&["X-Forwarded-For: 203.0.113.7:5555"], "203.0.113.7"),
            (&["X-Forwarded-For: ::ffff:203.0.113.7"], "203.0.113.7"),
            (
                &["X-Forwarded-For: 203.0.113.7, ::ffff:10.0.0.1"],
                "203.0.113.7",
            ),
            (
                &["X-Forwarded-For: 203.0.113.7 ,\t10.0.0.1 "],
                "203.0.113.7",
            ),
            (&["Forwarded: for=203.0.113.7;proto=https"], "203.0.113.7"),
            (
                &["Forwarded: proto=https; By=10.0.0.1; FOR=203.0.113.7"],
                "203.0.113.7",
            ),
            (&["Forwarded: for=\"203.0.113.7:80\""], "203.0.113.7"),
            (
                &["Forwarded: for=198.51.100.1, For=\"[2001:db8::1]:4711\""],
                "2001:db8::1",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_chain_at_the_last_proxy_known() {
    check(
        "loopback,private",
        &[
            (&["X-Forwarded-For: unknown"], "127.0.0.1"),
            (&["X-Forwarded-For: "], "127.0.0.1"),
            (&["X-Forwarded-For: garbage, 10.0.0.1"], "10.0.0.1"),
            (
                &["X-Forwarded-For: 203.0.113.7, garbage, 10.0.0.1"],
                "10.0.0.1",
            ),
            (
                &["X-Forwarded-For: 203.0.113.7, unknown, 10.0.0.2, 10.0.0.1"],
                "10.0.0.2",
            ),
            (&["X-Forwarded-For: 203.0.113.7, 999.1.1.1"], "127.0.0.1"),
            (&["X-Forwarded-For: 203.0.113.7, 0x7f000001"], "127.0.0.1"),
            (&["X-Forwarded-For: 203.0.113.7,"], "127.0.0.1"),
            (&["Forwarded: for=_hidden, for=10.0.0.1"], "10.0.0.1"),
            (&["Forwarded: for=unknown"], "127.0.0.1"),
            (&["Forwarded: proto=https"], "127.0.0.1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn bytes_beyond_ascii_do_not_hide_the_client() {
    check(
        "loopback,private",
        &[
            (&["X-Forwarded-For: \u{e4}, 203.0.113.7"], "203.0.113.7"),
            (
                &["X-Forwarded-For: \u{e4}, 203.0.113.7, 10.0.0.1"],
                "203.0.113.7",
            ),
            (&["X-Forwarded-For: \u{e4}, 10.0.0.1"], "10.0.0.1"),
            (
                &["X-Forwarded-For: \u{e4}", "X-Forwarded-For: 203.0.113.7"],
                "203.0.113.7",
            ),
            (&["Forwarded: for=\u{e4}, for=203.0.113.7"], "203.0.113.7"),
        ],
    )
    .await;
}

#[tokio::test]
async fn x_forwarded_for_goes_before_forwarded_and_nothing_else_is_believed() {
    check(
        "loopback,private",
        &[
            (
                &[
                    "Forwarded: for=198.51.100.1",
                    "X-Forwarded-For: 203.0.113.7",
                ],
                "203.0.113.7",
            ),
            (&["X-Real-IP: 203.0.113.7"], "127.0.0.1"),
            (&["True-Client-IP: 203.0.113.7"], "127.0.0.1"),
            (&["CF-Connecting-IP: 203.0.113.7"], "127.0.0.1"),
            (&["X-Client-IP: 203.0.113.7"], "127.0.0.1"),
            (&["X_Forwarded_For: 203.0.113.7"], "127.0.0.1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_peer_that_is_not_on_the_list_is_the_client_whatever_it_says() {
    for trusted in ["none", "private", "10.0.0.0/8", "127.0.0.2", "203.0.113.7"] {
        check(
            trusted,
            &[
                (&[], "127.0.0.1"),
                (&["X-Forwarded-For: 203.0.113.7"], "127.0.0.1"),
                (&["X-Forwarded-For: 203.0.113.7, 10.0.0.1"], "127.0.0.1"),
                (&["Forwarded: for=203.0.113.7"], "127.0.0.1"),
                (&["X-Real-IP: 203.0.113.7"], "127.0.0.1"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_list_of_ones_own_counts_exactly_its_proxies() {
    check(
        "127.0.0.1, 198.51.100.0/24, 2001:db8:1::/48",
        &[
            (&["X-Forwarded-For: 203.0.113.7, 10.0.0.1"], "10.0.0.1"),
            (
                &["X-Forwarded-For: 203.0.113.7, 198.51.100.255"],
                "203.0.113.7",
            ),
            (
                &["X-Forwarded-For: 203.0.113.7, 198.51.101.0"],
                "198.51.101.0",
            ),
            (
                &["X-Forwarded-For: 2001:db8:2::1, 2001:db8:1:ffff::1"],
                "2001:db8:2::1",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn loopback_and_private_ranges_are_trusted_by_default() {
    let (_upstream, mut relay) = pair_with(&[]).await;
    let lines = ["X-Forwarded-For: 203.0.113.7, 172.31.255.255, 192.168.0.1"];
    assert_eq!(client(&mut relay, &lines).await, "203.0.113.7");
}

#[tokio::test]
async fn a_thousand_forgeries_of_an_untrusted_peer_are_one_address() {
    let (_upstream, mut relay) = pair_with(&[("TRUSTED_PROXIES", "none")]).await;
    let mut connection = Connection::open(relay.address()).await;
    for forged in 0..1000u32 {
        let ip = std::net::Ipv4Addr::from(0xcb00_7100 + forged);
        let lines = [
            format!("X-Forwarded-For: {ip}"),
            format!("Forwarded: for={ip}"),
            format!("X-Real-IP: {ip}"),
            format!("CF-Connecting-IP: {ip}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        connection.write(&probe("/v1/forged", &lines)).await;
        connection.answer(false).await.expect("an answer");
    }
    client(&mut relay, &[]).await;
    let mut clients: BTreeMap<String, usize> = BTreeMap::new();
    for line in relay.exchanges() {
        if line["path"] == "/v1/forged" {
            *clients.entry(line["client"].to_string()).or_default() += 1;
        }
    }
    assert_eq!(
        clients,
        BTreeMap::from([("\"127.0.0.1\"".to_owned(), 1000)])
    );
}
