//! The profiles inside the binary. Their ids are a contract with sibling tools.

macro_rules! table {
    ($($id:literal),* $(,)?) => {
        &[$(($id, include_str!(concat!("../../../../profiles/", $id, ".yaml")))),*]
    };
}

/// Id and text of each, in order of id. A test holds this against the directory.
pub(super) const SHIPPED: &[(&str, &str)] = table![
    "profile.agent-dev",
    "profile.build",
    "profile.burst-sandbox",
    "profile.compose-checkpoint",
    "profile.compose-e2e",
    "profile.e2b-burst",
    "profile.modal-gpu",
    "profile.native",
    "profile.native-strict",
    "profile.saas-stub",
    "profile.sandbox-canary",
    "profile.vm-haskell-build",
    "profile.vm-packer-build",
];

/// The text of the shipped profile of this id.
pub(super) fn text(id: &str) -> Option<&'static str> {
    SHIPPED
        .iter()
        .find(|(shipped, _)| *shipped == id)
        .map(|(_, text)| *text)
}
