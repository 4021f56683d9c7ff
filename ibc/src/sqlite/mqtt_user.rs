//! Table `mqtt_user`: who may connect.

use sqlx::SqliteConnection;

use crate::user::{self, Row};
use crate::{StoreError, User};

/// `?1` name.
const READ_ONE: &str = "
    select username, scram_salt, scram_iterations, scram_stored_key, scram_server_key
      from mqtt_user where username = ?1";

/// `?1` after which name, `?2` limit.
const READ: &str = "
    select username, scram_salt, scram_iterations, scram_stored_key, scram_server_key
      from mqtt_user where username > ?1 order by username limit ?2";

/// `?1` name, `?2` salt, `?3` iterations, `?4` stored key, `?5` server key, `?6` now.
const INSERT: &str = "
    insert into mqtt_user (username, scram_salt, scram_iterations, scram_stored_key,
                           scram_server_key, created_at, updated_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?6)
    on conflict (username) do nothing";

/// As `INSERT`.
const UPSERT: &str = "
    insert into mqtt_user (username, scram_salt, scram_iterations, scram_stored_key,
                           scram_server_key, created_at, updated_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?6)
    on conflict (username) do update
       set scram_salt = excluded.scram_salt, scram_iterations = excluded.scram_iterations,
           scram_stored_key = excluded.scram_stored_key,
           scram_server_key = excluded.scram_server_key, updated_at = excluded.updated_at";

/// `?1` name.
const DELETE: &str = "delete from mqtt_user where username = ?1";

/// See [`Users::user`](crate::Users::user).
pub(super) async fn read_one(
    c: &mut SqliteConnection,
    username: &str,
) -> Result<Option<User>, StoreError> {
    let row: Option<Row> = sqlx::query_as(READ_ONE)
        .bind(username)
        .fetch_optional(c)
        .await?;
    row.map(user::read).transpose()
}

/// See [`Users::users`](crate::Users::users).
pub(super) async fn read(
    c: &mut SqliteConnection,
    after: &str,
    limit: usize,
) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(READ)
        .bind(after)
        .bind(super::limit(limit))
        .fetch_all(c)
        .await?;
    rows.into_iter().map(user::read).collect()
}

/// See [`Users::add_user`](crate::Users::add_user).
pub(super) async fn insert(c: &mut SqliteConnection, user: &User) -> Result<bool, StoreError> {
    write(c, INSERT, user).await
}

/// See [`Users::put_user`](crate::Users::put_user).
pub(super) async fn upsert(c: &mut SqliteConnection, user: &User) -> Result<(), StoreError> {
    write(c, UPSERT, user).await.map(drop)
}

async fn write(
    c: &mut SqliteConnection,
    statement: &'static str,
    user: &User,
) -> Result<bool, StoreError> {
    let (salt, iterations, stored_key, server_key) = user::columns(user);
    let done = sqlx::query(statement)
        .bind(&user.username)
        .bind(salt)
        .bind(iterations)
        .bind(stored_key)
        .bind(server_key)
        .bind(super::now())
        .execute(c)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// See [`Users::remove_user`](crate::Users::remove_user).
pub(super) async fn delete(c: &mut SqliteConnection, username: &str) -> Result<bool, StoreError> {
    let done = sqlx::query(DELETE).bind(username).execute(c).await?;
    Ok(done.rows_affected() > 0)
}
