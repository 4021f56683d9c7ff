//! Lines to entries.

use std::{fmt, io, time::Duration};

use super::{
    HEADER,
    fields::{ABSENT, duration, unescape},
};
use crate::{Entry, Happened, History, MessageId, Retain, Side, WillPlan};

/// Why a text is no history.
#[derive(Debug)]
pub enum ReadError {
    /// It cannot be read.
    Read(io::Error),
    /// The first line is not that of a history of this version.
    Header,
    /// A line is not an entry.
    Line {
        /// 1 is the first line of the file.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("history not readable"),
            Self::Header => write!(f, "not a history: the first line is not `{HEADER}`"),
            Self::Line { number, problem } => write!(f, "line {number}: {problem}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Header | Self::Line { .. } => None,
        }
    }
}

impl History {
    /// Reads what [`History::write`] has written.
    ///
    /// # Errors
    ///
    /// [`ReadError`] at the first line that is not understood.
    pub fn read(input: impl io::BufRead) -> Result<Self, ReadError> {
        let mut lines = input.lines();
        let header = lines.next().transpose().map_err(ReadError::Read)?;
        if header.as_deref() != Some(HEADER) {
            return Err(ReadError::Header);
        }
        let mut entries = Vec::new();
        for (index, line) in lines.enumerate() {
            let line = line.map_err(ReadError::Read)?;
            if line.is_empty() {
                continue;
            }
            entries.push(entry(&line).map_err(|problem| ReadError::Line {
                number: index + 2,
                problem,
            })?);
        }
        Ok(Self { entries })
    }
}

/// What is left of a line.
struct Parts<'a>(std::str::Split<'a, char>);

impl<'a> Parts<'a> {
    fn next(&mut self, name: &str) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| format!("{name} is missing"))
    }

    fn field(&mut self, name: &str) -> Result<&'a str, String> {
        self.next(name)?
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
            .ok_or_else(|| format!("expected `{name}=`"))
    }

    fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let value = self.field(name)?;
        parse(value).ok_or_else(|| format!("`{value}` is no value of {name}"))
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        self.parsed(name, unescape)
    }

    fn number(&mut self, name: &str) -> Result<u8, String> {
        self.parsed(name, |value| value.parse().ok())
    }

    fn time(&mut self, name: &str) -> Result<Duration, String> {
        self.parsed(name, duration)
    }

    fn is(&mut self, name: &str) -> Result<bool, String> {
        self.parsed(name, |value| match value {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })
    }

    fn retain(&mut self) -> Result<Retain, String> {
        Ok(if self.is("retain")? {
            Retain::Yes
        } else {
            Retain::No
        })
    }

    fn message(&mut self) -> Result<MessageId, String> {
        self.parsed("message", |value| {
            let (publisher, number) = value.rsplit_once(':')?;
            Some(MessageId {
                publisher: unescape(publisher)?,
                number: number.parse().ok()?,
            })
        })
    }

    fn absent_or<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.parsed(name, |value| {
            if value == ABSENT {
                Some(None)
            } else {
                parse(value).map(Some)
            }
        })
    }
}

fn entry(line: &str) -> Result<Entry, String> {
    let mut parts = Parts(line.split(' '));
    let at = parts.next("time")?;
    let at = duration(at).ok_or_else(|| format!("`{at}` is no time"))?;
    let client = parts.next("client")?;
    let client = unescape(client).ok_or_else(|| format!("`{client}` is no client"))?;
    let connection = parts.next("connection")?;
    let connection = connection
        .parse()
        .map_err(|_| format!("`{connection}` is no number of a connection"))?;
    let what = happened(&mut parts)?;
    match parts.0.next() {
        None => Ok(Entry {
            at,
            client,
            connection,
            what,
        }),
        Some(rest) => Err(format!("`{rest}` is too much")),
    }
}

fn happened(parts: &mut Parts<'_>) -> Result<Happened, String> {
    let verb = parts.next("what happened")?;
    Ok(match verb {
        "connect" | "connected" | "refused" | "closed" => return connection(verb, parts),
        "subscribe" => Happened::Subscribe {
            filter: parts.text("filter")?,
            qos: parts.number("qos")?,
        },
        "subscribed" => Happened::Subscribed {
            filter: parts.text("filter")?,
            reason: parts.number("reason")?,
        },
        "unsubscribe" => Happened::Unsubscribe {
            filter: parts.text("filter")?,
        },
        "unsubscribed" => Happened::Unsubscribed {
            filter: parts.text("filter")?,
        },
        "publish" => Happened::Publish {
            message: parts.message()?,
            topic: parts.text("topic")?,
            qos: parts.number("qos")?,
            retain: parts.retain()?,
            is_repeated: parts.is("repeated")?,
        },
        "acknowledged" => Happened::Acknowledged {
            message: parts.message()?,
            reason: parts.number("reason")?,
        },
        "completed" => Happened::Completed {
            message: parts.message()?,
        },
        "received" => Happened::Received {
            message: parts.message()?,
            topic: parts.text("topic")?,
            qos: parts.number("qos")?,
            dup: parts.is("dup")?,
            retain: parts.retain()?,
        },
        "ping" => Happened::Ping,
        "pong" => Happened::Pong,
        "fault" => Happened::Fault {
            begins: parts.is("begins")?,
            text: parts.text("text")?,
        },
        "settled" => Happened::Settled,
        other => return Err(format!("`{other}` is nothing that happens")),
    })
}

fn connection(verb: &str, parts: &mut Parts<'_>) -> Result<Happened, String> {
    Ok(match verb {
        "connect" => {
            let clean_start = parts.is("clean_start")?;
            let expiry = parts.time("expiry")?;
            let topic = parts.absent_or("will", unescape)?;
            let qos = parts.number("will_qos")?;
            let delay = parts.time("will_delay")?;
            Happened::Connect {
                clean_start,
                expiry,
                will: topic.map(|topic| WillPlan { topic, qos, delay }),
            }
        }
        "connected" => Happened::Connected {
            session_present: parts.is("session_present")?,
        },
        "refused" => Happened::Refused {
            reason: parts.number("reason")?,
        },
        _ => Happened::Closed {
            by: parts.parsed("by", |value| match value {
                "client-normally" => Some(Side::ClientNormally),
                "client-abruptly" => Some(Side::ClientAbruptly),
                "server" => Some(Side::Server),
                _ => None,
            })?,
            reason: parts.absent_or("reason", |value| value.parse().ok())?,
        },
    })
}
