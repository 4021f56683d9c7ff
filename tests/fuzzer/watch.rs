//! What the system says about the process of a node.

use std::fs;

use anyhow::Context as _;

/// A process, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory now, in bytes.
    pub resident_bytes: u64,
    /// The most that it has ever had.
    pub peak_bytes: u64,
    /// Open file descriptors.
    pub files: usize,
}

impl Footprint {
    /// That of the process `id`.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn of(id: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))
            .with_context(|| format!("process {id} is gone"))?;
        let kilobytes = |name: &str| -> anyhow::Result<u64> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .with_context(|| format!("no {name} of process {id}"))?;
            let number = line.trim().trim_end_matches(" kB");
            Ok(number.parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident_bytes: kilobytes("VmRSS:")?,
            peak_bytes: kilobytes("VmHWM:")?,
            files: fs::read_dir(format!("/proc/{id}/fd"))?.count(),
        })
    }
}
