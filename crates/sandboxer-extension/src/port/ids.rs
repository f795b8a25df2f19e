//! Randomness and ids.

use std::time::Duration;

use uuid::Uuid;

/// Where ids and jitter come from.
pub trait IdSource: Send + Sync {
    /// A version-7 UUID: time-sortable, never given twice.
    fn uuid(&self) -> Uuid;

    /// A duration between zero and `most`, for jitter.
    fn jitter(&self, most: Duration) -> Duration;

    /// Bytes that nobody can guess, to sign with.
    ///
    /// # Errors
    /// The machine has no randomness to give.
    fn key(&self) -> std::io::Result<[u8; 32]>;
}

/// The machine's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn jitter(&self, most: Duration) -> Duration {
        let random = Uuid::now_v7().as_u128() as u32;
        most.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    fn key(&self) -> std::io::Result<[u8; 32]> {
        let mut key = [0; 32];
        // Whole, or not at all: so few bytes are never given in parts.
        match rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())? {
            32 => Ok(key),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
