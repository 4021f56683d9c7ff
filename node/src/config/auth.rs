//! The table `auth`.

use serde::{Deserialize, Serialize};

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `disabled`: everybody. `default`: the users in the database, by user name and password or by
    /// SCRAM-SHA-256. Fixed until restart, and to be the same on all nodes.
    pub mode: AuthMode,
    /// Whether addresses beyond loopback may be bound while `mode` is `disabled`.
    pub allow_anonymous_remote: bool,
    /// How often the hash of a new password is repeated, 4096 to 1 000 000 (RFC 7677, section 4). Every
    /// 4096 cost a CPU with SHA instructions half a millisecond, others up to two: here for each
    /// CONNECT with a password that was not seen in the last minutes, with SCRAM on the device instead.
    /// Small devices are why the default is no larger. The same on all nodes, for `causeway user`,
    /// and for all users: by another number one can tell users from names that do not exist.
    pub scram_iterations: u32,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: AuthMode::Disabled,
            allow_anonymous_remote: false,
            scram_iterations: 4096,
        }
    }
}

/// How clients are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Everybody may connect, whatever user name and password they send.
    Disabled,
    /// The users in the database may.
    Default,
}
