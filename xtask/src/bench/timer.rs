pub(crate) fn serve() -> crate::Outcome {
    Ok(())
}
