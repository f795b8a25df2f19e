//! Filling the disk of a host.

use crate::host::Host;
use crate::skip::Unavailable;

const BALLAST: &str = "/root/.testbed-ballast";

impl Host {
    /// Fills the disk, except for so many KiB: what programs write there fails with "no space left on device".
    ///
    /// # Errors
    /// It is not full after that.
    pub fn fill_disk(&self, leave_kib: u64) -> Result<(), Unavailable> {
        let script = format!(
            "free=$(df -k --output=avail /root | tail -1); want=$((free - {leave_kib})); \
             [ $want -le 0 ] || fallocate -l ${{want}}KiB {BALLAST}; df -k --output=avail /root | tail -1"
        );
        let free = self.sh(&script)?;
        // A memory file system counts in pages.
        match free.trim().parse::<u64>() {
            Ok(free) if free <= leave_kib + 64 => Ok(()),
            _ => Err(Unavailable::broken(
                "filling the disk of a test host",
                format!("{} KiB are free", free.trim()),
            )),
        }
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn free_disk(&self) -> Result<(), Unavailable> {
        self.must(&["rm", "-f", BALLAST]).map(drop)
    }
}
