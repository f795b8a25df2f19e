//! The binary `sandboxer`.

fn main() {}
