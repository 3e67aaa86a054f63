//! Calls belong to their maker: nobody else hangs up, hears or steers them.

use super::*;
use crate::support::RedisServer;
use crate::support::ws::Socket;

/// A call by `/offer`; its id.
async fn offer(relay: &Relay, key: &str) -> String {
    let body = json!({ "sdp": crate::offer::SDP });
    let answer = call(relay, "POST", "/offer", &[&bearer(key)], Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["callId"].as_str().expect("an id").to_owned()
}

async fn status(relay: &Relay, key: &str, path: &str) -> u16 {
    call(relay, "POST", path, &[&bearer(key)], Some(&json!({})))
        .await
        .status
}

/// Whether a sideband opens.
async fn hears(relay: &Relay, key: &str, id: &str) -> bool {
    let target = format!("/v1/realtime?call_id={id}");
    Socket::open(relay.address(), &target, &[&bearer(key)])
        .await
        .is_ok()
}

#[tokio::test]
async fn a_call_is_its_makers_on_every_route() {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let relay = &people.relay;
    let admin = people.admin().await.access;
    let alice = people.join("alice").await.access;
    let wish = json!({ "name": "laptop" });
    let made = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish))
        .await
        .json();
    let alices_key = made["key"].as_str().expect("a key").to_owned();
    let (key, _) = make(&people.database, &[]).await;
    let (stranger, _) = make(&people.database, &[]).await;

    let id = offer(relay, &key).await;
    people.upstream.take_received();
    for other in [
        &stranger,
        &alice,
        &alices_key,
        &admin,
        &RELAY_TOKEN.to_owned(),
    ] {
        for route in ["hangup", "accept", "reject", "refer", "what-comes-next"] {
            for path in [
                format!("/v1/realtime/calls/{id}/{route}"),
                format!("/v1/realtime/calls/{id}/{route}?call_id=other"),
                format!("/v1/realtime/c%61lls/{id}/{route}"),
                format!("/v1/realtime/calls/{}/{route}", id.replace('_', "%5F")),
            ] {
                assert_eq!(status(relay, other, &path).await, 404, "{path}");
            }
        }
        assert!(!hears(relay, other, &id).await);
        assert!(!hears(relay, other, &format!("{id}&call_id=own")).await);
        assert!(!hears(relay, other, &id.replace('_', "%5f")).await);
    }
    assert!(
        people.upstream.take_received().is_empty(),
        "nobody else gets to OpenAI"
    );
    assert!(hears(relay, &key, &id).await);
    assert_eq!(
        status(relay, &key, &format!("/v1/realtime/calls/{id}/hangup")).await,
        200
    );

    // A user's credentials are one, and a token's calls are its maker's.
    let id = offer(relay, &alices_key).await;
    assert!(hears(relay, &alice, &id).await);
    let body = json!({ "session": { "type": "realtime", "model": VOICE } });
    let minted = ask(
        &people,
        "POST",
        "/v1/realtime/client_secrets",
        &key,
        Some(&body),
    )
    .await
    .json();
    let id = offer(relay, minted["value"].as_str().expect("a token")).await;
    assert!(hears(relay, &key, &id).await);
    assert!(!hears(relay, &alice, &id).await);
}

