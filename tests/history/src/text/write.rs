//! Entries to lines.

use std::{fmt, io};

use super::{
    HEADER,
    fields::{ABSENT, escape, seconds, word},
};
use crate::{Entry, Happened, History, MessageId, Retain, Side};

impl History {
    /// Writes all entries, one a line.
    ///
    /// # Errors
    ///
    /// What `out` says; part of the lines may be written.
    pub fn write(&self, mut out: impl io::Write) -> io::Result<()> {
        writeln!(out, "{HEADER}")?;
        for entry in &self.entries {
            writeln!(out, "{entry}")?;
        }
        out.flush()
    }
}

/// `PUBLISHER:NUMBER`, escaped as in a line of a history.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", escape(&self.publisher), self.number)
    }
}

/// The line of a history.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            seconds(self.at),
            escape(&self.client),
            self.connection,
            self.what
        )
    }
}

/// The end of a line of a history: what happened, and its fields.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { .. }
            | Self::Connected { .. }
            | Self::Refused { .. }
            | Self::Closed { .. } => connection(self, f),
            Self::Subscribe { filter, qos } => {
                write!(f, "subscribe filter={} qos={qos}", escape(filter))
            }
            Self::Subscribed { filter, reason } => {
                write!(f, "subscribed filter={} reason={reason}", escape(filter))
            }
            Self::Unsubscribe { filter } => write!(f, "unsubscribe filter={}", escape(filter)),
            Self::Unsubscribed { filter } => write!(f, "unsubscribed filter={}", escape(filter)),
            Self::Publish { .. }
            | Self::Acknowledged { .. }
            | Self::Completed { .. }
            | Self::Received { .. } => message(self, f),
            Self::Ping => f.write_str("ping"),
            Self::Pong => f.write_str("pong"),
            Self::Fault { text, begins } => {
                write!(f, "fault begins={} text={}", word(*begins), escape(text))
            }
            Self::Settled => f.write_str("settled"),
        }
    }
}

fn connection(what: &Happened, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match what {
        Happened::Connect {
            clean_start,
            expiry,
            will,
        } => {
            let (topic, qos, delay) = match will {
                Some(will) => (escape(&will.topic), will.qos, will.delay),
                None => (ABSENT.to_owned(), 0, std::time::Duration::ZERO),
            };
            write!(
                f,
                "connect clean_start={} expiry={} will={topic} will_qos={qos} will_delay={}",
                word(*clean_start),
                seconds(*expiry),
                seconds(delay)
            )
        }
        Happened::Connected { session_present } => {
            write!(f, "connected session_present={}", word(*session_present))
        }
        Happened::Refused { reason } => write!(f, "refused reason={reason}"),
        Happened::Closed { by, reason } => {
            let by = match by {
                Side::ClientNormally => "client-normally",
                Side::ClientAbruptly => "client-abruptly",
                Side::Server => "server",
            };
            match reason {
                Some(reason) => write!(f, "closed by={by} reason={reason}"),
                None => write!(f, "closed by={by} reason={ABSENT}"),
            }
        }
        _ => Ok(()),
    }
}

fn message(what: &Happened, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match what {
        Happened::Publish {
            message,
            topic,
            qos,
            retain,
            is_repeated,
        } => write!(
            f,
            "publish message={message} topic={} qos={qos} retain={} repeated={}",
            escape(topic),
            word(*retain == Retain::Yes),
            word(*is_repeated)
        ),
        Happened::Acknowledged { message, reason } => {
            write!(f, "acknowledged message={message} reason={reason}")
        }
        Happened::Completed { message } => write!(f, "completed message={message}"),
        Happened::Received {
            message,
            topic,
            qos,
            dup,
            retain,
        } => write!(
            f,
            "received message={message} topic={} qos={qos} dup={} retain={}",
            escape(topic),
            word(*dup),
            word(*retain == Retain::Yes)
        ),
        _ => Ok(()),
    }
}
