//! `relay_login_addresses`: where users have logged in from.

use sqlx::{Any, Transaction};

/// The most addresses that are remembered of one user; the oldest go first.
const MOST: i64 = 20;

/// Remembers one.
pub(super) async fn remember(
    work: &mut Transaction<'_, Any>,
    user_id: &str,
    address_hash: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    let sql = "INSERT INTO relay_login_addresses (user_id, address_hash, seen_at) VALUES ($1, $2, $3) \
               ON CONFLICT (user_id, address_hash) DO UPDATE SET seen_at = excluded.seen_at";
    let query = sqlx::query(sql).bind(user_id);
    let query = query.bind(address_hash).bind(now_ms);
    query.execute(&mut **work).await?;
    let sql = "DELETE FROM relay_login_addresses WHERE user_id = $1 AND address_hash NOT IN \
               (SELECT address_hash FROM relay_login_addresses WHERE user_id = $1 \
               ORDER BY seen_at DESC, address_hash LIMIT $2)";
    let query = sqlx::query(sql).bind(user_id).bind(MOST);
    query.execute(&mut **work).await.map(|_| ())
}
