//! Memory of processes, from `/proc`.

/// The largest resident set of a process since it began, in bytes; `None` if there is no such process.
pub(crate) fn peak_bytes(id: u32) -> Option<u64> {
    parse(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_among_other_lines() {
        let status = "Name:\ta VmHWM: 1 kB\nVmPeak:\t  900 kB\nVmHWM:\t  12 kB\nVmRSS:\t  8 kB\n";
        assert_eq!(parse(status), Some(12 * 1024));
        assert_eq!(parse("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn we_have_one_ourselves() {
        assert!(peak_bytes(std::process::id()).unwrap() > 100_000);
    }
}
