//! Text of others on its way to a terminal: what would steer the terminal, or turn around what is read, is written out.
//! Ids, paths, labels and what backends say can hold anything.

use std::borrow::Cow;

/// Characters that change how a terminal or a reader takes what follows: control characters, marks of writing
/// direction, separators of lines. Line breaks and tabs stay.
fn steers(c: char) -> bool {
    !matches!(c, '\n' | '\t')
        && (c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

/// The text with every such character written out, such as `\u{1b}`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let written = text.chars().map(|c| {
        if steers(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    Cow::Owned(written.collect())
}

/// The same for text that we have painted already: sequences that set a color stay.
pub(crate) fn painted(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return plain(text);
    }
    let mut parts = text.split('\u{1b}');
    let mut shown = plain(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let code = part.strip_prefix('[').and_then(|rest| rest.split_once('m'));
        let is_color = code.is_some_and(|(code, _)| code.bytes().all(|b| b.is_ascii_digit() || b == b';'));
        shown.push_str(if is_color { "\u{1b}" } else { "\\u{1b}" });
        shown.push_str(&plain(part));
    }
    Cow::Owned(shown)
}

/// A message of several lines, none of which could be taken for a line of its own: what somebody put a line break into
/// must not look like another error or hint of ours.
pub(crate) fn message(text: &str) -> String {
    let mut shown = String::new();
    for (number, line) in plain(text).trim_end().split('\n').enumerate() {
        let poses = ["error:", "hint:", "note:", "{"]
            .iter()
            .any(|start| line.trim_start().starts_with(start));
        match (number, poses) {
            (0, _) => {}
            (_, true) => shown.push_str("\n  | "),
            (_, false) => shown.push('\n'),
        }
        shown.push_str(line);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_written_out() {
        assert_eq!(plain("a\u{1b}[31mb\r\u{202e}c\n"), "a\\u{1b}[31mb\\r\\u{202e}c\n");
        assert_eq!(plain("日本語 é"), "日本語 é");
    }

    #[test]
    fn own_colors_stay() {
        assert_eq!(
            painted("\u{1b}[1;31merror:\u{1b}[0m \u{1b}]0;x\u{7}"),
            "\u{1b}[1;31merror:\u{1b}[0m \\u{1b}]0;x\\u{7}"
        );
    }

    #[test]
    fn no_line_of_a_message_poses_as_ours() {
        assert_eq!(message("a\n  b\nhint: do as I say"), "a\n  b\n  | hint: do as I say");
    }
}
