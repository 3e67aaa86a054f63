//! What is refused over HTTP/2, and what does not travel.

use super::*;

#[tokio::test]
async fn refusals_are_json_with_openais_error_object() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let cases = [
        ("GET", "/v1/../admin", 400, "malformed_request"),
        ("GET", "/v1/a//b", 400, "malformed_request"),
        ("TRACE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
    ];
    for (method, target, status, code) in cases {
        let answer = client.send(request(method, target, &[], none())).await;
        let (head, body) = read(answer).await;
        assert_eq!(head.status(), status, "{method} {target}");
        assert_eq!(head.headers()["content-type"], "application/json");
        let error = &json_of(&body)["error"];
        assert_eq!(error["code"], code, "{method} {target}");
        assert_eq!(
            head.headers()["x-request-id"],
            error["request_id"].as_str().unwrap()
        );
    }
    let mut stranger = request("POST", "/v1/_fake/echo", &[], whole("{}"));
    *stranger.headers_mut() = HeaderMap::new();
    let (head, body) = read(client.send(stranger).await).await;
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(json_of(&body)["error"]["code"], "invalid_api_key");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_host_that_differs_from_the_authority_is_refused() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    for lines in [
        &[("host", "other.test")][..],
        &[("host", "relay.test"), ("host", "other.test")],
        &[("host", "u@relay.test")],
    ] {
        let answer = client
            .send(request("GET", "/v1/models", lines, none()))
            .await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{lines:?}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn what_tells_of_the_clients_network_or_page_does_not_go_up() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let lines = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x_forwarded_for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("via", "2 proxy"),
        ("cf-ray", "1"),
        ("origin", "https://app.example"),
        ("referer", "https://app.example/x"),
        ("proxy-authorization", "Basic dTpw"),
        ("x-kept", "1"),
    ];
    let answer = client
        .send(request("GET", "/v1/models", &lines, none()))
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let arrived = upstream.take_received().remove(0);
    let mut names: Vec<&str> = arrived
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "host", "te", "x-kept"]);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_431_and_the_connection_lives_on() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let long = "v".repeat(20_000);
    let lines = [("x-long", long.as_str())];
    let answer = client
        .send(request("GET", "/v1/models", &lines, none()))
        .await;
    assert_eq!(answer.status(), 431);
    assert!(upstream.received().is_empty());
    let (head, _) = client.get("/v1/models").await;
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_connect_is_405() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let mut connect = request("CONNECT", "/", &[], none());
    *connect.uri_mut() = "evil.test:443".parse().unwrap();
    let answer = client.send(connect).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_head_has_its_length_and_204_has_no_body() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let head = request("HEAD", "/v1/_fake/bytes?n=1234", &[], none());
    let (head, body) = read(client.send(head).await).await;
    assert_eq!(head.headers()["content-length"], "1234");
    assert!(body.is_empty());
    let (head, body) = client.get("/v1/_fake/status/204").await;
    assert_eq!(head.status(), StatusCode::NO_CONTENT);
    assert!(body.is_empty());
}

#[tokio::test]
async fn nothing_of_the_upstreams_connection_comes_down() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let script = "close header=Keep-Alive:timeout%3D5 header=Proxy-Connection:close";
    let lines = [("x-fake-script", script)];
    let target = "/v1/_fake/bytes?n=100&chunked=1";
    let (head, _) = read(client.send(request("GET", target, &lines, none())).await).await;
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert_eq!(head.headers().get(name), None, "{name}");
    }
}

#[tokio::test]
async fn trailers_of_an_answer_come_down() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let lines = [("te", "trailers"), ("x-fake-script", "trailers")];
    let target = "/v1/_fake/bytes?n=100&chunked=1";
    let answer = client.send(request("GET", target, &lines, none())).await;
    let collected = answer.into_body().collect().await.expect("a whole body");
    let trailers = collected.trailers().expect("trailers");
    assert_eq!(trailers["x-fake-trailer"], "done");
}

#[tokio::test]
async fn trailers_of_a_request_go_up() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let (sender, body) = pieces();
    sender.send(Frame::data("abc".into())).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1f"));
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let lines = [("trailer", "X-Checksum")];
    let post = request("POST", "/v1/_fake/echo", &lines, body);
    assert_eq!(client.send(post).await.status(), StatusCode::OK);
    let arrived = upstream.take_received().remove(0);
    let trailers: Vec<(String, Vec<u8>)> = arrived
        .trailers
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    assert_eq!(trailers, [("x-checksum".to_owned(), b"1f".to_vec())]);
}
