//! Choosing and running trials.

use sandboxer_extension::Capabilities;

use crate::bench::Bench;
use crate::report::Report;
use crate::subject::Subject;
use crate::trial::{Outcome, Stop, Trial};
use crate::trials::ALL;

/// The trials that apply to these capabilities.
pub fn trials(capabilities: &Capabilities) -> Vec<Trial> {
    let flags = serde_json::to_value(capabilities).unwrap_or_default();
    let has = |name: &str| flags.get(name).and_then(serde_json::Value::as_bool).unwrap_or(false);
    let applies = |need: &&str| match need.strip_prefix('!') {
        Some(absent) => !has(absent),
        None => has(need),
    };
    ALL.iter()
        .flat_map(|topic| topic.iter())
        .filter(|trial| trial.needs.iter().all(applies))
        .copied()
        .collect()
}

/// Runs every trial that applies and whose name contains `filter`, one after the other.
pub async fn run_all(subject: &Subject, filter: Option<&str>) -> Report {
    let mut report = Report::default();
    for trial in trials(&subject.extension.capabilities()) {
        if filter.is_none_or(|filter| trial.name.contains(filter)) {
            report.add(trial.name, run_one(subject, &trial).await);
        }
    }
    report
}

/// Runs one trial, removes what it made, and checks that this worked.
///
/// # Errors
/// Why it failed or was skipped.
pub async fn run_one(subject: &Subject, trial: &Trial) -> Outcome {
    let bench = Bench::new(subject);
    let outcome = tokio::time::timeout(subject.patience, (trial.run)(&bench)).await;
    let cleaned = tokio::time::timeout(subject.patience, bench.clean_up()).await;
    let hung = |what: &str| Err(Stop::Failed(format!("{what} hung for {:?}", subject.patience)));
    let outcome = outcome.unwrap_or_else(|_| hung("it"));
    let cleaned = cleaned.unwrap_or_else(|_| hung("its clean-up"));
    match (outcome, cleaned) {
        (Err(Stop::Failed(why)), Err(Stop::Failed(leak))) => Err(Stop::Failed(format!("{why}; and then: {leak}"))),
        (Err(Stop::Failed(why)), _) | (_, Err(Stop::Failed(why))) => Err(Stop::Failed(why)),
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandboxer_extension::capability::PricingModel;

    /// Capabilities that are facts for routing and show in no behaviour of a single backend.
    const WITHOUT_BEHAVIOUR: [&str; 4] = ["isolation_levels", "pricing_model", "regions", "needs_host"];

    #[test]
    fn every_capability_has_a_trial() {
        let flags = serde_json::to_value(Capabilities::new(vec![], PricingModel::SelfHosted)).unwrap();
        for name in flags
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| !WITHOUT_BEHAVIOUR.contains(&name.as_str()))
        {
            let named = |trial: &Trial| trial.needs.iter().any(|need| need.trim_start_matches('!') == name);
            assert!(
                ALL.iter().flat_map(|topic| topic.iter()).any(named),
                "no trial for `{name}`"
            );
        }
    }

    #[test]
    fn names_are_unique_and_needs_are_capabilities() {
        let flags = serde_json::to_value(Capabilities::new(vec![], PricingModel::SelfHosted)).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for trial in ALL.iter().flat_map(|topic| topic.iter()) {
            assert!(names.insert(trial.name), "{} twice", trial.name);
            for need in trial.needs {
                assert!(
                    flags[need.trim_start_matches('!')].is_boolean(),
                    "{}: {need}",
                    trial.name
                );
            }
        }
    }
}
