//! `causeway user`: adds, removes and lists users, beside the nodes that run on the database.
//!
//! Nodes read a user at each authentication, so a change counts at once. It is no member of the
//! cluster and touches nothing but users.

use std::time::Duration;

use ibc::{
    OpenError, StoreError, Users,
    postgres::{Postgres, PostgresOptions},
    sqlite::Sqlite,
};

use crate::{
    auth::{self, NewUserError, RandomError},
    config::Config,
};

/// Users read at one time.
const PAGE: usize = 1000;

/// Why the users are not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name or the password cannot be used.
    #[error(transparent)]
    New(#[from] NewUserError),
    /// There is such a user.
    #[error("there is a user \"{0}\" already; --replace gives them a new password")]
    Exists(String),
    /// There is none.
    #[error("there is no user \"{0}\"")]
    Unknown(String),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database did not do it.
    #[error("users not changed")]
    Store(#[from] StoreError),
    /// No salt.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl UserError {
    /// Whether what was asked for is at fault rather than the world.
    #[must_use]
    pub const fn is_mistake(&self) -> bool {
        matches!(self, Self::New(_) | Self::Open(OpenError::Address { .. }))
    }
}

/// What becomes of a user of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay as they are, and the call fails.
    Keep,
    /// They get the new password.
    Replace,
}

/// The users in the database that the settings name.
pub struct UserList {
    users: Box<dyn Users>,
    iterations: u32,
}

impl UserList {
    /// Opens the database of the nodes, also while they run.
    ///
    /// # Errors
    ///
    /// [`UserError::Open`].
    pub async fn open(config: &Config) -> Result<Self, UserError> {
        let url = &config.cluster.database_url;
        let users: Box<dyn Users> = if url.is_empty() {
            let synchronous = config.store.sync.into();
            Box::new(Sqlite::open_beside(&config.store.path, synchronous).await?)
        } else {
            let options = PostgresOptions {
                max_connections: 1,
                acquire_timeout: Duration::from_secs(5),
                ..PostgresOptions::default()
            };
            Box::new(Postgres::open(url, options).await?)
        };
        Ok(Self {
            users,
            iterations: config.auth.scram_iterations,
        })
    }

    /// Adds a user, who may connect from then on.
    ///
    /// # Errors
    ///
    /// [`UserError`]; then nothing has changed.
    pub async fn add(
        &self,
        username: &str,
        password: &str,
        existing: Existing,
    ) -> Result<(), UserError> {
        let user = auth::new_user(username, password, self.iterations)??;
        match existing {
            Existing::Replace => self.users.put_user(&user).await?,
            Existing::Keep if self.users.add_user(&user).await? => {}
            Existing::Keep => return Err(UserError::Exists(user.username)),
        }
        Ok(())
    }

    /// Removes a user, who cannot connect any more. Connections stay.
    ///
    /// # Errors
    ///
    /// [`UserError::Unknown`] if there is none of that name.
    pub async fn remove(&self, username: &str) -> Result<(), UserError> {
        let username = auth::prepare_username(username)?;
        if self.users.remove_user(&username).await? {
            Ok(())
        } else {
            Err(UserError::Unknown(username))
        }
    }

    /// The names after `after`, some at a time; none after the last.
    ///
    /// # Errors
    ///
    /// [`UserError::Store`].
    pub async fn names(&self, after: &str) -> Result<Vec<String>, UserError> {
        let users = self.users.users(after, PAGE).await?;
        Ok(users.into_iter().map(|user| user.username).collect())
    }
}
