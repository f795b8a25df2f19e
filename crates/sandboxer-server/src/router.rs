//! The table of routes as axum serves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::middleware::map_response;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::dispatch::{self, dispatch};
use crate::routes;
use crate::state::State;

/// Every route, and answers for everything else.
pub(crate) fn router(state: &Arc<State>) -> Router {
    let table: Vec<_> = routes::all().into_iter().map(Arc::new).collect();
    let allowed = dispatch::allowed(&table);
    let mut paths: BTreeMap<&'static str, MethodRouter> = BTreeMap::new();
    for route in table {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else {
            continue;
        };
        let (path, state) = (route.path, Arc::clone(state));
        let handler = move |request: Request| {
            let (state, route) = (Arc::clone(&state), Arc::clone(&route));
            async move {
                let (mut parts, body) = request.into_parts();
                let params = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
                dispatch(state, route, params, Request::from_parts(parts, body)).await
            }
        };
        let methods = paths.remove(path).unwrap_or_default().merge(on(filter, handler));
        paths.insert(path, methods);
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        let (state, methods_of_path) = (Arc::clone(state), allowed.get(path).cloned().unwrap_or_default());
        let refuse = move |request: Request| {
            let (state, allow) = (Arc::clone(&state), methods_of_path.clone());
            async move { dispatch::no_route(&state, request.headers(), Some(&allow)) }
        };
        router = router.route(path, methods.fallback(refuse));
    }
    let state = Arc::clone(state);
    let lost = move |request: Request| {
        let state = Arc::clone(&state);
        async move { dispatch::no_route(&state, request.headers(), None) }
    };
    router
        .fallback(lost)
        .layer(map_response(async |response| dispatch::harden(response)))
}
