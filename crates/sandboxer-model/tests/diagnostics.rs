//! Every wrong document has a message that says where, what and what next. The snapshot is the specification.

use std::fmt::Write;

use sandboxer_model::document::parse_profile;

/// What is needed to be a profile at all.
const HEAD: &str = "id: profile.x\nextension: ext.native\n";

/// Name and text of each; a text that begins with `+` follows a good head.
const WRONG: &[(&str, &str)] = &[
    ("empty", ""),
    ("only comments", "# nothing here\n"),
    ("not YAML", "id: [profile.x\nextension: ext.native\n"),
    ("tab indentation", "+ttl:\n\tdefault: 4h\n"),
    ("a list instead of a mapping", "- id: profile.x\n"),
    ("text instead of a mapping", "profile.native\n"),
    ("two documents", "+---\nid: profile.y\n"),
    ("a tag", "+description: !secret x\n"),
    ("a core tag", "+description: !!str 4\n"),
    ("a directive", "%YAML 1.1\n---\nid: profile.x\n"),
    ("a merge key", "+ttl: &t {default: 1h}\nresources:\n  <<: *t\n"),
    ("an unknown alias", "+description: *nowhere\n"),
    ("an alias of itself", "+config:\n  a: &a [*a]\n"),
    ("duplicate keys", "+ttl:\n  default: 1h\n  default: 2h\nid: profile.z\n"),
    ("a list as key", "+config:\n  ? [a, b]\n  : 1\n"),
    ("unknown key, near", "+isolaton:\n  level: container\n"),
    ("unknown key, elsewhere", "+memory_mb: 512\n"),
    ("unknown key, far", "+volumes: []\n"),
    (
        "unknown key inside",
        "+route:\n  constraints:\n    max_cost_per_hour_usd: \"1.0\"\n",
    ),
    (
        "unknown key of an input",
        "+inputs:\n  repo:\n    type: directory\n    optional: true\n",
    ),
    ("missing id", "extension: ext.native\n"),
    ("missing everything", "description: nothing else\n"),
    ("missing type of an input", "+inputs:\n  repo:\n    required: true\n"),
    ("wrong word", "+network:\n  default: denied\n"),
    ("wrong word, far", "+isolation:\n  level: chroot\n"),
    ("number instead of a word", "+scope_default: 1\n"),
    ("number instead of text", "+version: 1.0\n"),
    ("text instead of a number", "+resources:\n  memory_mb: 512M\n"),
    ("fraction instead of a whole number", "+resources:\n  pids: 1.5\n"),
    ("negative number", "+resources:\n  disk_mb: -1\n"),
    ("number too large for its type", "+resources:\n  gpu: 5000000000\n"),
    ("text instead of true or false", "+resources:\n  strict: yes\n"),
    ("text instead of a list", "+network:\n  egress: pypi.org\n"),
    ("list instead of a mapping", "+ttl: [4h, 24h]\n"),
    ("nothing instead of a mapping", "+ttl:\n"),
    ("number in a list of text", "+setup:\n  secret_refs: [token, 4]\n"),
    ("duration without a unit", "+ttl:\n  default: 4\n"),
    ("duration with a wrong unit", "+ttl:\n  default: 4w\n"),
    ("duration of zero", "+ttl:\n  idle_reap: 0s\n"),
    ("fraction of an hour", "+ttl:\n  max: 1.5h\n"),
    (
        "money as a number",
        "+route:\n  constraints:\n    max_cost_per_hour: 1.5\n",
    ),
    (
        "money that is none",
        "+route:\n  constraints:\n    max_cost_per_hour: one\n",
    ),
    ("default over max", "+ttl:\n  default: 30h\n"),
    ("id without prefix", "id: native\nextension: ext.native\n"),
    ("id that is a path", "id: profile.../../etc\nextension: ext.native\n"),
    ("extension without prefix", "id: profile.x\nextension: docker\n"),
    ("version of two numbers", "+version: \"1.0\"\n"),
    ("cpu zero", "+resources:\n  cpu: 0\n"),
    ("memory of one MiB", "+resources:\n  memory_mb: 1\n"),
    ("pids of zero", "+resources:\n  pids: 0\n"),
    (
        "egress to everything",
        "+network:\n  egress: [\"*\", \"*.com\", pypi.org]\n",
    ),
    (
        "egress to an address",
        "+network:\n  egress:\n    - 10.0.0.1\n    - 10.0.0.1/8\n    - https://pypi.org\n    - pypi.org:99999\n",
    ),
    (
        "egress under allow",
        "+network:\n  default: allow\n  egress: [pypi.org]\n",
    ),
    ("secret names", "+setup:\n  secret_refs: [\"a b\", token, token]\n"),
    (
        "host that is an option",
        "+placement:\n  prefer: [\"-oProxyCommand=evil\"]\n",
    ),
    ("input name", "+inputs:\n  Repo-Dir:\n    type: directory\n"),
    (
        "input default of a wrong type",
        "+inputs:\n  port:\n    type: port\n    default: \"99999\"\n",
    ),
    (
        "input default not text",
        "+inputs:\n  port:\n    type: port\n    default: 80\n",
    ),
    (
        "input required with default",
        "+inputs:\n  n:\n    type: integer\n    required: true\n    default: \"4\"\n",
    ),
    (
        "directory without workspace",
        "+workspace:\n  access: none\ninputs:\n  repo:\n    type: directory\n    required: true\n",
    ),
    (
        "candidate twice",
        "+route:\n  extensions: [ext.a, b]\n  fallback: [ext.a]\n",
    ),
    (
        "several at once",
        "id: 4\nextenson: ext.native\nttl:\n  default: 4\nnetwork: {default: nope}\nresources: {cpu: many}\n",
    ),
    ("terminal escapes", "+\"\\e[31mred\": 1\ntrust: \"\\e]0;x\\a\"\n"),
    (
        "JSON",
        "{\n  \"id\": \"profile.x\",\n  \"extension\": \"ext.native\",\n  \"ttl\": {\"defualt\": \"4h\"}\n}\n",
    ),
];

