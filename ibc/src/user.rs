//! Users that clients authenticate as: what people configure, and nodes only read.
//!
//! A trait of its own beside [`Store`](crate::Store), because `causeway user` changes them without
//! being a member of the cluster.

use std::fmt;

use async_trait::async_trait;

use crate::StoreError;

/// Length of the keys of SCRAM-SHA-256, in bytes.
pub const SCRAM_KEY_BYTES: usize = 32;

/// Longest user name that can be stored, in bytes.
pub const MAX_USERNAME_BYTES: usize = 255;

/// What a proof of SCRAM-SHA-256 is checked against (RFC 5802, section 3). The password cannot be
/// told from it but by trying; who has it can pretend to be the server.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Random bytes.
    pub salt: Vec<u8>,
    /// How often the hash is repeated, at least 1.
    pub iterations: u32,
    /// The hash of the key that the client must know.
    pub stored_key: [u8; SCRAM_KEY_BYTES],
    /// With this the server proves that it knows the user.
    pub server_key: [u8; SCRAM_KEY_BYTES],
}

/// Never shows the keys.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// 1 to [`MAX_USERNAME_BYTES`] bytes, without U+0000.
    pub username: String,
    /// None if a later release knows this user by other means.
    pub scram: Option<ScramKeys>,
}

/// The users in the database. A change is seen by the next call of any node.
///
/// Methods are not cancel safe: run them in a task that is never dropped half-way.
#[async_trait]
pub trait Users: Send + Sync + 'static {
    /// The user of that name.
    async fn user(&self, username: &str) -> Result<Option<User>, StoreError>;

    /// Users whose name is above `after`, in the order of their bytes, at most `limit`.
    async fn users(&self, after: &str, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Adds a user. False if there is one of that name, who stays as they are.
    async fn add_user(&self, user: &User) -> Result<bool, StoreError>;

    /// Adds a user, or replaces the one of that name.
    async fn put_user(&self, user: &User) -> Result<(), StoreError>;

    /// Removes a user. False if there is none of that name.
    async fn remove_user(&self, username: &str) -> Result<bool, StoreError>;

    /// The secret of that name, which all nodes share: `candidate` if there was none yet.
    async fn secret(&self, name: &str, candidate: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// The columns of table `mqtt_user`, as both databases read them.
pub(crate) type Row = (
    String,
    Option<Vec<u8>>,
    Option<i32>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

/// A user as it was read.
pub(crate) fn read((username, salt, iterations, stored, server): Row) -> Result<User, StoreError> {
    let corrupt = || StoreError::Corrupt { table: "mqtt_user" };
    let scram = match (salt, iterations, stored, server) {
        (Some(salt), Some(iterations), Some(stored), Some(server)) => Some(ScramKeys {
            salt,
            iterations: u32::try_from(iterations)
                .ok()
                .filter(|iterations| *iterations > 0)
                .ok_or_else(corrupt)?,
            stored_key: stored.try_into().map_err(|_| corrupt())?,
            server_key: server.try_into().map_err(|_| corrupt())?,
        }),
        (None, None, None, None) => None,
        _ => return Err(corrupt()),
    };
    Ok(User { username, scram })
}

/// The columns for SQL.
pub(crate) type Columns<'a> = (
    Option<&'a [u8]>,
    Option<i32>,
    Option<&'a [u8]>,
    Option<&'a [u8]>,
);

/// The keys of a user as they are written.
pub(crate) fn columns(user: &User) -> Columns<'_> {
    let scram = user.scram.as_ref();
    (
        scram.map(|keys| keys.salt.as_slice()),
        scram.map(|keys| i32::try_from(keys.iterations).unwrap_or(i32::MAX)),
        scram.map(|keys| keys.stored_key.as_slice()),
        scram.map(|keys| keys.server_key.as_slice()),
    )
}
