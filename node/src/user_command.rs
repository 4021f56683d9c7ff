//! The command line of `causeway user`.

use std::io::{BufRead, IsTerminal, Read, Write};

use clap::Subcommand;
use node::{Existing, UserError, UserList, config, config::Config, telemetry::chain};

use crate::{CONFIGURATION, FAILURE, Settings, load};

/// More than any password that is taken.
const MOST_BYTES: u64 = 4096;

/// What to do with users.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user. The password is asked for, unless --password-stdin or CAUSEWAY_PASSWORD gives it.
    Add {
        /// 1 to 255 bytes.
        name: String,
        /// Take the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Give a user who exists a new password.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a user, who cannot connect any more. Open connections stay until they end.
    Remove {
        /// As it was added.
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the names of all users, one a line, in the order of their bytes.
    List {
        #[command(flatten)]
        settings: Settings,
    },
}

/// Does it on the database that the settings name, also while nodes run on it.
///
/// # Errors
///
/// The exit code, and a text that says what to change.
pub(crate) fn run(command: UserCommand) -> Result<(), (u8, String)> {
    match command {
        UserCommand::Add {
            name,
            password_stdin,
            replace,
            settings,
        } => {
            let config = load(&settings)?;
            let password = password(password_stdin)?;
            let existing = if replace {
                Existing::Replace
            } else {
                Existing::Keep
            };
            on_users(&config, async |users| {
                users.add(&name, &password, existing).await
            })
        }
        UserCommand::Remove { name, settings } => {
            on_users(&load(&settings)?, async |users| users.remove(&name).await)
        }
        UserCommand::List { settings } => on_users(&load(&settings)?, async |users| {
            let mut after = String::new();
            loop {
                let names = users.names(&after).await?;
                let Some(last) = names.last() else {
                    return Ok(());
                };
                after.clone_from(last);
                // Whoever reads may have had enough.
                if writeln!(std::io::stdout(), "{}", names.join("\n")).is_err() {
                    return Ok(());
                }
            }
        }),
    }
}

fn on_users(
    config: &Config,
    task: impl AsyncFnOnce(&UserList) -> Result<(), UserError>,
) -> Result<(), (u8, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (FAILURE, format!("cannot start: {error}")))?;
    let result = runtime.block_on(async { task(&UserList::open(config).await?).await });
    result.map_err(|error| {
        let code = if error.is_mistake() {
            CONFIGURATION
        } else {
            FAILURE
        };
        (code, chain(&error))
    })
}

/// The new password, from where the user wants it taken. Never from an argument, which others see.
fn password(is_on_stdin: bool) -> Result<String, (u8, String)> {
    if is_on_stdin {
        let mut line = String::new();
        let read = std::io::stdin()
            .lock()
            .take(MOST_BYTES)
            .read_line(&mut line);
        read.map_err(|error| (CONFIGURATION, format!("--password-stdin: {error}")))?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        return Ok(line.strip_suffix('\r').unwrap_or(line).to_owned());
    }
    if let Some(password) = config::password() {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err((
            CONFIGURATION,
            "no terminal to ask for the password: use --password-stdin or CAUSEWAY_PASSWORD"
                .to_owned(),
        ));
    }
    let ask = |prompt| {
        rpassword::prompt_password(prompt)
            .map_err(|error| (FAILURE, format!("cannot ask for the password: {error}")))
    };
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err((CONFIGURATION, "the passwords differ".to_owned()));
    }
    Ok(password)
}
