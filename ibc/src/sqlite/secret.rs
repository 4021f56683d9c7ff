//! Table `secret`: what all nodes know and nobody else.

use sqlx::SqliteConnection;

use crate::StoreError;

/// `?1` name, `?2` value if there is none.
const INSERT: &str = "insert into secret (name, value) values (?1, ?2) on conflict do nothing";

/// `?1` name.
const READ: &str = "select value from secret where name = ?1";

/// See [`Users::secret`](crate::Users::secret).
pub(super) async fn share(
    c: &mut SqliteConnection,
    name: &str,
    candidate: &[u8],
) -> Result<Vec<u8>, StoreError> {
    sqlx::query(INSERT)
        .bind(name)
        .bind(candidate)
        .execute(&mut *c)
        .await?;
    Ok(sqlx::query_scalar(READ).bind(name).fetch_one(c).await?)
}
