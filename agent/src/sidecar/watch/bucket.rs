//! How much rubbish is looked at.

use std::time::Duration;

use tokio::time::Instant;

/// Forged publications that are looked at in a row,
const FULL: u32 = 50;
/// and how often one more may come. Looking at one costs a check of an RSA signature.
const EVERY: Duration = Duration::from_millis(200);

/// A leaky bucket for what is not genuine.
#[derive(Debug)]
pub(super) struct Bucket {
    left: u32,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: FULL,
            filled: now,
        }
    }

    /// Whether one more may be looked at.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.left < FULL && now.saturating_duration_since(self.filled) >= EVERY {
            self.left = self.left.saturating_add(1);
            self.filled += EVERY;
        }
        if self.left == FULL {
            self.filled = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_a_flood_is_not() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let taken = |bucket: &mut Bucket, now| (0..1000).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, start), 50);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(1)), 5);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 50);
    }
}
