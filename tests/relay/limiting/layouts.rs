//! Redis in all its layouts: with a password, behind a socket, over TLS, under sentinels, as a cluster.

use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{ALONE, PATIENT, SHARED, models, statuses, told};
use crate::support::outage::{cluster_of_three, under, under_a_sentinel};
use crate::support::redis::free_port;
use crate::support::{Answer, RedisServer, Relay, get, pair_with};

const LIMIT: (&str, &str) = ("RATE_LIMITS", "models=5/1h");

/// Two relays with these variables; they must share a limit of five.
async fn shares(variables: &[(&str, &str)]) {
    let variables = [variables, &[PATIENT]].concat();
    let (_one, first) = pair_with(&variables).await;
    let (_other, second) = pair_with(&variables).await;
    for relay in [&first, &second] {
        told(relay, SHARED, 1).await;
    }
    let answers = alternating(&first, &second, 8).await;
    assert_eq!(statuses(&answers), [(200, 5), (429, 3)].into());
    let stats = get(first.address(), "/stats", &[]).await.json();
    assert_eq!(stats["limits"]["decidedAlone"], 0, "{stats}");
}

async fn alternating(first: &Relay, second: &Relay, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for number in 0..count {
        answers.push(models(if number % 2 == 0 { first } else { second }).await);
    }
    answers
}

#[tokio::test]
async fn with_a_user_and_a_password_in_a_database_of_its_own() {
    let lines = "requirepass other\nuser limiter on >p@ss/word ~openai-relay:* +@all\n";
    let server = RedisServer::start_with(lines);
    let url = format!(
        "redis://limiter:p%40ss%2Fword@127.0.0.1:{}/3",
        server.port()
    );
    shares(&[("REDIS_URL", &url), LIMIT]).await;
}

#[tokio::test]
async fn behind_a_socket_in_the_file_system() {
    let path = std::env::temp_dir().join(format!("{}.sock", uuid::Uuid::new_v4().simple()));
    let _server = RedisServer::start_with(&format!("unixsocket {}\n", path.display()));
    let url = format!("unix://{}", path.display());
    shares(&[("REDIS_URL", &url), LIMIT]).await;
}

#[tokio::test]
async fn over_tls_by_an_authority_of_the_operators() {
    let folder = std::env::temp_dir().join(format!("redis-tls-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params
        .signed_by(&server_key, &issuer)
        .expect("a certificate");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let ca = write("ca.pem", authority.pem());
    let cert = write("cert.pem", certificate.pem());
    let key = write("key.pem", server_key.serialize_pem());
    let port = free_port();
    let lines = format!(
        "tls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\ntls-auth-clients no\n"
    );
    let _server = RedisServer::start_with(&lines);
    let url = format!("rediss://localhost:{port}");
    shares(&[("REDIS_URL", &url), ("REDIS_CA_FILE", &ca), LIMIT]).await;
    // Whose authority nobody named is not spoken to.
    let (_upstream, relay) = pair_with(&[("REDIS_URL", &url), LIMIT]).await;
    relay.says(ALONE).await;
    assert_eq!(models(&relay).await.status, 200);
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn under_a_sentinel_that_moves_the_limits_to_a_replica() {
    let (mut main, replica, sentinel) = under_a_sentinel().await;
    let url = under(&sentinel);
    let variables = [("REDIS_URL", url.as_str()), LIMIT, PATIENT];
    let (_one, first) = pair_with(&variables).await;
    let (_other, second) = pair_with(&variables).await;
    assert_eq!(
        statuses(&alternating(&first, &second, 3).await),
        [(200, 3)].into()
    );
    main.kill();
    let mut answers = alternating(&first, &second, 20).await;
    for relay in [&first, &second] {
        told(relay, SHARED, 2).await;
    }
    assert!(replica.say("INFO replication").contains("role:master"));
    answers.extend(alternating(&first, &second, 10).await);
    let seen = statuses(&answers);
    assert_eq!(seen.values().sum::<usize>(), 30, "nobody was failed");
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [200, 429]);
    // Three of five were gone; alone each had what was left of its own share, two of five at the most.
    assert!((1..=4).contains(&seen[&200]), "{seen:?}");
}

#[tokio::test]
async fn sentinels_with_a_password_or_without_one_even_behind_a_silent_one() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    // It takes connections and says nothing.
    let silent_port = silent.local_addr().expect("an address").port();
    let knows = "sentinel auth-pass main planted\n";
    for lines in ["requirepass planted\n", ""] {
        let server = RedisServer::start_with("requirepass planted\n");
        let sentinel = RedisServer::sentinel_with(&server, &format!("{knows}{lines}"));
        let url = format!(
            "redis+sentinel://:planted@127.0.0.1:{silent_port},127.0.0.1:{}/main",
            sentinel.port()
        );
        shares(&[("REDIS_URL", &url), LIMIT]).await;
    }
}

#[tokio::test]
async fn as_a_cluster_of_three() {
    let nodes = cluster_of_three("").await;
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
        nodes[0].port(),
        nodes[2].port()
    );
    shares(&[("REDIS_URL", &url), LIMIT]).await;
    let more = "models=5/2h; models=50/1h per ip; concurrent models=3; concurrent all=4 per ip";
    shares(&[
        ("REDIS_URL", &url),
        ("RATE_LIMITS", more),
        ("REPLICAS", "2"),
    ])
    .await;
}
