//! Which backend, and why the others lost. Candidates are ordered by the profile's strategy, filtered by `rules`, asked
//! by `validate`, and every one is kept with its reason.

pub(crate) mod place;
mod rules;

use std::collections::BTreeMap;

use sandboxer_extension::{ProvisionRequest, Validation};
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::profile::{Profile, Strategy};
use sandboxer_model::route::{Candidate, RouteDecision};

use crate::api::{Caller, CreateRequest};
use crate::engine::Engine;
use crate::error::user_error;

/// Where the caller wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Here and nowhere else.
    host: Option<&'a str>,
    /// Here, where the backend has hosts.
    default_host: Option<&'a str>,
    /// How far the caller is trusted.
    caller: Caller,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(req: &'a CreateRequest) -> Wanted<'a> {
        Wanted {
            host: req.host.as_deref(),
            default_host: req.default_host.as_deref(),
            caller: req.caller,
        }
    }
}

impl Engine {
    /// The route of a profile: every candidate with its reason, the first accepted one, and what it would enforce.
    pub(crate) async fn route(
        &self,
        profile: &Profile,
        inputs: &BTreeMap<String, String>,
        ttl: Span,
        wanted: Wanted<'_>,
    ) -> Result<(RouteDecision, Candidate, Validation), UserError> {
        let strategy = profile.route.as_ref().map(|route| route.strategy).unwrap_or_default();
        let mut candidates = Vec::new();
        let mut refusals = Vec::new();
        let mut first = None;
        let mut hosts = None;
        for extension_id in self.ordered(profile, strategy) {
            for place in self.places(&extension_id, profile, inputs, wanted, &mut hosts).await? {
                let reached_by = place.address.as_deref().or(place.host.as_deref());
                let outcome = match place.outcome {
                    Ok(()) => self.ask(&extension_id, profile, inputs, ttl, reached_by).await,
                    Err(refusal) => Err(refusal),
                };
                let mut candidate = Candidate {
                    extension_id: extension_id.clone(),
                    host: place.host,
                    address: place.address,
                    accepted: false,
                    reason: String::new(),
                    quote: None,
                };
                match outcome {
                    Ok((validation, quote)) => {
                        candidate.accepted = true;
                        candidate.reason = reason(strategy, first.is_none(), place.why);
                        candidate.quote = Some(quote);
                        if first.is_none() {
                            first = Some((candidate.clone(), validation));
                        }
                    }
                    Err(refusal) => {
                        candidate.reason = refusal.message.clone();
                        refusals.push(refusal);
                    }
                }
                candidates.push(candidate);
            }
        }
        match first {
            Some((first, validation)) => Ok((RouteDecision { strategy, candidates }, first, validation)),
            None => Err(no_route(profile, &candidates, refusals)),
        }
    }

    /// The extensions the strategy names, best first.
    fn ordered(&self, profile: &Profile, strategy: Strategy) -> Vec<String> {
        let Some(route) = &profile.route else {
            return vec![profile.extension.clone()];
        };
        if strategy == Strategy::Explicit {
            return vec![profile.extension.clone()];
        }
        let mut named = Vec::new();
        if route.extensions.is_empty() {
            named.push(profile.extension.clone());
        }
        for id in route.extensions.iter().chain(&route.fallback) {
            if !named.contains(id) {
                named.push(id.clone());
            }
        }
        // Stable: within each kind the order is the one written. An unknown extension keeps its place among the own.
        named.sort_by_key(|id| {
            let extension = self.ports.extensions.get(id);
            extension.is_some_and(|e| rules::is_metered(&e.capabilities()))
        });
        named
    }

    /// What the backend itself says of the request.
    async fn ask(
        &self,
        extension_id: &str,
        profile: &Profile,
        inputs: &BTreeMap<String, String>,
        ttl: Span,
        host: Option<&str>,
    ) -> Result<(Validation, sandboxer_model::money::Quote), UserError> {
        let Some(extension) = self.ports.extensions.get(extension_id) else {
            return Err(rules::not_built(extension_id));
        };
        let request = ProvisionRequest {
            // Nothing is made under this id.
            sandbox_id: SandboxId::from_uuid(self.ports.ids.uuid()),
            profile: profile.clone(),
            inputs: inputs.clone(),
            host: host.map(str::to_owned),
            ttl,
        };
        let validation = extension.validate(&request).await.map_err(|error| user_error(&error))?;
        let quote = extension
            .estimate_cost(profile, ttl)
            .await
            .map_err(|error| user_error(&error))?;
        rules::check_price(profile, &quote)?;
        Ok((validation, quote))
    }
}

fn reason(strategy: Strategy, first: bool, place: &str) -> String {
    let backend = match (strategy, first) {
        (Strategy::Explicit, _) => "the profile names it",
        (Strategy::PreferSelfHosted, true) => "the first that fits, own hosts before providers",
        (Strategy::PreferSelfHosted, false) => "fits; tried if those before it fail",
    };
    match place {
        "" => backend.to_owned(),
        place => format!("{backend}; {place}"),
    }
}

pub(crate) fn no_route(profile: &Profile, candidates: &[Candidate], mut refusals: Vec<UserError>) -> UserError {
    // With a single candidate its own answer is the answer.
    if refusals.len() == 1
        && let Some(only) = refusals.pop()
    {
        return only;
    }
    let reasons: Vec<String> = candidates
        .iter()
        .map(|one| format!("{}: {}", one.extension_id, one.reason))
        .collect();
    let what = format!("no backend fits {}: {}", profile.id, reasons.join("; "));
    let mut error = UserError::new(ErrorCode::NoRoute, what);
    for hint in refusals.into_iter().flat_map(|refusal| refusal.hints) {
        if !error.hints.contains(&hint) {
            error = error.hint(hint);
        }
    }
    error
}
