//! What people and programs have put where a name was expected.

/// Payloads that mean something to a shell, to SSH, to a terminal, to a template, or to whoever counts bytes. Whoever
/// takes one for more than data makes the file `mark`, as far as its language can make one, and nothing worse.
pub fn payloads(mark: &str) -> Vec<Vec<u8>> {
    let commands = [
        "id".to_owned(),
        format!("touch {mark}"),
        format!("touch${{IFS}}{mark}"),
        format!("echo x >{mark}"),
        format!("sh -c 'touch {mark}'"),
        format!("cp /etc/hostname {mark}"),
    ];
    let wrappers = [
        "$({})",
        "`{}`",
        "; {}",
        "| {}",
        "|| {}",
        "&& {}",
        "& {}",
        "\n{}\n",
        "\r\n{}",
        "'; {}; '",
        "\"; {}; \"",
        "'$({})'",
        "\"$({})\"",
        "'`{}`'",
        "${IFS}{}",
        "$(({}))",
        "<({})",
        ">({})",
        "<<EOF\n{}\nEOF",
        "\\'; {} #",
        "') {} ('",
        "}; {} {",
        "$'\\n{}'",
        "!{}",
        "{} #",
        "-- {}",
        "%0a{}",
        "\\$({})",
        "\\\\$({})",
        "'\\''; {}; '\\''",
        "\u{2028}{}",
        "\t{}\t",
        "{}\u{8}",
        "$@{}",
        "~/{}",
    ];
    let mut all: Vec<Vec<u8>> = Vec::new();
    for wrapper in wrappers {
        for command in &commands {
            all.push(wrapper.replacen("{}", command, 2).into_bytes());
        }
    }
    all.extend(options());
    all.extend(languages(mark));
    all.extend(words());
    all.push(vec![0xff, 0xfe, 0xfd]);
    all.push(vec![b'a', 0x80, b'b']);
    all.push(vec![b'\''; 1000]);
    all.push(vec![b'A'; 64 * 1024]);
    all.push("é'".repeat(10_000).into_bytes());
    all.push(format!("$(touch {mark})").repeat(100).into_bytes());
    all
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What another program would read as an option, or as an address.
fn options() -> Vec<Vec<u8>> {
    bytes(&[
        "-oProxyCommand=id",
        "-oProxyCommand=$(id)",
        "-o ProxyCommand=id",
        "--project-directory=/",
        "--privileged",
        "--env-file=/etc/passwd",
        "-f/etc/passwd",
        "--context=x",
        "--host=tcp://192.0.2.1:1",
        "--",
        "-",
        "--help",
        "-F/dev/null",
        "-i/etc/passwd",
        "-w0",
        "-e",
        "-c",
        "--rsh=id",
        "-oPermitLocalCommand=yes",
        "-oLocalCommand=id",
        "-tt",
        "-L1:a:1",
        "-Snone",
        "@",
        "a@-b",
        "-v/:/host",
    ])
}

/// What templates, interpolation and documents would read as theirs.
fn languages(mark: &str) -> Vec<Vec<u8>> {
    let mut all = bytes(&[
        "{{json .}}",
        "{{range .}}{{end}}",
        "{{ index . 99 }}",
        "${SBX_NONE:?gone}",
        "${SBX_NONE:-other}",
        "$${HOME}",
        "${",
        "${}",
        "$(",
        "a: b",
        "- a",
        "&a [*a, *a]",
        "*a",
        "!!python/object/apply:os.system [id]",
        "{\"a\": 1}",
        "\"}, \"privileged\": true, \"x\": {\"",
        "[1, 2",
        "|\n  a",
        "---\nservices: {}",
        "<<: *a",
        "\" }; flush ruleset; #",
        "; add rule inet filter input accept",
        "}\ntable inet evil { chain c { type filter hook input priority 0; policy accept; } }",
        "a=b,c",
        "a=b,com.docker.compose.project=other",
        "label=x",
        "dev.sandboxer.sandbox=sbx-00000000000000000000000000",
        "thing|container|a|b|c|d|1",
        "ready",
        "failed invalid it is over",
        "'; DROP TABLE sandboxes; --",
        "%41%00",
        "..%2f..%2f",
        "file:///etc/passwd",
        "http://192.0.2.1/",
        "\u{ff1b}\u{ff24}",
        "e\u{301}\u{301}\u{301}",
        "\u{2066}a\u{2069}",
        "\u{200b}",
        "\u{200f}",
        "\u{85}",
        "\u{9b}31m",
        "\u{1b}]52;c;aWQ=\u{7}",
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}P\u{1b}\\",
        "a\u{8}\u{8}b",
        "ok\nerror: another\nhint: do as I say",
    ]);
    all.push(format!("command: [touch, {mark}]").into_bytes());
    all.push(format!("include \"{mark}\"").into_bytes());
    all
}

/// Words that are odd by themselves.
fn words() -> Vec<Vec<u8>> {
    bytes(&[
        "",
        " ",
        "  a  b  ",
        "*",
        "?",
        "[a-z]*",
        "{a,b}",
        "~",
        "~root",
        "$HOME",
        "${HOME}",
        "$0",
        "$$",
        "$?",
        "$#",
        "\\",
        "\\\\",
        "'",
        "''",
        "'''",
        "\"",
        "\"\"",
        "'\"'",
        "a'b\"c`d",
        "%s%n%x",
        "\u{0}",
        "a\u{0}b",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}",
        "\u{202e}txt.exe",
        "\u{feff}",
        "é",
        "日本語",
        "🦀",
        "ﬁ",
        "\u{7f}",
        "\n",
        "\n\n",
        "\r",
        "a\nb",
        "a\r\nb",
        "../../etc/passwd",
        "/dev/null",
        "a;b",
        "a|b",
        "a&b",
        "a>b",
        "a<b",
        "a(b)",
        "a b",
        "a\tb",
        "=",
        "a=b",
        "A=b c",
        "#",
        "a #b",
        "!",
        "!!",
        "^a^b",
        ":",
        "::1",
        "[::1]",
        "a:b:c",
        "0",
        "-1",
        "1e999",
        "NaN",
        "null",
        "true",
        "{{.Id}}",
        "{{7*7}}",
        "${jndi:ldap://x}",
    ])
}
