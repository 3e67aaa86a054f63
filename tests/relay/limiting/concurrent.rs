//! What runs at the same time: a place is held until the end, however that comes about.

use fake_openai::FakeOpenAi;

use super::{free_again, from, models, retry_after, statuses};
use crate::support::ws::Socket;
use crate::support::{
    Connection, Relay, authorization, eventually, get, pair_with, request, stream,
};

async fn capped(limits: &str) -> (FakeOpenAi, Relay) {
    pair_with(&[("RATE_LIMITS", limits)]).await
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_has_ended() {
    let (upstream, relay) = capped("concurrent all=3 per user").await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(stream(&relay, &[]).await.expect("a place"));
    }
    upstream.take_received();
    let refused = models(&relay).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    assert!(retry_after(&refused) > 0);
    assert!(
        refused
            .text()
            .contains("3 requests of one user at the same time"),
        "{}",
        refused.text()
    );
    assert!(upstream.take_received().is_empty());
    // One client leaves in the middle of its stream.
    streams.pop();
    streams.push(free_again(&relay).await);
    assert_eq!(models(&relay).await.status, 429);
}

#[tokio::test]
async fn a_request_that_ends_gives_its_place_back_by_itself() {
    let (_upstream, relay) = capped("concurrent all=1 per user").await;
    for number in 0..50 {
        let path = if number % 2 == 0 {
            "/v1/models"
        } else {
            "/v1/_fake/bytes?n=9"
        };
        let answer = get(relay.address(), path, &[&authorization()]).await;
        assert_eq!(answer.status, 200, "{number}");
    }
    // The upstream breaks off, before and in the middle of its answer.
    for script in ["reset-head=0", "cut-at=10", "garbage", "status=500"] {
        let script = format!("X-Fake-Script: {script}");
        let bytes = request(
            "GET",
            "/v1/_fake/bytes?n=100",
            &[&authorization(), &script],
            b"",
        );
        let mut connection = Connection::open(relay.address()).await;
        connection.write(&bytes).await;
        while connection.more().await.is_some() {
            if connection.head().await.is_none() {
                break;
            }
        }
    }
    drop(free_again(&relay).await);
}

#[tokio::test]
async fn sessions_and_requests_of_a_family_share_its_places() {
    let (_upstream, relay) = capped("concurrent realtime=2 per user").await;
    let key = authorization();
    let lines = [key.as_str()];
    let open = || Socket::open(relay.address(), "/v1/realtime", &lines);
    let first = open().await.expect("a place");
    let _second = open().await.expect("a place");
    let refused = open().await.err().expect("refused");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(super::offer(&relay, &[&key]).await.status, 429);
    // Other families have other places.
    assert_eq!(models(&relay).await.status, 200);
    drop(first);
    let mut is_free = false;
    for _ in 0..1000 {
        is_free = open().await.is_ok();
        if is_free {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(is_free, "a place again");
}

#[tokio::test]
async fn places_are_counted_by_address_where_that_is_asked_for() {
    let (_upstream, relay) = capped("concurrent all=1 per ip").await;
    let _stream = stream(&relay, &["X-Forwarded-For: 203.0.113.1"])
        .await
        .expect("a place");
    assert_eq!(from(&relay, "203.0.113.1", "/v1/models").await.status, 429);
    assert_eq!(from(&relay, "203.0.113.2", "/v1/models").await.status, 200);
}

#[tokio::test]
async fn who_finds_no_place_is_not_charged_for_the_request() {
    let (_upstream, relay) = capped("all=3/1h; concurrent all=1").await;
    let held = stream(&relay, &[]).await.expect("a place");
    for _ in 0..10 {
        assert_eq!(models(&relay).await.status, 429);
    }
    drop(held);
    drop(free_again(&relay).await);
    let last = loop {
        let answer = models(&relay).await;
        if answer.status == 200 || answer.text().contains("in 3600s") {
            break answer;
        }
    };
    assert_eq!(last.status, 200, "the third of three");
    assert!(models(&relay).await.text().contains("in 3600s"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_at_once_never_hold_more_places_than_there_are() {
    let (upstream, relay) = capped("concurrent all=7 per user").await;
    let address = relay.address();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        clients.spawn(async move {
            let script = "X-Fake-Script: hang=head";
            let bytes = request("GET", "/v1/models", &[&authorization(), script], b"");
            let mut connection = Connection::open(address).await;
            connection.write(&bytes).await;
            connection.answer(false).await.expect("an answer")
        });
    }
    let mut refused = Vec::new();
    while refused.len() < 43 {
        refused.push(
            clients
                .join_next()
                .await
                .expect("a client")
                .expect("an answer"),
        );
    }
    assert_eq!(statuses(&refused), [(429, 43)].into());
    eventually("the others hang", || upstream.open_connections() == 7).await;
    clients.shutdown().await;
    eventually("all places are free", || upstream.open_connections() == 0).await;
    let mut places = Vec::new();
    for _ in 0..7 {
        places.push(free_again(&relay).await);
    }
    assert_eq!(models(&relay).await.status, 429);
}
