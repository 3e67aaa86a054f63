//! How exchanges over HTTP/2 end, and what they leave in the log.

use super::*;
use crate::support::pair_with;

#[tokio::test]
async fn the_reset_of_a_stream_ends_its_own_exchange_upstream_and_no_other() {
    let (upstream, mut relay) = pair().await;
    let client = Client::connect(&relay).await;
    let (sender, body) = pieces();
    sender.send(Frame::data("hello".into())).await.unwrap();
    let neighbour = tokio::spawn({
        let client = client.clone();
        async move {
            let post = request("POST", "/v1/_fake/echo", &[], body);
            read(client.send(post).await).await.1
        }
    });
    let mut leaving = client.send(stream_request("hang=body")).await;
    leaving.frame().await.expect("a frame").expect("a good one");
    eventually("both are upstream", || upstream.open_connections() == 2).await;
    drop(leaving);
    eventually("one of them has ended", || upstream.open_connections() == 1).await;
    let line = relay.line(|line| line["outcome"] == "client_gone").await;
    assert_eq!(line["path"], "/v1/chat/completions");
    sender.send(Frame::data("world".into())).await.unwrap();
    drop(sender);
    let echoed = json_of(&neighbour.await.unwrap());
    assert_eq!(echoed["body"], "helloworld");
    let (head, _) = client.get("/v1/models").await;
    assert_eq!(head.status(), StatusCode::OK, "the connection lives on");
}

#[tokio::test]
async fn the_reset_of_an_upload_never_looks_complete_upstream() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let (sender, body) = pieces();
    sender.send(Frame::data("hello".into())).await.unwrap();
    let upload = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .send(request("POST", "/v1/_fake/echo", &[], body))
                .await
        }
    });
    eventually("the part is upstream", || {
        upstream
            .received()
            .iter()
            .any(|request| request.body == b"hello")
    })
    .await;
    upload.abort();
    eventually("the upstream is left", || upstream.open_connections() == 0).await;
    assert!(!upstream.take_received().remove(0).complete);
    let (head, _) = client.get("/v1/models").await;
    assert_eq!(head.status(), StatusCode::OK, "the connection lives on");
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_in_an_error() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    for target in [
        "/v1/_fake/bytes?n=50000&chunked=1",
        "/v1/_fake/bytes?n=50000",
    ] {
        let lines = [("x-fake-script", "cut-at=20000")];
        let answer = client.send(request("GET", target, &lines, none())).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let whole = answer.into_body().collect().await;
        assert!(whole.is_err(), "{target} looks whole");
    }
}

#[tokio::test]
async fn the_log_line_is_the_same_as_over_http_1_1() {
    let (_upstream, mut relay) = pair().await;
    let client = Client::connect(&relay).await;
    let post = request("POST", "/v1/_fake/echo", &[], whole(vec![b'x'; 321]));
    let (head, body) = read(client.send(post).await).await;
    let id = head.headers()["x-request-id"].to_str().unwrap().to_owned();
    let line = relay.line(|line| line["request_id"] == id.as_str()).await;
    let expected = json!({
        "subject": "relay-token",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/_fake/echo",
        "status": 200,
        "outcome": "completed",
        "bytes_up": 321,
        "bytes_down": body.len(),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
}

#[tokio::test]
async fn a_stream_whose_reader_takes_nothing_is_let_go_and_its_neighbour_is_not() {
    let (upstream, mut relay) = pair_with(&[("WRITE_TIMEOUT", "400ms")]).await;
    let client = Client::connect(&relay).await;
    let target = "/v1/_fake/bytes?n=20000000";
    let unread = client.send(request("GET", target, &[], none())).await;
    let line = relay.line(|line| line["outcome"] == "stalled").await;
    assert_eq!(line["status"], 200);
    let (head, _) = client.get("/v1/models").await;
    assert_eq!(head.status(), StatusCode::OK);
    let broken = unread.into_body().collect().await;
    assert!(broken.is_err(), "it looks whole");
    eventually("its connection is gone", || {
        upstream.open_connections() <= 1
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_let_go_is_finished_where_a_rule_says_so_and_cancelled_elsewhere() {
    let people = People::start(Home::Sqlite).await;
    for (words, is_finished) in [(&[][..], false), (&["--on-leave", "finish"], true)] {
        let words = [&["key", "create", "a client", "--json"], words].concat();
        let made = people.database.json(&words, "").await;
        let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
        let target = "/v1/_fake/bytes?n=4000&chunk=1000&chunked=1";
        let lines = [("x-fake-script", "chunk-delay=100")];
        let mut wish = request("POST", target, &lines, whole("{}"));
        let bearer = HeaderValue::from_str(&bearer).expect("a header");
        wish.headers_mut().insert("authorization", bearer);
        let client = Client::connect(&people.relay).await;
        let before = people.relay.exchanges().len();
        let answer = client.send(wish).await;
        assert_eq!(answer.status(), StatusCode::OK);
        drop(answer);
        eventually("it is over", || people.relay.exchanges().len() > before).await;
        let lines = people.relay.exchanges();
        assert_eq!(lines.last().expect("a line")["outcome"], "client_gone");
        let open = usize::from(is_finished);
        eventually("the way to the upstream is as it should be", || {
            people.upstream.open_connections() == open
        })
        .await;
    }
}
