//! `profiles`: list, show and check recipes.

use sandboxer_model::error::UserError;

use crate::args::ProfilesVerb;
use crate::context::Context;
use crate::output::json;

/// Lists, shows or checks profiles.
///
/// # Errors
/// Those of the catalog; `InvalidProfile` when a checked file has a problem.
pub(crate) fn profiles(context: &Context, verb: ProfilesVerb) -> Result<u8, UserError> {
    match verb {
        ProfilesVerb::List | ProfilesVerb::Check { .. } => Err(UserError::new(
            sandboxer_model::error::ErrorCode::Internal,
            "no catalog yet",
        )),
        ProfilesVerb::Show { profile } => {
            let resolved = context.catalog().resolve(&profile, &context.working_dir)?;
            json::print(&resolved.profile)?;
            Ok(0)
        }
    }
}
