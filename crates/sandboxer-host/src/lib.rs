//! Reaching a machine: running commands on it and knowing its processes.
