//! What makes clients different from each other.

use std::sync::{Arc, atomic::Ordering};

use mqtt::ProtocolVersion;
use tokio::time::Instant;

use super::{
    Client, Closing, Line, Phase,
    dial::{Welcome, dial},
    ghost::Ghost,
    part::Habit,
};
use crate::{network, schedule::NODES};

impl Client {
    /// When it does something of its own for the first time on a new connection.
    pub(super) fn first_move(&mut self, now: Instant) -> Option<Instant> {
        let (from, to) = match self.part.habit {
            Habit::Steady => return None,
            // The last look is a long one.
            Habit::Probe if self.phase() != Phase::Load => return None,
            Habit::Probe => (700, 7000),
            Habit::Wavering => (1000, 3000),
            Habit::Mortal => (300, 3000),
            Habit::Doubled => (1000, 4000),
            Habit::Nomadic => (100, 1000),
        };
        Some(now + self.random.millis(from, to))
    }

    /// Does what its habit is.
    pub(super) fn do_move(&mut self, line: &mut Line, now: Instant) -> Result<(), Closing> {
        line.next_move = None;
        let is_probe = self.part.habit == Habit::Probe;
        if self.phase() != Phase::Load && !is_probe {
            // Nobody stays without what he wants.
            self.wishes.values_mut().for_each(|wish| *wish = true);
            return Ok(());
        }
        match self.part.habit {
            Habit::Steady => Ok(()),
            Habit::Probe => Err(Closing::Leave { with_will: false }),
            Habit::Wavering => {
                self.waver(line, now);
                Ok(())
            }
            Habit::Mortal => Err(self.die()),
            habit @ (Habit::Doubled | Habit::Nomadic) => {
                let is_nomad = habit == Habit::Nomadic;
                let (from, to) = if is_nomad { (100, 1500) } else { (2000, 5000) };
                line.next_move = Some(now + self.random.millis(from, to));
                if line.takeover.is_none() {
                    self.connect_again(line);
                }
                Ok(())
            }
        }
    }

    fn waver(&mut self, line: &mut Line, now: Instant) {
        let mut is_subscribed = false;
        for wish in self.wishes.values_mut() {
            *wish = !*wish;
            is_subscribed = *wish;
        }
        let (from, to) = if is_subscribed {
            (1000, 3000)
        } else {
            (200, 1000)
        };
        line.next_move = Some(now + self.random.millis(from, to));
        line.next_request = now;
        self.tell_subscribed();
    }

    fn die(&mut self) -> Closing {
        let is_v5 = self.part.version == ProtocolVersion::V5;
        match self.random.below(4) {
            0 => Closing::Leave { with_will: false },
            1 if is_v5 => Closing::Leave { with_will: true },
            _ => Closing::Vanish,
        }
    }

    /// Connects a second time, at any node; the first connection goes on meanwhile.
    fn connect_again(&mut self, line: &mut Line) {
        self.attempts += 1;
        let number = self.attempts;
        self.node = (self.node + 1 + self.random.below(NODES - 1)) % NODES;
        let address = network::direct(self.node);
        let (stage, part) = (Arc::clone(&self.stage), Arc::clone(&self.part));
        line.takeover = Some(Box::pin(async move {
            dial(&stage, &part, address, number).await
        }));
    }

    /// The session is that of the new connection from now on.
    pub(super) fn take_over(&mut self, line: &mut Line, welcome: Welcome) {
        self.stage.takeovers.fetch_add(1, Ordering::SeqCst);
        let next_move = line.next_move;
        let old = std::mem::replace(line, self.begin(welcome));
        line.next_move = next_move;
        let ghost = Ghost {
            stage: Arc::clone(&self.stage),
            part: Arc::clone(&self.part),
            status: Arc::clone(&self.status),
            wire: old.wire,
            number: old.number,
        };
        tokio::spawn(ghost.haunt());
    }
}
