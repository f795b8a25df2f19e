//! The native Linux runtime of sand-boxer: namespaces, cgroups, seccomp, Landlock, pid 1 and shim.
