//! Documents made to harm: nothing panics, nothing takes long, nothing grows.

#![expect(clippy::expect_used, reason = "a test may fail loudly in its helpers")]

use std::time::Duration;

use proptest::prelude::*;
use sandboxer_model::document::{MAX_BYTES, MAX_DEPTH, MAX_NODES, decode, parse, parse_profile};
use sandboxer_testbed::time::worked;

/// Reads `text` with a second of work and gives the first message.
fn refused(text: &str) -> String {
    let before = worked();
    let message = parse("p.yaml", text).expect_err("must be refused")[0].message.clone();
    let took = worked() - before;
    assert!(took < Duration::from_secs(1), "took {took:?}: {message}");
    message
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let uses = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
    }
    assert!(refused(&text).contains(&MAX_NODES.to_string()));
}

#[test]
fn many_uses_of_one_long_text_are_refused() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1000].join(", "));
    assert!(refused(&text).contains("bytes of text"));
}

#[test]
fn aliases_do_not_get_around_the_depth() {
    let mut text = String::from("a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n");
    for level in 1..5 {
        text.push_str(&format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1));
    }
    assert!(refused(&text).contains("inside each other"));
}

#[test]
fn depth_is_bounded_exactly() {
    let nested = |n: usize| format!("{}x{}", "[".repeat(n), "]".repeat(n));
    assert!(parse("p.yaml", &nested(MAX_DEPTH)).is_ok());
    assert!(refused(&nested(MAX_DEPTH + 1)).contains("inside each other"));
    let block: String = (0..=MAX_DEPTH).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refused(&block).contains("inside each other"));
    for opening in ["[", "{a: ", "- ", "? ", "[[], ", "{? "] {
        refused(&opening.repeat(MAX_BYTES / opening.len()));
    }
}

#[test]
fn size_and_number_are_bounded_exactly() {
    let comment = |n: usize| format!("a: b\n#{}", "x".repeat(n - 6));
    assert!(parse("p.yaml", &comment(MAX_BYTES)).is_ok());
    assert!(refused(&comment(MAX_BYTES + 1)).contains("bytes"));
    let list = |n: usize| format!("[{}]", vec!["x"; n].join(","));
    assert!(parse("p.yaml", &list(MAX_NODES - 1)).is_ok());
    assert!(refused(&list(MAX_NODES)).contains(&MAX_NODES.to_string()));
}

#[test]
fn long_documents_of_one_kind_are_quick() {
    for piece in [
        "a: b\n",
        "- x\n",
        "&a ",
        "*a ",
        "!t ",
        "\"",
        "'",
        "|\n",
        ">\n x\n",
        "# c\n",
        "\n",
        " ",
        "\t",
        "a:",
        "a: &a *a\n",
        "---\n",
        "%X\n",
        "\\",
        "{",
        "}",
        ",",
        ":",
        "?\n",
        "<<: x\n",
        "0",
        "x",
    ] {
        let before = worked();
        let problems = parse("p.yaml", &piece.repeat(MAX_BYTES / piece.len()));
        let took = worked() - before;
        assert!(took < Duration::from_secs(1), "{piece:?} took {took:?}");
        assert!(
            problems.map_or_else(|problems| problems.len(), |_| 0) <= 51,
            "{piece:?}"
        );
    }
}

#[test]
fn many_problems_are_bounded() {
    let text: String = (0..9_000).map(|n| format!("k{n}: x\n")).collect();
    let problems =
        parse_profile("p.yaml", &format!("id: profile.x\nextension: ext.x\n{text}")).expect_err("unknown keys");
    assert_eq!(problems.len(), 50);
}

#[test]
fn bytes_that_are_no_text_are_located() {
    let problem = &decode("p.yaml", b"id: x\nname: \xc3\xa4\xff\n").expect_err("not UTF-8")[0];
    assert_eq!((problem.line, problem.column), (2, 8));
    assert!(decode("p.yaml", &vec![b'a'; MAX_BYTES + 1]).is_err());
}

/// Text out of what YAML is made of: far likelier to get deep into the reader than random characters.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "id",
        "profile.x",
        "extension",
        "ext.x",
        "ttl",
        "default",
        "4h",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!t ",
        "!!str ",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "?",
        "%",
        "---",
        "...",
        "<<",
        "null",
        "~",
        "true",
        "1",
        "-1.5",
        "0x1",
        ".inf",
        "\t",
        "\r\n",
        "\u{feff}",
        "ä",
        "\u{1f600}",
        "\0",
        "\u{1b}",
        "\\",
        "@",
        "`",
        "resources",
        "inputs",
        "egress",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = decode("p.yaml", &bytes) {
            let _ = parse_profile("p.yaml", text).map_err(|problems| problems[0].to_string());
        }
    }

    #[test]
    fn nothing_panics_on_yaml_like_text(text in yaml_like()) {
        if let Err(problems) = parse_profile("p.yaml", &text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.line >= 1 && problem.column >= 1);
                prop_assert!(!problem.to_string().chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    }

    #[test]
    fn what_json_says_is_read_the_same(value in json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(parse("p.json", &text).map(|tree| tree.to_json()), Ok(value));
    }
}

/// JSON values whose keys are unique and not special to YAML.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        "[ -~äöü\n\t]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}
