//! Who a client is, and whether it may connect (section 4.12).
//!
//! Owns the users as a node knows them, which is not at all: each authentication reads the database,
//! so that a change counts at once at every node. It decides, and never speaks to a client: what is to
//! be said is handed to `handle`. Passwords are not kept, only what cannot be turned back into one.

mod check;
mod directory;
mod exchange;
mod keys;
pub mod scram;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ibc::{StoreError, User, Users};
use mqtt::{Connect, ReasonCode, Str};

pub(crate) use exchange::{Exchange, Step};
pub use keys::RandomError;
use scram::ScramError;

use self::{check::Checks, directory::Directory};
use crate::{
    config::{AuthMode, Config},
    shutdown::Shutdown,
};

/// Why a client is not who it says, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// It asks for an enhanced authentication that this broker does not have [MQTT-4.12.0-1]. 0x8C.
    #[error("no such authentication method")]
    Method,
    /// It gives no user name. 0x87.
    #[error("no user name")]
    Anonymous,
    /// No such user, or another password. 0x86.
    #[error("wrong user name or password")]
    Credentials,
    /// The exchange of SCRAM fails, whatever the reason. 0x87.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// It proves to be another user than CONNECT names, or than the connection is of. 0x87.
    #[error("authenticates as another user than the connection is for")]
    OtherUser,
    /// The answer to a challenge has come too late. 0x87.
    #[error("the answer to the challenge came too late")]
    Late,
    /// An AUTH packet that has no place here. 0x82.
    #[error("{0}")]
    Order(&'static str),
    /// The database does not answer; the client may repeat. 0x88.
    #[error("users not read")]
    Unavailable(#[from] StoreError),
    /// The system has no randomness. 0x88.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Too many wait to be checked; the client may repeat. 0x89.
    #[error("not checked in time")]
    Busy,
}

impl Denied {
    /// What CONNACK says [MQTT-4.12.0-4].
    pub(crate) const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Method => ReasonCode::BadAuthenticationMethod,
            Self::Credentials => ReasonCode::BadUserNameOrPassword,
            Self::Anonymous | Self::Scram(_) | Self::OtherUser | Self::Late => {
                ReasonCode::NotAuthorized
            }
            Self::Order(_) => ReasonCode::ProtocolError,
            Self::Unavailable(_) | Self::Random(_) => ReasonCode::ServerUnavailable,
            Self::Busy => ReasonCode::ServerBusy,
        }
    }

    /// What DISCONNECT says [MQTT-4.12.1-2], which does not know "server unavailable".
    pub(crate) const fn disconnect_code(&self) -> ReasonCode {
        match self.reason_code() {
            ReasonCode::ServerUnavailable => ReasonCode::ServerBusy,
            reason_code => reason_code,
        }
    }

    /// The last message of the method, if it has one for this.
    pub(crate) fn data(&self) -> Option<Bytes> {
        match self {
            Self::Scram(error) => Some(Bytes::from(error.message())),
            Self::Method
            | Self::Anonymous
            | Self::Credentials
            | Self::OtherUser
            | Self::Late
            | Self::Order(_)
            | Self::Unavailable(_)
            | Self::Random(_)
            | Self::Busy => None,
        }
    }
}

/// Who a connection is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user, prepared by SASLprep. While everybody may connect: what CONNECT said, if anything.
    pub(crate) username: Option<Str>,
    /// The method of the enhanced authentication, if there was one.
    pub(crate) method: Option<Str>,
}

/// Who may connect.
pub(crate) struct Auth {
    /// None: everybody.
    known: Option<Known>,
    /// How long a client may take with an answer.
    limit: Duration,
}

struct Known {
    directory: Arc<Directory>,
    checks: Checks,
}