#[tokio::test]
async fn calls_that_nobody_knows_are_left_to_those_who_run_the_relay() {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let replica = people.replica(&[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let admin = people.admin().await.access;
    let alice = people.join("alice").await.access;
    let (key, _) = make(&people.database, &[]).await;
    // The other relay does not know it.
    let id = offer(&people.relay, RELAY_TOKEN).await;
    for (caller, expected) in [
        (RELAY_TOKEN, 200),
        (&admin, 200),
        (&alice, 404),
        (&key, 404),
    ] {
        let path = format!("/v1/realtime/calls/{id}/accept");
        assert_eq!(status(&replica, caller, &path).await, expected);
        assert_eq!(hears(&replica, caller, &id).await, expected == 200);
    }
}

#[tokio::test]
async fn relays_on_one_redis_know_each_others_calls() {
    let redis = RedisServer::start();
    let url = redis.url();
    // What is noted later than that is not noted there at all.
    let variables = [("REDIS_URL", url.as_str()), ("REDIS_TIMEOUT", "10s")];
    let people = People::start_with(Home::Sqlite, &variables).await;
    let replica = people.replica(&variables).await;
    let (key, _) = make(&people.database, &[]).await;
    let (stranger, _) = make(&people.database, &[]).await;
    let id = offer(&people.relay, &key).await;
    assert!(hears(&replica, &key, &id).await);
    assert!(!hears(&replica, &stranger, &id).await);
}

/// A Live session by HTTP; its id.
async fn live_by_http(relay: &Relay, key: &str) -> String {
    let body = json!({
        "session": { "model": "gpt-live-1" },
        "transport": { "type": "webrtc", "sdp": crate::offer::SDP },
    });
    let lines = [bearer(key), "Accept-Encoding: gzip".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(relay, "POST", "/v1/live/sessions", &lines, Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert!(
        json["transport"]["sdp"]
            .as_str()
            .expect("SDP")
            .starts_with("v=0")
    );
    json["session"]["id"].as_str().expect("an id").to_owned()
}

/// The same over a socket, which has to stay.
async fn live_by_socket(relay: &Relay, key: &str) -> (String, Socket) {
    let opened = Socket::open(relay.address(), "/v1/live/sessions", &[&bearer(key)]).await;
    let mut socket = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let start = json!({ "type": "session.start", "session": { "model": "gpt-live-1" } });
    socket.say(&start.to_string()).await;
    let started = socket.event().await;
    assert_eq!(started["type"], "session.started");
    let id = started["session"]["id"].as_str().expect("an id").to_owned();
    (id, socket)
}

/// Whether somebody hears a Live session.
async fn attaches(relay: &Relay, key: &str, id: &str) -> bool {
    let target = format!("/v1/live/sessions/{id}/attach");
    Socket::open(relay.address(), &target, &[&bearer(key)])
        .await
        .is_ok()
}

#[tokio::test]
async fn a_request_that_names_calls_by_the_dozen_is_refused_before_any_is_looked_up() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &[]).await;
    let many: Vec<String> = (0..12).map(|call| format!("call_id=rtc_{call}")).collect();
    let path = format!("/v1/realtime/calls?{}", many.join("&"));
    let answer = ask(&people, "GET", &path, &key, None).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("names several"), "{}", answer.text());
}

#[tokio::test]
async fn what_is_pinned_cannot_be_set_past_the_relay() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--pin", "instructions"]).await;
    let (free, _) = make(&people.database, &["--pin", "model"]).await;
    people.upstream.take_received();
    let sdp = crate::offer::SDP;
    let offer = json!({ "sdp": sdp });
    let live = json!({ "transport": { "type": "webrtc", "sdp": sdp } });
    for (path, body) in [("/offer", &offer), ("/v1/live/sessions", &live)] {
        let answer = ask(&people, "POST", path, &key, Some(body)).await;
        assert_forbidden(&answer, "pinned");
        assert!(answer.text().contains("by WebSocket"), "{}", answer.text());
    }
    assert!(people.upstream.take_received().is_empty());
    let answer = ask(&people, "POST", "/offer", &free, Some(&offer)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_live_session_is_its_makers_on_every_route() {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let relay = &people.relay;
    let alice = people.join("alice").await.access;
    let (key, _) = make(&people.database, &[]).await;
    let (judged, _) = make(&people.database, &["--pin", "voice"]).await;
    let (stranger, _) = make(&people.database, &[]).await;
    for maker in [&key, &judged, &alice, &RELAY_TOKEN.to_owned()] {
        let (spoken, _socket) = live_by_socket(relay, maker).await;
        let mut ids = vec![spoken.clone()];
        // What is pinned would not hold over WebRTC.
        if *maker != judged {
            let made = live_by_http(relay, maker).await;
            let path = format!("/v1/live/sessions/{made}/fork");
            let answer = ask(&people, "POST", &path, maker, Some(&json!({}))).await;
            let forked = answer.json()["session"]["id"].clone();
            ids.extend([made, forked.as_str().expect("an id").to_owned()]);
        }
        people.upstream.take_received();
        for id in &ids {
            for route in [
                "hangup",
                "accept",
                "reject",
                "refer",
                "fork",
                "what-comes-next",
            ] {
                for path in [
                    format!("/v1/live/sessions/{id}/{route}"),
                    format!("/v1/live/s%65ssions/{id}/{route}"),
                    format!("/v1/live/sessions/{}/{route}", id.replace('_', "%5F")),
                ] {
                    assert_eq!(status(relay, &stranger, &path).await, 404, "{path}");
                }
            }
            let path = format!("/v1/live/sessions/{id}/content");
            assert_eq!(
                ask(&people, "GET", &path, &stranger, None).await.status,
                404
            );
            assert!(!attaches(relay, &stranger, id).await);
            assert!(
                people.upstream.take_received().is_empty(),
                "nobody else gets to OpenAI"
            );
            assert_eq!(ask(&people, "GET", &path, maker, None).await.status, 200);
            let path = format!("/v1/live/sessions/{id}/accept");
            assert_eq!(status(relay, maker, &path).await, 200, "{path}");
            people.upstream.take_received();
        }
        assert!(attaches(relay, maker, &spoken).await);
    }
    people.upstream.take_received();
    for caller in [&stranger, &alice] {
        let path = "/v1/live/sessions/live_unknown/hangup";
        assert_eq!(status(relay, caller, path).await, 404);
        assert!(people.upstream.take_received().is_empty());
    }
    assert_eq!(
        status(relay, RELAY_TOKEN, "/v1/live/sessions/live_unknown/hangup").await,
        404
    );
    assert_eq!(
        people.upstream.take_received().len(),
        1,
        "it is left to OpenAI"
    );
}
