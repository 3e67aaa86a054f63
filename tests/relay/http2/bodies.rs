//! Bodies over HTTP/2, one after another and many at once.

use super::*;

#[tokio::test]
async fn a_sized_body_goes_up_sized() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let body = fake_openai::deterministic_bytes(3, 300_000);
    let post = request("POST", "/v1/_fake/echo", &[], whole(body.clone()));
    assert_eq!(client.send(post).await.status(), StatusCode::OK);
    let arrived = upstream.take_received().remove(0);
    assert_eq!(arrived.header_all("content-length"), ["300000"]);
    assert_eq!(arrived.header("transfer-encoding"), None);
    assert!(arrived.complete && arrived.body == body);
}

#[tokio::test]
async fn a_request_without_a_body_goes_up_without() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    for method in ["GET", "DELETE", "POST", "PROPFIND"] {
        let answer = client
            .send(request(method, "/v1/_fake/echo", &[], none()))
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{method}");
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.method, method);
        assert_eq!(arrived.header("transfer-encoding"), None, "{method}");
        // hyper's own client states a length of zero where the method means a body.
        assert!(
            matches!(arrived.header("content-length"), None | Some("0")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_upload_in_pieces_reaches_the_upstream_before_its_end() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let (sender, body) = pieces();
    let post = client.send(request("POST", "/v1/_fake/echo", &[], body));
    let posting = async {
        sender.send(Frame::data("hello".into())).await.unwrap();
        eventually("the first half is upstream", || {
            upstream
                .received()
                .iter()
                .any(|request| request.body == b"hello" && !request.complete)
        })
        .await;
        sender.send(Frame::data("world".into())).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(post, posting);
    let (_, body) = read(answer).await;
    assert_eq!(json_of(&body)["body"], "helloworld");
    assert!(upstream.take_received().remove(0).chunked);
}

#[tokio::test]
async fn sixteen_mebibytes_pass_whole_in_both_directions() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let bytes = fake_openai::deterministic_bytes(7, 16 * MIB);
    for suffix in ["", "&chunked=1"] {
        let target = format!("/v1/_fake/bytes?seed=7&n={}{suffix}", 16 * MIB);
        let (head, body) = client.get(&target).await;
        let length = head.headers().get("content-length");
        assert_eq!(length.is_some(), suffix.is_empty(), "{suffix}");
        assert!(body == bytes, "{suffix}: the bytes differ");
    }
    upstream.take_received();
    let mut hashes = Vec::new();
    let direct = crate::support::request(
        "POST",
        "/v1/_fake/echo",
        &[&format!("Authorization: Bearer {SERVER_KEY}")],
        &bytes,
    );
    crate::support::send(upstream.addr(), direct).await;
    client
        .send(request("POST", "/v1/_fake/echo", &[], whole(bytes)))
        .await;
    for arrived in upstream.take_received() {
        assert!(arrived.complete);
        hashes.push(arrived.body_sha256);
    }
    assert_eq!(hashes.len(), 2);
    assert_eq!(hashes[0], hashes[1]);
}

#[tokio::test]
async fn the_first_event_arrives_while_the_upstream_holds_the_rest() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let mut answer = client.send(stream_request("hang=body")).await;
    let frame = answer.frame().await.expect("a frame").expect("a good one");
    let text = String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned();
    assert!(text.starts_with("data: {"), "{text}");
}

#[tokio::test]
async fn a_stream_of_events_arrives_to_its_end() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let (head, body) = read(client.send(stream_request("chunk-delay=1")).await).await;
    assert_eq!(
        head.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn sixteen_streams_run_at_once_on_one_connection() {
    let (upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let mut senders = Vec::new();
    let mut answers = Vec::new();
    for number in 0..16 {
        let (sender, body) = pieces();
        let first = Frame::data(format!("stream {number},").into());
        sender.send(first).await.unwrap();
        senders.push(sender);
        let client = client.clone();
        answers.push(tokio::spawn(async move {
            // The stand-in tells exchanges apart by their heads.
            let target = format!("/v1/_fake/echo?number={number}");
            let post = request("POST", &target, &[], body);
            read(client.send(post).await).await.1
        }));
    }
    eventually("all sixteen are upstream and none has ended", || {
        let arrived = upstream.received();
        arrived.len() == 16
            && arrived
                .iter()
                .all(|request| request.body_len > 0 && !request.complete)
    })
    .await;
    for (number, sender) in senders.into_iter().enumerate().rev() {
        let last = Frame::data(format!(" {number}").into());
        sender.send(last).await.unwrap();
    }
    for (number, answer) in answers.into_iter().enumerate() {
        let echoed = json_of(&answer.await.unwrap());
        assert_eq!(echoed["body"], format!("stream {number}, {number}"));
    }
}

#[tokio::test]
async fn sixteen_downloads_at_once_do_not_mix() {
    let (_upstream, relay) = pair().await;
    let client = Client::connect(&relay).await;
    let downloads: Vec<_> = (0..16)
        .map(|seed| {
            let client = client.clone();
            tokio::spawn(async move {
                let target = format!("/v1/_fake/bytes?n=300000&seed={seed}&chunked=1");
                client.get(&target).await.1
            })
        })
        .collect();
    for (seed, download) in downloads.into_iter().enumerate() {
        let expected = fake_openai::deterministic_bytes(seed as u64, 300_000);
        assert!(download.await.unwrap() == expected, "download {seed}");
    }
}
