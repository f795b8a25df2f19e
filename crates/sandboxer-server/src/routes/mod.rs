//! The operations of the API, one file for each resource. A route that is not in a list here does not exist.

mod admin;
mod catalog;
mod hosts;
mod keys;
mod operations;
mod sandboxes;
mod server;
mod sinks;

use crate::route::Route;

/// Every route, in documentation order.
pub fn all() -> Vec<Route> {
    [
        sandboxes::routes(),
        operations::routes(),
        catalog::routes(),
        hosts::routes(),
        sinks::routes(),
        keys::routes(),
        admin::routes(),
        server::routes(),
    ]
    .concat()
}
