//! Switching single protections off, so that tests can show that each probe is able to fail.
//! Without the cargo feature `weaken` nothing can be switched off and the questions cost nothing.

/// Whether a test switched this protection off.
#[cfg(not(feature = "weaken"))]
pub(crate) const fn is_off(_protection: &str) -> bool {
    false
}

/// Whether a test switched this protection off: `SBX_WEAKEN` is a list of names separated by commas.
#[cfg(feature = "weaken")]
pub(crate) fn is_off(protection: &str) -> bool {
    std::env::var("SBX_WEAKEN").is_ok_and(|list| list.split(',').any(|name| name == protection))
}

/// What the shim inherits of the caller's environment: nothing, but for the switches of a test build.
pub(crate) fn inherited_environment() -> Vec<(String, String)> {
    if !cfg!(feature = "weaken") {
        return Vec::new();
    }
    std::env::vars()
        .filter(|(name, _)| name == "SBX_WEAKEN" || is_off("clean_environment"))
        .collect()
}

/// The same sandbox without the limits that a test switched off.
#[cfg(feature = "weaken")]
pub(crate) fn without_limits(spec: &crate::spec::LaunchSpec) -> crate::spec::LaunchSpec {
    let mut spec = spec.clone();
    let limits = &mut spec.limits;
    limits.cpu = limits.cpu.filter(|_| !is_off("limits_cpu"));
    limits.memory_mb = limits.memory_mb.filter(|_| !is_off("limits_memory"));
    limits.disk_mb = limits.disk_mb.filter(|_| !is_off("limits_disk"));
    limits.pids = limits.pids.filter(|_| !is_off("limits_pids"));
    spec
}
