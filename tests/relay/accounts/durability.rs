//! P35 and P38: a full disk, and a relay that is killed. What was acknowledged is there.

use serde_json::json;

use super::*;

on_both! {
    async fn what_was_acknowledged_survives_kills(home: Home) {
        let mut people = People::start(home).await;
        let (lost, acknowledged, slowest) = kills::during_writes(&mut people, 5, 200).await;
        assert_eq!(lost, 0);
        if home == Home::Sqlite {
            let rows = people.database.rows("PRAGMA integrity_check").await;
            let verdict: String = sqlx::Row::try_get(&rows[0], 0).expect("text");
            assert_eq!(verdict, "ok");
        }
        trust::record("P38", &format!("5 × kill -9 during {acknowledged} acknowledged writes: 0 lost, integrity ok, ready within {slowest:.0} ms; SQLite and Postgres"));
    }
}

#[tokio::test]
async fn a_full_disk_stops_what_writes_and_nothing_else() {
    let upstream = crate::support::upstream().await;
    let base_url = upstream.base_url();
    let folder = std::env::temp_dir().join(format!("openai-relay-disk-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let url = format!("sqlite:///{}", folder.join("app.db").display());
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("SECRET_KEY", crate::support::people::SECRET_KEY),
        ("DATABASE_URL", url.as_str()),
        crate::support::people::PATIENT,
    ];
    // In a mount namespace of its own, so that nothing is left behind.
    let mount = format!(
        "mount -t tmpfs -o size=8m tmpfs {0} && exec \"$@\"",
        folder.display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    let relay = Relay::start_under(&wrapper, &variables).await;
    let inside = format!("/proc/{}/root{}", relay.pid(), folder.display());
    let people = People {
        upstream,
        relay,
        database: Database::at(format!("sqlite:///{inside}/app.db")),
    };
    let known = people.join("alice").await;
    assert!(people.opens(&known).await);

    let filler = format!("{inside}/filler");
    let mut file = std::fs::File::create(&filler).expect("a file");
    let chunk = vec![0; 64 * 1024];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    drop(file);
    let mut token = known.refresh.clone();
    let refused = loop {
        // The log has some room left, which it uses first.
        let body = json!({ "refresh_token": token });
        let answer = people.post("/api/v1/auth/refresh", &body).await;
        if answer.status != 200 {
            break answer;
        }
        token = Tokens::of(&answer).refresh;
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    for _ in 0..100 {
        assert!(people.opens(&known).await, "what is relayed goes on");
    }
    assert_eq!(people.try_log_in("alice", PASSWORD).await.status, 503);
    assert_eq!(
        people
            .call("GET", "/api/v1/auth/me", Some(&known.access), None)
            .await
            .status,
        200,
        "reading goes on"
    );
    std::fs::remove_file(&filler).expect("it is there");
    people.log_in("alice").await;
    Tokens::of(
        &people
            .post("/api/v1/auth/refresh", &json!({ "refresh_token": token }))
            .await,
    );
    let rows = people.database.rows("PRAGMA integrity_check").await;
    let verdict: String = sqlx::Row::try_get(&rows[0], 0).expect("text");
    assert_eq!(verdict, "ok");
    drop(people);
    let _ = std::fs::remove_dir_all(&folder);
    trust::record(
        "P35",
        "a full tmpfs of 8 MiB: 100 of 100 relayed requests served, writes 503 with Retry-After, integrity ok, back without a restart",
    );
}
