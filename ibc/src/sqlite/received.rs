//! Table `received`: QoS 2 packet identifiers received and not yet released [MQTT-4.3.3-10].

use sqlx::SqliteConnection;

use crate::{ReceivedId, SessionId, StoreError};

/// `?1` session, `?2` packet identifier.
const INSERT: &str = "insert or ignore into received (session_id, packet_id) values (?1, ?2)";

/// `?1` session, `?2` packet identifier.
const DELETE: &str = "delete from received where session_id = ?1 and packet_id = ?2";

/// `?1` session.
const READ: &str = "select packet_id from received where session_id = ?1 order by packet_id";

/// `?1` session.
const DELETE_OF: &str = "delete from received where session_id = ?1";

pub(super) async fn insert(c: &mut SqliteConnection, id: &ReceivedId) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(id.session.0)
        .bind(id.packet_id)
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn delete(c: &mut SqliteConnection, id: &ReceivedId) -> Result<(), StoreError> {
    sqlx::query(DELETE)
        .bind(id.session.0)
        .bind(id.packet_id)
        .execute(c)
        .await?;
    Ok(())
}

/// Packet identifiers of a session.
pub(super) async fn read(
    c: &mut SqliteConnection,
    session: SessionId,
) -> Result<Vec<u16>, StoreError> {
    Ok(sqlx::query_scalar(READ)
        .bind(session.0)
        .fetch_all(c)
        .await?)
}

/// Deletes all of a session.
pub(super) async fn delete_of(c: &mut SqliteConnection, session: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(DELETE_OF)
        .bind(session)
        .execute(c)
        .await?
        .rows_affected())
}
