//! `causeway-bench compare`.

use clap::Args;

use crate::catalogue::Scenario;

/// Starts mosquitto, one node and a cluster in turn, runs every scenario on each, and prints tables
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Scenarios to run, separated by commas
    #[arg(long, value_delimiter = ',', ignore_case = true, default_values_t = Scenario::ALL)]
    pub(crate) only: Vec<Scenario>,
}
impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("later {:?}", self.only)
    }
}
