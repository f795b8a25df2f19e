//! A world of backends for tests: an in-memory extension with fault knobs, a clock and ids under the test's control.
