//! Upstreams that are not OpenAI itself: a base URL in each spelling, with a path, with a port.

use crate::outbound::relay_to;
use crate::support::{authorization, get, post, upstream};

#[tokio::test]
async fn a_base_url_means_the_same_in_each_spelling() {
    let upstream = upstream().await;
    let address = upstream.addr();
    for base_url in [
        format!("http://{address}"),
        format!("http://{address}/"),
        format!("http://{address}/v1"),
        format!("http://{address}/v1/"),
    ] {
        let relay = relay_to(&base_url, &[]).await;
        let answer = get(relay.address(), "/v1/models?a=b", &[&authorization()]).await;
        assert_eq!(answer.status, 200, "{base_url}");
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.target, "/v1/models?a=b", "{base_url}");
        let host = address.to_string();
        assert_eq!(arrived.header_all("host"), [host.as_str()], "{base_url}");
    }
}

#[tokio::test]
async fn the_path_of_a_gateway_is_put_in_front_of_the_clients_own() {
    let upstream = upstream().await;
    let base_url = format!("http://{}/gate%20way/openai/v1", upstream.addr());
    let relay = relay_to(&base_url, &[]).await;
    for target in ["/v1/models", "/v1/files/a%2Fb?q=%20", "/v1/"] {
        get(relay.address(), target, &[&authorization()]).await;
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.target, format!("/gate%20way/openai{target}"));
    }
}

#[tokio::test]
async fn the_location_of_a_call_is_usable_through_the_relay() {
    let upstream = upstream().await;
    let address = upstream.addr();
    let relay = relay_to(&format!("http://{address}/gw/v1"), &[]).await;
    for (sent, seen) in [
        (
            "/gw/v1/realtime/calls/rtc_1".to_owned(),
            "/v1/realtime/calls/rtc_1",
        ),
        (
            format!("http://{address}/gw/v1/realtime/calls/rtc_1"),
            "/v1/realtime/calls/rtc_1",
        ),
        (
            "https://elsewhere.test/x".to_owned(),
            "https://elsewhere.test/x",
        ),
    ] {
        let script = format!("X-Fake-Script: status=201 header=Location:{sent}");
        let lines = [authorization(), script];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = post(relay.address(), "/v1/realtime/calls", &lines, "{}").await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (201, Some(seen))
        );
    }
}
