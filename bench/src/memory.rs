//! Memory of processes, from `/proc`.

/// The largest resident set of a process since it began or [`reset_peak`], in bytes; `None` if there
/// is no such process.
pub(crate) fn peak_bytes(id: u32) -> Option<u64> {
    line(id, "VmHWM:")
}

/// The resident set of a process now, in bytes.
pub(crate) fn resident_bytes(id: u32) -> Option<u64> {
    line(id, "VmRSS:")
}

/// Begins the peak anew. Nothing happens if the process belongs to somebody else.
pub(crate) fn reset_peak(id: u32) {
    // Then the peak is that since its start, which is no smaller.
    let _ = std::fs::write(format!("/proc/{id}/clear_refs"), "5");
}

fn line(id: u32, name: &str) -> Option<u64> {
    parse(
        &std::fs::read_to_string(format!("/proc/{id}/status")).ok()?,
        name,
    )
}

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_among_other_lines() {
        let status = "Name:\ta VmHWM: 1 kB\nVmPeak:\t  900 kB\nVmHWM:\t  12 kB\nVmRSS:\t  8 kB\n";
        assert_eq!(parse(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(parse(status, "VmRSS:"), Some(8 * 1024));
        assert_eq!(parse("Name:\tkthreadd\n", "VmHWM:"), None);
    }

    #[test]
    fn we_have_one_ourselves() {
        assert!(peak_bytes(std::process::id()).unwrap() > 100_000);
    }
}
