//! The operations of the API, one file for each resource. A route that is not in a list here does not exist.

mod admin;
mod catalog;
mod create;
mod events;
mod exec;
mod files;
mod hosts;
mod keys;
mod logs;
mod operations;
mod sandboxes;
mod server;
mod sinks;
mod uploads;

use crate::route::Route;

/// Every route, in documentation order.
pub fn all() -> Vec<Route> {
    [
        create::routes(),
        sandboxes::routes(),
        exec::routes(),
        files::routes(),
        logs::routes(),
        uploads::routes(),
        operations::routes(),
        events::routes(),
        catalog::routes(),
        hosts::routes(),
        sinks::routes(),
        keys::routes(),
        admin::routes(),
        server::routes(),
    ]
    .concat()
}
