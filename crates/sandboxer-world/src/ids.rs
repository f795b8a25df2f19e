//! Ids and jitter from a seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandboxer_extension::port::IdSource;
use uuid::Uuid;

/// Ids that are the same in every run with the same seed, sort by the order they were given in, and never repeat.
#[derive(Debug)]
pub struct TestIds {
    seed: u64,
    given: AtomicU64,
}

impl TestIds {
    /// Ids of this seed. Sources with different seeds never give the same id.
    pub fn new(seed: u64) -> TestIds {
        TestIds {
            seed,
            given: AtomicU64::new(0),
        }
    }

    fn next(&self) -> (u64, u64) {
        let count = self.given.fetch_add(1, Ordering::Relaxed);
        (count, mix(self.seed.rotate_left(32) ^ count))
    }
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl IdSource for TestIds {
    fn uuid(&self) -> Uuid {
        let (count, random) = self.next();
        // 48 bits of time, then version, then the seed so that two sources differ, then noise.
        let time = u128::from(1_800_000_000_000 + count) << 80;
        let version = 7u128 << 76;
        let seed = u128::from(self.seed & 0xfff) << 64;
        let variant = 2u128 << 62;
        Uuid::from_u128(time | version | seed | variant | u128::from(random >> 2))
    }

    fn jitter(&self, most: Duration) -> Duration {
        let (_, random) = self.next();
        most.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn key(&self) -> std::io::Result<[u8; 32]> {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().1.to_le_bytes());
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_in_order() {
        let (one, same, other) = (TestIds::new(1), TestIds::new(1), TestIds::new(2));
        let ids: Vec<Uuid> = (0..1000).map(|_| one.uuid()).collect();
        assert!(ids.iter().all(|id| *id == same.uuid()));
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && *id != other.uuid()));
        assert!(one.jitter(Duration::from_secs(1)) <= Duration::from_secs(1));
    }
}
