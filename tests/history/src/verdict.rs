//! What the checker says, for people.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{Entry, MessageId, Rules};

/// What must not have happened. The module in `checks` that finds it defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Acknowledged, subscribed, never delivered.
    Loss,
    /// A later message of the same publisher, topic and QoS came, this one never did.
    Gap,
    /// QoS 2, delivered twice in one session.
    Duplicate,
    /// QoS 1, delivered twice without a cause.
    UncausedDuplicate,
    /// A message came after a later one of the same publisher, topic and QoS.
    Disorder,
    /// A Will came twice.
    DoubleWill,
    /// A Will was due and did not come.
    MissingWill,
    /// A Will came although it was deleted, or its connection was refused.
    UndueWill,
    /// A Will came while its connection was served.
    EarlyWill,
    /// Two connections of one client identifier were served.
    TwoOwners,
    /// No member of a group got a message.
    SharedMiss,
    /// Two members of a group got one message.
    SharedDouble,
    /// A retained message older than the last one acknowledged before the subscription.
    RetainedOld,
    /// No retained message came.
    RetainedMissing,
    /// Session Present is 0 where there must be a session.
    SessionLost,
    /// Session Present is 1 after Clean Start.
    SessionKept,
    /// A message that nobody sent, or to whom nobody subscribed.
    Phantom,
    /// A delivery in another QoS than the lower one of message and subscription.
    WrongQos,
    /// Never acknowledged or completed on a connection that stayed open.
    Stuck,
    /// The history does not say that it settled, so nothing can be said of what is missing.
    Unsettled,
    /// The history contradicts itself or what the checker may assume of the load: the clients or
    /// the machine that wrote it are at fault.
    Unsound,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Gap => "gap",
            Self::Duplicate => "QoS 2 duplicate",
            Self::UncausedDuplicate => "duplicate without cause",
            Self::Disorder => "disorder",
            Self::DoubleWill => "double will",
            Self::MissingWill => "missing will",
            Self::UndueWill => "undue will",
            Self::EarlyWill => "early will",
            Self::TwoOwners => "two owners",
            Self::SharedMiss => "shared miss",
            Self::SharedDouble => "shared double",
            Self::RetainedOld => "old retained message",
            Self::RetainedMissing => "missing retained message",
            Self::SessionLost => "session lost",
            Self::SessionKept => "session kept",
            Self::Phantom => "phantom",
            Self::WrongQos => "wrong QoS",
            Self::Stuck => "stuck",
            Self::Unsettled => "unsettled",
            Self::Unsound => "unsound history",
        })
    }
}

/// One thing that must not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What it is.
    pub kind: Kind,
    /// To whom it happened.
    pub client: String,
    /// With which message.
    pub message: Option<MessageId>,
    /// When it was certain: time of the last entry of the evidence.
    pub at: Duration,
    /// What happened, as a sentence.
    pub text: String,
    /// The entries that prove it, each with its place in [`History::entries`](crate::History).
    pub evidence: Vec<(usize, Entry)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.client.is_empty() {
            write!(f, " at {}", self.client)?;
        }
        if let Some(message) = &self.message {
            write!(f, ", message {message}")?;
        }
        writeln!(f, ": {}", self.text)?;
        for (place, entry) in &self.evidence {
            writeln!(f, "    [{place}] {entry}")?;
        }
        Ok(())
    }
}

/// How much happened, so that an innocent verdict can be told from an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different messages published, Wills not among them.
    pub sent: u64,
    /// Of these, PUBLISH packets sent again.
    pub repeated: u64,
    /// Messages of QoS 1 and 2 that were acknowledged.
    pub acknowledged: u64,
    /// Messages that were refused and never acknowledged.
    pub refused: u64,
    /// Deliveries, Wills and retained ones among them.
    pub received: u64,
    /// Deliveries with RETAIN.
    pub retained: u64,
    /// Pairs of a client and a message that had to come together.
    pub promised: u64,
    /// QoS 1 deliveries of what the client had got before, with a cause.
    pub duplicates_with_cause: u64,
    /// And without; each of them is a violation.
    pub duplicates_without_cause: u64,
    /// Connections that a server accepted.
    pub connected: u64,
    /// Attempts that came to nothing.
    pub refused_connections: u64,
    /// Accepted connections of a client that had one before.
    pub reconnects: u64,
    /// Of these, with Session Present.
    pub resumed: u64,
    /// Accepted while an older connection of the same client was open.
    pub takeovers: u64,
    /// Different Wills that were received.
    pub wills: u64,
    /// Wills that had to be published.
    pub wills_due: u64,
    /// Messages that a group had to get.
    pub promised_to_groups: u64,
    /// Faults that began.
    pub faults: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "published {} (again {}), acknowledged {}, refused {}",
            self.sent, self.repeated, self.acknowledged, self.refused
        )?;
        writeln!(
            f,
            "received {}, retained {}; promised {}, to groups {}",
            self.received, self.retained, self.promised, self.promised_to_groups
        )?;
        writeln!(
            f,
            "QoS 1 duplicates {} with a cause, {} without",
            self.duplicates_with_cause, self.duplicates_without_cause
        )?;
        writeln!(
            f,
            "connections {}, reconnects {} (resumed {}), takeovers {}, refused {}",
            self.connected, self.reconnects, self.resumed, self.takeovers, self.refused_connections
        )?;
        write!(
            f,
            "wills {} (due {}), faults {}",
            self.wills, self.wills_due, self.faults
        )
    }
}

/// What the checker says of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// All that must not have happened, by the time when it was certain.
    pub violations: Vec<Violation>,
    /// How much happened.
    pub counts: Counts,
    /// By which times it was judged.
    pub rules: Rules,
}

/// So many violations of one kind are printed.
const PRINTED_PER_KIND: usize = 20;

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_innocent(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many violations there are of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for violation in &self.violations {
            *kinds.entry(violation.kind).or_default() += 1;
        }
        kinds
    }
}

/// The violations, the first 20 of each kind in full, then the counts.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed: BTreeMap<Kind, usize> = BTreeMap::new();
        for violation in &self.violations {
            let so_far = printed.entry(violation.kind).or_default();
            *so_far += 1;
            if *so_far <= PRINTED_PER_KIND {
                writeln!(f, "{violation}")?;
            }
        }
        writeln!(f, "{}", self.counts)?;
        if self.is_innocent() {
            return write!(f, "innocent");
        }
        write!(f, "guilty")?;
        for (kind, count) in self.kinds() {
            write!(f, "; {kind}: {count}")?;
        }
        Ok(())
    }
}
