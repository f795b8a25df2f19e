//! Stands in for the native extension until that crate has this name.

/// Handles the hidden processes of the native runtime.
pub(crate) fn internal_entry() -> Option<i32> {
    None
}
