//! The suite against the fake, and proof that the suite can fail: each broken fake is caught by the trial that is about it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use sandboxer_conformance::{Report, Subject, run_all};
use sandboxer_extension::capability::PricingModel;
use sandboxer_extension::{Capabilities, Manifest};
use sandboxer_model::profile::{IsolationLevel, Profile};
use sandboxer_world::{FakeExtension, Mutant, TestClock, TestIds, World, capable};

fn subject(manifest: Manifest, mutant: Option<Mutant>) -> Subject {
    let clock = Arc::new(TestClock::new());
    let world = World::new(clock.clone());
    let mut fake = FakeExtension::new(world, manifest);
    if let Some(mutant) = mutant {
        fake = fake.with(mutant);
    }
    let mut profile = Profile::new("profile.fake", "ext.fake");
    if !sandboxer_extension::Extension::manifest(&fake)
        .capabilities
        .network_deny
    {
        profile.network.default = sandboxer_model::profile::NetworkDefault::Allow;
    }
    Subject {
        patience: Duration::from_secs(20),
        ..Subject::new(Arc::new(fake), profile, clock, Arc::new(TestIds::new(1)))
    }
}

fn run(subject: &Subject, filter: Option<&str>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(run_all(subject, filter))
}

fn expect_green(manifest: Manifest) -> Report {
    let report = run(&subject(manifest, None), None);
    println!("{report}");
    report.into_result().unwrap()
}

#[test]
fn the_capable_fake_conforms() {
    let report = expect_green(capable("ext.fake"));
    assert!(report.skipped.is_empty(), "{report}");
}

#[test]
fn a_fake_that_can_do_next_to_nothing_conforms() {
    let mut manifest = capable("ext.fake");
    manifest.capabilities = Capabilities {
        network_allow: true,
        ..Capabilities::new(
            vec![IsolationLevel::Policy, IsolationLevel::Container],
            PricingModel::SaasMetered,
        )
    };
    let report = expect_green(manifest);
    assert!(report.skipped.is_empty(), "{report}");
}

#[test]
fn a_fake_that_claims_everything_conforms_or_is_skipped() {
    let mut manifest = capable("ext.fake");
    manifest.capabilities = Capabilities {
        network_egress: true,
        network_allow: true,
        persistence: true,
        dies_with_machine: false,
        needs_host: true,
        gpu: true,
        secrets: true,
        snapshot: true,
        workspace_mirror: true,
        ..manifest.capabilities
    };
    let report = expect_green(manifest);
    let skipped: Vec<&str> = report.skipped.iter().map(|(name, _)| *name).collect();
    let expected = [
        "persistence_has_no_call_yet",
        "snapshot_has_no_call_yet",
        "mirror_has_no_call_yet",
        "gpu_has_no_call_yet",
        "secrets_have_no_call_yet",
    ];
    assert_eq!(skipped, expected);
}

/// The trial that must catch each mutant.
fn catcher(mutant: Mutant) -> &'static str {
    match mutant {
        Mutant::ValidateProvisions => "validate_touches_nothing",
        Mutant::ForgetsIdempotency => "provision_twice_is_once",
        Mutant::IgnoresEpochs => "older_teardown_is_fenced",
        Mutant::ForgetsEpochsAtTeardown => "provision_after_newer_teardown_is_fenced",
        Mutant::ForgetsEpochsOfNothing => "provision_after_newer_teardown_of_nothing_is_fenced",
        Mutant::ChecksEpochTooEarly => "teardown_beats_a_running_provision",
        Mutant::TeardownLies | Mutant::TeardownLeavesDirectory => "whole_life",
        Mutant::TeardownNeedsSandbox => "teardown_of_the_unknown_is_success",
        Mutant::TeardownNeedsHandle => "teardown_needs_no_handle",
        Mutant::MislabelsOwner | Mutant::ForgetsEpochLabel | Mutant::InventoryForgets => {
            "inventory_labels_what_is_ours"
        }
        Mutant::RefusesNothing | Mutant::ProvisionDoesNotValidate => "egress_list_is_refused",
        Mutant::ForgetsLimits => "every_limit_is_reported",
        Mutant::LimitsAreWords => "memory_limit_is_felt",
        Mutant::StrictIsWatched => "strict_memory_is_strict",
        Mutant::NegativeQuote => "quote_is_sane",
        Mutant::ExitCodeLost => "exit_codes_come_back",
        Mutant::TruncatesInput | Mutant::MangledBytes => "bytes_pass_unchanged",
        Mutant::SwallowsStderr | Mutant::MergesStderr => "error_stream_is_its_own",
        Mutant::DropsVariables => "variables_arrive",
        Mutant::LeaksEnvironment => "callers_environment_stays_out",
        Mutant::StartsInRoot => "commands_start_in_the_workspace",
        Mutant::IgnoresDirectory => "directory_can_be_chosen",
        Mutant::UnknownProgramSucceeds => "unknown_program_says_so",
        Mutant::IgnoresSignals => "signals_arrive",
        Mutant::OneCommandOnly => "eight_at_once",
        Mutant::ExecInNothing => "exec_in_the_absent_is_not_found",
        Mutant::WrongWindowSize => "terminal_is_one",
        Mutant::DetachedEnds => "detached_command_goes_on",
        Mutant::SharedWorkspace => "workspaces_are_apart",
        Mutant::WritesRepo => "repo_is_there_and_stays_untouched",
        Mutant::IgnoresReadOnly => "read_only_workspace_is_read_only",
        Mutant::NetworkLeaks => "deny_keeps_host_services_out_of_reach",
        Mutant::GuardSleeps => "gone_after_the_deadline",
        Mutant::GuardIsEarly => "alive_until_the_deadline",
        Mutant::GuardNeedsReady => "gone_after_the_deadline_before_ready",
        Mutant::ForgetsLaterDeadline => "later_deadline_keeps_it",
        Mutant::RestartsTtl => "wait_ready_twice_agrees",
    }
}

#[test]
fn every_mutant_is_caught_by_its_trial() {
    let mut escaped = Vec::new();
    for mutant in Mutant::ALL {
        let trial = catcher(*mutant);
        let mut subject = subject(capable("ext.fake"), Some(*mutant));
        // A command that never ends is caught by patience; that one is worth a second.
        subject.patience = Duration::from_secs(1);
        let report = run(&subject, Some(trial));
        match report.failed.iter().find(|(name, _)| *name == trial) {
            Some((_, why)) => println!("{mutant:?} is caught by {trial}: {why}"),
            None => escaped.push(format!("{mutant:?} escaped {trial}: {report}")),
        }
    }
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}
