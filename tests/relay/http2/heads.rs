//! Heads over HTTP/2.

use super::*;

#[tokio::test]
async fn a_get_goes_up_as_http_1_1_to_the_upstreams_own_host() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let lines = [("accept", "application/json"), ("x-own", "1")];
    let target = "/v1/models?a=%2F&&b";
    let answer = client.send(request("GET", target, &lines, none())).await;
    assert_eq!(answer.version(), ::http::Version::HTTP_2);
    let (head, body) = read(answer).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(json_of(&body)["object"], "list");
    let arrived = upstream.take_received().remove(0);
    assert_eq!((arrived.target.as_str(), arrived.version), (target, 1));
    let mut headers: Vec<(String, String)> = arrived
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value).into_owned();
            (name.to_lowercase(), value)
        })
        .collect();
    headers.sort();
    let host = upstream.addr().to_string();
    let key = format!("Bearer {SERVER_KEY}");
    let expected = [
        ("accept", "application/json"),
        ("authorization", key.as_str()),
        ("host", host.as_str()),
        ("x-own", "1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn the_authority_serves_as_host_alone_and_beside_one() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    for lines in [&[][..], &[("host", "relay.test")]] {
        let answer = client
            .send(request("GET", "/v1/models", lines, none()))
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{lines:?}");
        let arrived = upstream.take_received().remove(0);
        let host = upstream.addr().to_string();
        assert_eq!(arrived.header_all("host"), [host], "{lines:?}");
    }
}