impl Auth {
    /// Makes ready to authenticate clients.
    ///
    /// # Errors
    ///
    /// [`Denied::Unavailable`] or [`Denied::Random`] if the secret that the nodes share cannot be
    /// read or made.
    pub(crate) async fn start(
        config: &Config,
        users: Arc<dyn Users>,
        shutdown: &Shutdown,
    ) -> Result<Self, Denied> {
        let known = match config.auth.mode {
            AuthMode::Disabled => None,
            AuthMode::Default => Some(Known {
                directory: Arc::new(Directory::open(config, users, shutdown.clone()).await?),
                checks: Checks::new(shutdown.clone())?,
            }),
        };
        let limit = config.mqtt.connect_timeout;
        Ok(Self { known, limit })
    }

    /// Checks a client that wants no enhanced authentication. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub(crate) async fn check(&self, connect: &Connect) -> Result<Identity, Denied> {
        let Some(known) = &self.known else {
            return Ok(Identity {
                username: connect.username.as_ref().map(Str::detached),
                method: None,
            });
        };
        let username = connect.username.as_ref().ok_or(Denied::Anonymous)?;
        let password = connect.password.clone().unwrap_or_default();
        let looked_up = known.directory.look_up(username, Duration::ZERO);
        let found = looked_up.await.map_err(|_| Denied::Busy)??;
        let username = Str::new(&found.username).map_err(|_| Denied::Credentials)?;
        if known.checks.is_right(found, password).await? {
            Ok(Identity {
                username: Some(username),
                method: None,
            })
        } else {
            Err(Denied::Credentials)
        }
    }

    /// A client whose certificate names it: that is enough, whatever user name and password it sends.
    ///
    /// # Errors
    ///
    /// [`Denied::Credentials`] if no user can have that name.
    pub(crate) fn certified(&self, common_name: &Str) -> Result<Identity, Denied> {
        let username = match &self.known {
            Some(_) => {
                let prepared = prepare_username(common_name).map_err(|_| Denied::Credentials)?;
                Str::new(prepared).map_err(|_| Denied::Credentials)?
            }
            None => common_name.detached(),
        };
        Ok(Identity {
            username: Some(username),
            method: None,
        })
    }

    /// Starts an enhanced authentication. `username`: who it must turn out to be, if that is known;
    /// `patience`: how long an unreachable database is asked again.
    ///
    /// # Errors
    ///
    /// [`Denied::Method`] if there is no such method [MQTT-4.12.0-1].
    pub(crate) fn begin(
        &self,
        method: &Str,
        username: Option<&Str>,
        patience: Duration,
    ) -> Result<Exchange, Denied> {
        match &self.known {
            Some(known) if method.as_str() == scram::METHOD => Ok(Exchange::new(
                Arc::clone(&known.directory),
                username.map(|username| username.as_str().to_owned()),
                patience,
                self.limit,
            )),
            Some(_) | None => Err(Denied::Method),
        }
    }
}

/// Why somebody cannot become a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NewUserError {
    /// Empty, too long, or with characters that SASLprep does not allow.
    #[error(
        "the user name must have 1 to 255 bytes and no control or unassigned characters (RFC 4013)"
    )]
    Username,
    /// Empty, too long, or with characters that SASLprep does not allow.
    #[error(
        "the password must have 1 to 1024 bytes and no control or unassigned characters (RFC 4013)"
    )]
    Password,
}

/// A user name as it is stored and compared.
///
/// # Errors
///
/// [`NewUserError::Username`].
pub(crate) fn prepare_username(username: &str) -> Result<String, NewUserError> {
    directory::prepare(username).ok_or(NewUserError::Username)
}

/// A user with a password. Blocks for the time that one check takes.
///
/// # Errors
///
/// [`NewUserError`] inside, [`RandomError`] outside.
pub(crate) fn new_user(
    username: &str,
    password: &str,
    iterations: u32,
) -> Result<Result<User, NewUserError>, RandomError> {
    let prepared = keys::prepare_password(password.as_bytes());
    let (username, password) = match (prepare_username(username), prepared) {
        (Err(error), _) => return Ok(Err(error)),
        (Ok(_), None) => return Ok(Err(NewUserError::Password)),
        (Ok(username), Some(password)) => (username, password),
    };
    let scram = Some(keys::new_keys(&password, iterations)?);
    Ok(Ok(User { username, scram }))
}
