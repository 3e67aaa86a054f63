//! What becomes of a request whose client leaves: it ends upstream too, unless a rule says otherwise.

use super::*;
use crate::support::eventually;

/// A request that is about to be answered in this way, by a client that will not wait for it.
async fn begin(people: &People, key: &str, script: &str, is_streamed: bool) -> Connection {
    let target = "/v1/_fake/bytes?n=4000&chunk=1000&chunked=1";
    let key = bearer(key);
    let mut client = Connection::open(people.relay.address()).await;
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{key}\r\nX-Fake-Script: {script}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    client.write(request.as_bytes()).await;
    if is_streamed {
        assert_eq!(client.head().await.expect("a head").status, 200);
    } else {
        eventually("it is upstream", || {
            people
                .upstream
                .received()
                .iter()
                .any(|request| request.complete && request.target == target)
        })
        .await;
    }
    client
}

/// Leaves, and waits until the relay has seen it.
async fn leave(mut client: Connection) {
    client.finish().await;
    while client.more().await.is_some() {}
}

/// The outcomes of what was relayed so far.
fn outcomes(people: &People) -> Vec<String> {
    let lines = people.relay.exchanges();
    let relayed = lines
        .iter()
        .filter(|line| line["path"] == "/v1/_fake/bytes");
    relayed
        .map(|line| line["outcome"].as_str().expect("an outcome").to_owned())
        .collect()
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_finished_where_the_rule_says_so_and_cancelled_elsewhere()
{
    let people = People::start(Home::Sqlite).await;
    let (finishing, _) = make(&people.database, &["--on-leave", "finish"]).await;
    let (cancelling, _) = make(&people.database, &["--on-leave", "cancel"]).await;
    let (plain, _) = make(&people.database, &[]).await;
    for (script, is_streamed) in [("delay=400", false), ("chunk-delay=100", true)] {
        for (key, is_finished) in [(&plain, false), (&cancelling, false), (&finishing, true)] {
            let before = outcomes(&people).len();
            leave(begin(&people, key, script, is_streamed).await).await;
            eventually("it is over", || outcomes(&people).len() > before).await;
            assert_eq!(outcomes(&people).last().expect("one"), "client_gone");
            // A connection serves again only if the answer on it ended as announced.
            let open = usize::from(is_finished);
            eventually("the way to the upstream is as it should be", || {
                people.upstream.open_connections() == open
            })
            .await;
            people.upstream.take_received();
        }
    }
}

#[tokio::test]
async fn what_is_finished_holds_its_place_until_then_and_ends_with_its_key() {
    let people = People::start(Home::Sqlite).await;
    let words = ["--on-leave", "finish", "--limit", "concurrent all=1"];
    let admin = people.admin().await.access;
    // Silent for good.
    for (script, is_streamed) in [("hang=head", false), ("hang=body", true)] {
        let (key, id) = make(&people.database, &words).await;
        leave(begin(&people, &key, script, is_streamed).await).await;
        let answer = ask(&people, "GET", "/v1/models", &key, None).await;
        assert_eq!(answer.status, 429, "{script}: {}", answer.text());
        let path = format!("/api/v1/admin/keys/{id}");
        let answer = ask(&people, "DELETE", &path, &admin, None).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        eventually("it is over", || {
            outcomes(&people).last().is_some_and(|one| one == "revoked")
        })
        .await;
        people.upstream.take_received();
    }
}

#[tokio::test]
async fn a_request_that_did_not_come_whole_is_not_finished() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--on-leave", "finish"]).await;
    let mut client = Connection::open(people.relay.address()).await;
    let request = format!(
        "POST /v1/_fake/bytes HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Length: 100000\r\n\r\nhello",
        bearer(&key)
    );
    client.write(request.as_bytes()).await;
    eventually("it is upstream", || !people.upstream.received().is_empty()).await;
    drop(client);
    eventually("it is over", || outcomes(&people) == ["client_gone"]).await;
    eventually("its connection is gone", || {
        people.upstream.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn of_a_token_and_its_maker_the_one_that_cancels_wins() {
    let people = People::start(Home::Sqlite).await;
    for (maker, token, is_finished) in [
        (&["--on-leave", "finish"][..], json!({}), true),
        (
            &["--on-leave", "finish"],
            json!({ "on_leave": "cancel" }),
            false,
        ),
        (
            &["--on-leave", "cancel"],
            json!({ "on_leave": "finish" }),
            false,
        ),
        (&[], json!({ "on_leave": "finish" }), true),
    ] {
        let (key, _) = make(&people.database, maker).await;
        let wish = json!({ "rules": token });
        let made = ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish))
            .await
            .json();
        let token = made["value"].as_str().expect("a token");
        let before = outcomes(&people).len();
        leave(begin(&people, token, "chunk-delay=100", true).await).await;
        eventually("it is over", || outcomes(&people).len() > before).await;
        let open = usize::from(is_finished);
        eventually("the way to the upstream is as it should be", || {
            people.upstream.open_connections() == open
        })
        .await;
    }
    let (key, _) = make(&people.database, &[]).await;
    let wish = json!({ "rules": { "on_leave": "wait" } });
    let answer = ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish)).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(
        answer.text().contains("rules.on_leave"),
        "{}",
        answer.text()
    );
}
