//! The one quoting function, against the shells that read what it writes.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start real shells")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use sandboxer_host::quote;
use sandboxer_testbed::payloads::payloads;

const CASES: usize = 100_000;
const BATCH: usize = 1000;

/// What a shell makes of these words, each ended by a NUL byte.
fn read_by(shell: &[&str], words: &[Vec<u8>]) -> Vec<u8> {
    let mut script = b"printf '%s\\0'".to_vec();
    for word in words {
        script.push(b' ');
        script.extend(quote::shell(word).expect("no NUL"));
    }
    script.push(b'\n');
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("its input");
    let writer = std::thread::spawn(move || stdin.write_all(&script));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("a thread").expect("it reads");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn expected(words: &[Vec<u8>]) -> Vec<u8> {
    words.iter().flat_map(|word| word.iter().copied().chain([0])).collect()
}

fn shells() -> Vec<Vec<&'static str>> {
    [vec!["/bin/sh"], vec!["/bin/bash"], vec!["/bin/busybox", "sh"]]
        .into_iter()
        .filter(|shell| std::path::Path::new(shell[0]).exists())
        .collect()
}

#[test]
fn every_payload_comes_back_as_one_word() {
    let all = payloads("/tmp/injected");
    assert!(all.len() >= 300, "{}", all.len());
    let (with_nul, words): (Vec<_>, Vec<_>) = all.into_iter().partition(|word| word.contains(&0));
    assert!(with_nul.iter().all(|word| quote::shell(word).is_err()) && !with_nul.is_empty());
    for shell in shells() {
        assert_eq!(read_by(&shell, &words), expected(&words), "{shell:?}");
    }
}

#[test]
fn a_hundred_thousand_words_come_back_as_they_were() {
    // Of what shells have an opinion on, mostly.
    let alphabet: &[u8] = b"'\"\\$`!*?[]{}()<>|&;~#%^=:,.- \t\n\rab\x01\x7f\x80\xc3\xa9\xff";
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let shells = shells();
    for batch in 0..CASES / BATCH {
        let words: Vec<Vec<u8>> = (0..BATCH)
            .map(|_| {
                let length = next() % 24;
                (0..length)
                    .map(|_| {
                        let at = usize::try_from(next()).unwrap_or(0) % alphabet.len();
                        alphabet[at]
                    })
                    .collect()
            })
            .collect();
        let shell = &shells[batch % shells.len()];
        assert_eq!(read_by(shell, &words), expected(&words), "{shell:?}, batch {batch}");
    }
}
