//! Cases of what happens to a sandbox: deaths at the wrong moment, half-made states, races, commands.

mod commands;
mod deaths;
mod last;
mod late;
mod removal;

use super::outcome::Outcome;
use super::world::World;

pub(crate) use deaths::be_victim;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    run: fn(&World) -> Result<(), String>,
}

const fn case(name: &'static str, run: fn(&World) -> Result<(), String>) -> Case {
    Case { name, run }
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    case("keeper_dies", deaths::keeper_dies),
    case("pid1_dies", deaths::pid1_dies),
    case("keeper_and_pid1_die", deaths::keeper_and_pid1_die),
    case("keeper_hangs", deaths::keeper_hangs),
    case("pid1_hangs", deaths::pid1_hangs),
    case("caller_dies_at_any_moment", deaths::caller_dies_at_any_moment),
    case(
        "everything_of_ours_dies_at_any_moment",
        deaths::everything_dies_at_any_moment,
    ),
    case("deadline_holds_alone", deaths::deadline_holds_alone),
    case("deadline_leaves_a_note", deaths::deadline_leaves_a_note),
    case("deadline_moves", deaths::deadline_moves),
    case(
        "deadline_holds_when_pid1_is_held_up",
        deaths::deadline_holds_when_held_up,
    ),
    case(
        "deadline_holds_when_pid1_is_stopped",
        deaths::deadline_holds_when_stopped,
    ),
    case("made_again_after_its_end", deaths::made_again_after_its_end),
    case("directory_taken_away", removal::directory_taken_away),
    case("launch_twice_is_once", removal::launch_twice_is_once),
    case("older_epochs_are_fenced", removal::older_epochs_are_fenced),
    case("half_made_states_go", removal::half_made_states_go),
    case("a_number_given_to_another_process", removal::reused_number),
    case("unused_spares_leave_nothing", removal::unused_spares_leave_nothing),
    case(
        "refused_launches_leave_nothing",
        removal::refused_launches_leave_nothing,
    ),
    case("the_taken_over_make_nothing", late::the_taken_over_make_nothing),
    case("held_keeper_hangs", late::held_keeper_hangs),
    case("nobody_is_taken_in", late::nobody_is_taken_in),
    case("keeper_hangs_while_it_makes", late::hangs_while_it_makes),
    case("removals_beside_launches", late::removals_beside_launches),
    case("the_next_life_is_left_alone", late::the_next_life_is_left_alone),
    case("half_removed_is_not_absent", late::half_removed_is_not_absent),
    case("namespaces_and_groups_end", removal::namespaces_and_groups_end),
    case("twenty_at_once", removal::twenty_at_once),
    case("eight_launches_of_one", removal::eight_launches_of_one),
    case("fifty_commands_at_once", commands::fifty_at_once),
    case("exit_codes", commands::exit_codes),
    case("signals", commands::signals),
    case("caller_of_a_command_dies", commands::caller_dies),
    case("detached_command_stays", commands::detached_stays),
    case("terminal", commands::terminal),
    case("no_commands_after_the_end", commands::none_after_the_end),
    case("last_command_ends_it", last::ends_it),
    case("last_command_loses_its_caller", last::loses_its_caller),
    case("last_command_without_keeper", last::without_keeper),
    case("last_command_of_an_old_owner", last::of_an_old_owner),
    case("last_command_is_interrupted", last::is_interrupted),
];

/// Runs one case.
pub(crate) fn run(name: &str, world: &World) -> Outcome {
    match CASES
        .iter()
        .find(|case| case.name == name)
        .map(|case| (case.run)(world))
    {
        Some(Ok(())) => Outcome::Held("as it should".to_owned()),
        Some(Err(error)) => Outcome::Broken(error),
        None => Outcome::Unclear(format!("no case `{name}`")),
    }
}

/// Refuses what is not so.
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}
