//! What the nodes share, on both databases: the same tests for each where both apply.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(missing_docs, reason = "a test")]

mod absence;
mod bed;
mod burial;
mod claims;
mod clean;
mod commits;
mod frames;
mod membership;
mod opening;
mod server;
mod sweep;
mod users;
mod wills;

/// Makes a test of each function, on Postgres and on SQLite.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($($bed:ident)+: Bed) $body:block)*) => {
        $(
            $(#[$meta])*
            async fn $name($($bed)+: Bed) $body
        )*
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::bed::Bed::postgres().await).await;
                }
            )*
        }
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::bed::Bed::sqlite().await).await;
                }
            )*
        }
    };
}
use on_both;
