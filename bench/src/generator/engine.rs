//! Any number of connections in one thread: one large read per event, and all that a read leads
//! to written with one write.
//!
//! Level triggered epoll: what a read leaves in a socket comes again. A connection is named by its
//! place, in the order of [`Engine::connect`], also when it is closed and connected again.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        prctl,
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use super::link::{CHUNK_BYTES, Link, Tls};
use crate::packet::Packet;

const EVENTS: usize = 1024;
/// The place of the timer among the connections.
const TIMER: u64 = u64::MAX;
/// Waits longer than this need not be exact.
const EXACT: Duration = Duration::from_millis(5);

/// What the load does with its connections.
pub(crate) trait Handler {
    /// A connection stands: appends CONNECT to `out`.
    fn opened(&mut self, place: usize, out: &mut Vec<u8>);
    /// A packet came, read `now`; answers are appended to `out`.
    fn packet(&mut self, place: usize, packet: Packet<'_>, now: u64, out: &mut Vec<u8>);
    /// A connection failed or the broker closed it.
    fn closed(&mut self, place: usize, why: &str);
}

/// The connections of a thread.
#[derive(Debug)]
pub(crate) struct Engine {
    epoll: Epoll,
    timer: TimerFd,
    events: Vec<EpollEvent>,
    links: Vec<Link>,
    buffer: Vec<u8>,
    clock: Instant,
}

impl Engine {
    /// An engine for this thread, whose timers become as exact as the kernel can make them.
    /// Processes that a thread starts inherit that, so brokers must be started by another one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&timer, EpollEvent::new(edge, TIMER))?;
        prctl::set_timerslack(1)?;
        Ok(Self {
            epoll,
            timer,
            events: vec![EpollEvent::empty(); EVENTS],
            links: Vec::new(),
            buffer: vec![0; CHUNK_BYTES],
            clock: Instant::now(),
        })
    }

    /// Nanoseconds since the engine was made; never 0.
    pub(crate) fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64 + 1
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Begins to connect and returns the place.
    ///
    /// # Errors
    ///
    /// If no socket can be had. A refusal is told to [`Handler::closed`].
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        tls: Option<&Tls>,
    ) -> anyhow::Result<usize> {
        let place = self.links.len();
        self.links.push(Link::default());
        self.reconnect(place, to, from, tls)?;
        Ok(place)
    }

    /// The same for a place that is closed.
    pub(crate) fn reconnect(
        &mut self,
        place: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
        tls: Option<&Tls>,
    ) -> anyhow::Result<()> {
        let link = self.links.get_mut(place).context("no such connection")?;
        *link = Link::connect(to, from, tls).with_context(|| format!("cannot connect to {to}"))?;
        if let Some(stream) = link.stream() {
            let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
            self.epoll
                .add(stream, EpollEvent::new(both, place as u64))?;
        }
        Ok(())
    }

    /// Waits at most so many nanoseconds and handles what came.
    pub(crate) fn poll(
        &mut self,
        wait_nanoseconds: u64,
        handler: &mut impl Handler,
    ) -> anyhow::Result<()> {
        let count = self.wait(Duration::from_nanos(wait_nanoseconds))?;
        for at in 0..count {
            let Some(event) = self.events.get(at) else {
                break;
            };
            if event.data() != TIMER {
                let (place, flags) = (event.data() as usize, event.events());
                if let Err(why) = self.handle(place, flags, handler) {
                    self.close(place);
                    handler.closed(place, &why);
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, wait: Duration) -> anyhow::Result<usize> {
        let timeout = if wait.is_zero() {
            EpollTimeout::ZERO
        } else if wait < EXACT {
            let once = Expiration::OneShot(TimeSpec::from_duration(wait));
            self.timer.set(once, TimerSetTimeFlags::empty())?;
            EpollTimeout::NONE
        } else {
            EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
        };
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(error) => Err(error).context("epoll"),
        }
    }

    fn handle(
        &mut self,
        place: usize,
        flags: EpollFlags,
        handler: &mut impl Handler,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(place) else {
            return Ok(());
        };
        if link.stream().is_none() {
            return Ok(()); // closed by what was handled before
        }
        if !link.is_open() {
            if link.finish_connecting()? {
                let mut out = link.take_out();
                handler.opened(place, &mut out);
                link.put_out(out);
                // It waits for writing now, which the flush ends.
                link.set_blocked(true);
                return self.try_flush(place);
            }
            return Ok(());
        }
        let broken = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if flags.intersects(EpollFlags::EPOLLIN | broken) {
            let clock = self.clock;
            let mut out = link.take_out();
            let before = out.len();
            let result = link.read(
                &mut self.buffer,
                &mut |packet, now| {
                    handler.packet(place, packet, now, &mut out);
                },
                &|| clock.elapsed().as_nanos() as u64 + 1,
            );
            let grown = out.len() > before;
            link.put_out(out);
            let wants_write = result?;
            if (grown || wants_write) && !link.is_blocked() {
                self.try_flush(place)?;
            }
        }
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.try_flush(place)?;
        }
        Ok(())
    }

    fn try_flush(&mut self, place: usize) -> Result<(), String> {
        let Some(link) = self.links.get_mut(place) else {
            return Ok(());
        };
        let blocked = !link.write()?;
        if blocked != link.is_blocked() {
            link.set_blocked(blocked);
            let mut wanted = EpollFlags::EPOLLIN;
            wanted.set(EpollFlags::EPOLLOUT, blocked);
            if let Some(stream) = link.stream() {
                self.epoll
                    .modify(stream, &mut EpollEvent::new(wanted, place as u64))
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Writes what is in the buffer of `place`, as far as the socket takes it; the rest follows by
    /// itself. Closes the connection and tells `handler` if that fails.
    pub(crate) fn flush(&mut self, place: usize, handler: &mut impl Handler) {
        if !self.is_open(place) {
            return;
        }
        if let Err(why) = self.try_flush(place) {
            self.close(place);
            handler.closed(place, &why);
        }
    }

    /// Where to append what [`Engine::flush`] shall write.
    pub(crate) fn out(&mut self, place: usize) -> Option<&mut Vec<u8>> {
        self.links.get_mut(place).map(Link::out)
    }

    /// Bytes that wait to be written.
    pub(crate) fn pending_bytes(&self, place: usize) -> usize {
        self.links.get(place).map_or(0, Link::pending_bytes)
    }

    /// Whether the socket took less than it was given.
    pub(crate) fn is_blocked(&self, place: usize) -> bool {
        self.links.get(place).is_some_and(Link::is_blocked)
    }

    /// Whether the connection stands.
    pub(crate) fn is_open(&self, place: usize) -> bool {
        self.links.get(place).is_some_and(Link::is_open)
    }

    /// Whether its TLS session was resumed from an earlier one.
    pub(crate) fn is_resumed(&self, place: usize) -> bool {
        self.links.get(place).is_some_and(Link::is_resumed)
    }

    /// Closes it without a word to the handler.
    pub(crate) fn close(&mut self, place: usize) {
        if let Some(link) = self.links.get_mut(place) {
            *link = Link::default();
        }
    }

    /// Says goodbye and closes.
    pub(crate) fn disconnect(&mut self, place: usize) {
        if self.is_open(place) {
            if let Some(out) = self.out(place) {
                out.extend_from_slice(&crate::packet::DISCONNECT);
            }
            // If it is broken already, it is closed all the same.
            let _ = self.try_flush(place);
        }
        self.close(place);
    }

    /// The same for all.
    pub(crate) fn disconnect_all(&mut self) {
        for place in 0..self.len() {
            self.disconnect(place);
        }
    }
}
