//! `causeway-history FILE`: judges a history that was kept in a file.
//!
//! Prints the verdict. Exit code 0 if it is innocent, 1 if it is guilty, 2 if it cannot be read.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, BufReader, Write},
    process::ExitCode,
};

use history::{History, Rules, check};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "causeway-history: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: causeway-history FILE".into());
    };
    let name = path.display();
    let file = File::open(&path).map_err(|error| format!("{name}: {error}"))?;
    let history =
        History::read(BufReader::new(file)).map_err(|error| format!("{name}: {error}"))?;
    let verdict = check(&history, &Rules::default());
    let mut out = io::stdout().lock();
    writeln!(out, "{verdict}")?;
    Ok(if verdict.is_innocent() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
