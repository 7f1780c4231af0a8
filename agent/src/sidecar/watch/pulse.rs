//! Heartbeats of one connection, counted: which PINGs are without an answer, and for how long.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// PINGs that are remembered. With a longer memory an answer that is later than this would count.
const REMEMBERED: usize = 64;

/// The PINGs of one connection. An answer counts however late it is: a long way is no silence.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last: u64,
    /// Without an answer, oldest first.
    waiting: VecDeque<(u64, Instant)>,
    /// Something came since the last beat.
    heard: bool,
    /// Bytes that had arrived at the last beat.
    received: u64,
    /// Intervals in a row in which nothing came.
    missed: u32,
}

impl Pulse {
    /// Ends an interval, of which `received` bytes in all are the outcome: how many in a row have now passed without
    /// a sign of life though one was due.
    ///
    /// Bytes of whatever kind are one: a PONG can be behind a long publication.
    pub(super) fn end_interval(&mut self, received: u64) -> u32 {
        let alive = std::mem::take(&mut self.heard) || received != self.received || self.waiting.is_empty();
        self.received = received;
        self.missed = if alive { 0 } else { self.missed.saturating_add(1) };
        self.missed
    }

    /// The context of the next PING, which is sent now.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 8] {
        self.last = self.last.wrapping_add(1);
        if self.waiting.len() >= REMEMBERED {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.last, now));
        self.last.to_be_bytes()
    }

    /// How long an answer took; none if nobody waits for it.
    pub(super) fn pong(&mut self, context: &[u8], now: Instant) -> Option<Duration> {
        let at = self
            .waiting
            .iter()
            .position(|(sequence, _)| sequence.to_be_bytes() == context)?;
        let (_, sent) = *self.waiting.get(at)?;
        // TCP keeps the order: what was sent before and has no answer will have none.
        self.waiting.drain(..=at);
        self.heard = true;
        Some(now.saturating_duration_since(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(250);

    #[test]
    fn silence_is_counted_from_the_second_beat_on_and_one_answer_ends_it() {
        let (mut pulse, mut now) = (Pulse::default(), Instant::now());
        assert_eq!(pulse.end_interval(0), 0);
        let first = pulse.ping(now);
        for missed in 1..=3 {
            now += BEAT;
            assert_eq!(pulse.end_interval(0), missed);
            pulse.ping(now);
        }
        assert_eq!(pulse.pong(&first, now), Some(BEAT * 3));
        assert_eq!(pulse.end_interval(0), 0);
    }

    #[test]
    fn answers_later_than_an_interval_are_signs_of_life() {
        let (mut pulse, mut now) = (Pulse::default(), Instant::now());
        let mut sent = VecDeque::from([pulse.ping(now), pulse.ping(now)]);
        for _ in 0..20 {
            now += BEAT;
            assert!(pulse.pong(&sent.pop_front().unwrap(), now).is_some());
            assert_eq!(pulse.end_interval(0), 0);
            sent.push_back(pulse.ping(now));
        }
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_none() {
        let (mut pulse, now) = (Pulse::default(), Instant::now());
        let context = pulse.ping(now);
        assert_eq!(pulse.pong(&2_u64.to_be_bytes(), now), None);
        assert_eq!(pulse.pong(b"", now), None);
        assert!(pulse.pong(&context, now).is_some());
        assert_eq!(pulse.pong(&context, now), None);
    }

    #[test]
    fn a_message_that_is_arriving_is_a_sign_of_life() {
        let (mut pulse, now) = (Pulse::default(), Instant::now());
        pulse.end_interval(100);
        pulse.ping(now);
        assert_eq!(pulse.end_interval(200), 0);
        assert_eq!(pulse.end_interval(200), 1);
    }

    #[test]
    fn memory_does_not_grow_with_silence() {
        let (mut pulse, now) = (Pulse::default(), Instant::now());
        for _ in 0..10 * REMEMBERED {
            pulse.ping(now);
        }
        assert_eq!(pulse.waiting.len(), REMEMBERED);
    }
}