#[test]
fn every_wrong_document_is_explained() {
    let mut shown = String::new();
    for (name, text) in WRONG {
        let text = text
            .strip_prefix('+')
            .map_or_else(|| (*text).to_owned(), |rest| format!("{HEAD}{rest}"));
        let problems = parse_profile("p.yaml", &text).expect_err(name);
        assert!(!problems.is_empty(), "{name}");
        writeln!(shown, "== {name}").unwrap();
        for problem in problems {
            assert!(
                !problem.to_string().chars().any(|c| c.is_control() && c != '\n'),
                "{name}: {problem}"
            );
            writeln!(shown, "{problem}").unwrap();
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn good_documents_are_read() {
    for text in [
        "",
        "description: >\n  two\n  lines\n",
        "config:\n  a: &a [1, 2]\n  b: *a\n  c: {d: null, 4: x}\n",
        "ttl: {default: 1h, idle_reap: ~}\nresources: {cpu: 1, memory_mb: 0x100, gpu: null}\n",
        "resources:\n  cpu: .5\r\n  strict: true\r\n",
        "network:\n  egress: [pypi.org, \"*.pythonhosted.org:443\", 10.0.0.0/8]\n",
    ] {
        let text = format!("\u{feff}{HEAD}{text}");
        if let Err(problems) = parse_profile("p.yaml", &text) {
            panic!("{text}\n{}", problems[0]);
        }
    }
    let json = "{\n\t\"id\": \"profile.x\",\n\t\"extension\": \"ext.native\",\n\t\"description\": \"a\\/b \\u00e4\"\n}";
    assert_eq!(
        parse_profile("p.json", json).map(|p| p.description).ok().as_deref(),
        Some("a/b ä")
    );
}
