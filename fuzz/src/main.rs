//! `fuzz-seeds unpack DIR`: writes each seed of each target as a file `DIR/<target>/<number>`.
//! `fuzz-seeds pack FILE...`: prints the line of each file, for `seeds/<target>.txt`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use checks::{TARGETS, seeds};

fn unpack(folder: &Path) -> io::Result<()> {
    for (target, _) in TARGETS {
        let source = Path::new("fuzz/seeds").join(target).with_extension("txt");
        let text = fs::read_to_string(&source)?;
        let inputs = seeds::parse(&text).map_err(|line| {
            io::Error::other(format!("{} line {line}: not hexadecimal", source.display()))
        })?;
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (index, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:03}")), input)?;
        }
    }
    Ok(())
}

fn pack(files: &[String]) -> io::Result<()> {
    let mut lines: Vec<String> = Vec::new();
    for file in files {
        lines.push(seeds::line(&fs::read(file)?));
    }
    lines.sort_unstable_by_key(|line| (line.len(), line.clone()));
    for line in lines {
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [word, folder] if word == "unpack" => unpack(Path::new(folder)),
        [word, files @ ..] if word == "pack" => pack(files),
        _ => Err(io::Error::other(
            "usage: fuzz-seeds unpack DIR | pack FILE...",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "fuzz-seeds: {error}");
            ExitCode::FAILURE
        }
    }
}
