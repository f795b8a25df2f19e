//! The store of sand-boxer: records, journal, leases and outbox on SQLite.
