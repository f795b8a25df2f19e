//! Counting tests from what their runners print.

use std::collections::BTreeSet;

/// How many tests ended how.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Did what they say.
    pub(crate) passed: u64,
    /// Did not, or took too long, or could not start.
    pub(crate) failed: u64,
    /// Did not run.
    pub(crate) skipped: u64,
    /// Checks that printed that they skipped themselves, `name: reason`.
    pub(crate) said_skipped: BTreeSet<String>,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.said_skipped.extend(other.said_skipped);
    }
}

impl Tally {
    /// Takes note of one line of output, of the standard harness or of nextest.
    pub(crate) fn read_line(&mut self, line: &str) {
        let indented = line.starts_with(' ');
        let line = line.trim();
        if let Some(skip) = line.strip_prefix("SKIPPED: ") {
            self.said_skipped.insert(skip.to_owned());
        } else if !indented
            && let Some(counts) = line
                .strip_prefix("test result: ")
                .and_then(|rest| rest.split_once(". "))
        {
            // Indented it is what nextest shows of a failed test, which its summary counts.
            self.add(counts.1.split(';'));
        } else if line.starts_with("Summary [")
            && let Some((_, counts)) = line.split_once(" run: ")
        {
            // `12 passed (1 slow), 1 failed`: what is in brackets is part of the number before it.
            let mut plain = String::new();
            let mut depth = 0_u32;
            for character in counts.chars() {
                match character {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    other if depth == 0 => plain.push(other),
                    _ => {}
                }
            }
            self.add(plain.split(','));
        }
    }

    fn add<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            let Some((number, what)) = count.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => self.passed += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read_line(line));
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn both_runners_are_understood() {
        let standard =
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 4 filtered out; finished in 0.0s";
        assert_eq!(tally(&[standard]), (3, 1, 2));
        assert_eq!(
            tally(&["     Summary [   0.010s] 1 test run: 1 passed, 0 skipped"]),
            (1, 0, 0)
        );
        let mixed = "     Summary [  10.1s] 9 tests run: 6 passed (2 slow, 1 flaky), 2 failed, 1 timed out, 5 skipped";
        assert_eq!(tally(&[mixed]), (6, 3, 5));
        assert_eq!(tally(&[&format!("    {standard}")]), (0, 0, 0));
        assert_eq!(tally(&["running 3 tests", "test a ... ok"]), (0, 0, 0));
    }

    #[test]
    fn a_check_can_say_that_it_skipped_itself() {
        let mut tally = Tally::default();
        tally.read_line("SKIPPED: disk quota: no xfs here");
        assert_eq!(
            tally.said_skipped.into_iter().collect::<Vec<_>>(),
            ["disk quota: no xfs here"]
        );
    }
}
