//! The real binary against real machines: an SSH server, a container engine and a Compose tool each, in network
//! namespaces of their own. What is claimed of hosts is tried here.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start the real program and keep their own time"
)]

#[path = "../support/still.rs"]
mod still;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod breakage;
mod churn;
mod crash;
mod deadline;
mod egress;
mod flavours;
mod injection;
mod lab;
mod late;
mod machines;
mod owners;
mod pin;
mod registry;
mod stack;
mod steps;
mod validator;
