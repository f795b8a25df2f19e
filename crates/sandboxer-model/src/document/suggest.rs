//! The nearest valid word to one that is not.

/// The candidate that `word` was most likely meant to be, if any is near enough to be worth saying.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic in length; nobody mistypes a longer word than this.
    if word.is_empty() || word.len() > 128 {
        return None;
    }
    let wanted = word.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let alike = strsim::normalized_damerau_levenshtein(&wanted, &lower);
        // `profile.native` for `native`: whole words left out weigh less than wrong letters.
        let contained = wanted.len() >= 3 && (lower.ends_with(&wanted) || lower.starts_with(&wanted));
        let score = if contained { alike.max(0.75) } else { alike };
        if score >= 0.6 && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn says_what_was_meant_or_nothing() {
        let keys = [
            "isolation",
            "inputs",
            "network",
            "memory_mb",
            "profile.native",
            "profile.native-strict",
        ];
        for (word, meant) in [
            ("isolaton", Some("isolation")),
            ("Network", Some("network")),
            ("memory", Some("memory_mb")),
            ("native", Some("profile.native")),
            ("profile.natve", Some("profile.native")),
            ("volumes", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }
}
