//! The bounded YAML reader. Text is hostile: size, depth, nodes and bytes after alias expansion are limited before
//! anything is copied, tags and merge keys are refused, keys are unique, and there is exactly one document.

use std::collections::{BTreeSet, HashMap};

use granit_parser::{Event, Parser, Span};

use super::diagnostic::{Diagnostic, shorten};
use super::scalar::scalar;
use super::tree::{Entry, Node, Place, Value};

/// Most bytes a document may have.
pub const MAX_BYTES: usize = 256 * 1024;
/// Most collections inside each other.
pub const MAX_DEPTH: usize = 32;
/// Most values, counting each use of an alias in full.
pub const MAX_NODES: usize = 20_000;
/// Most bytes of text after aliases are expanded: many uses of one long text are a bomb too.
const MAX_EXPANDED_BYTES: usize = 1024 * 1024;

/// Reads one document; JSON is read as well, being a subset.
///
/// # Errors
/// Every duplicate key, or the first thing that is not acceptable YAML.
pub fn parse(file: &str, text: &str) -> Result<Node, Vec<Diagnostic>> {
    parse_with(file, text, MergeKeys::Refused)
}

/// What a `<<` key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeKeys {
    /// A problem.
    Refused,
    /// An entry like any other, for a caller that expands it.
    Kept,
}

/// The same, with a say in what a `<<` key is.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(file: &str, text: &str, merge_keys: MergeKeys) -> Result<Node, Vec<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let message = format!("the document has {} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(vec![Diagnostic::new(file, "", Place::default(), "", message)]);
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        text: body,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        found: Vec::new(),
        merge_keys,
    };
    match reader.run() {
        Ok(node) if reader.found.is_empty() => Ok(node),
        Ok(_) => Err(reader.found),
        Err(problem) => {
            reader.found.push(*problem);
            Err(reader.found)
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    open: Vec<Frame>,
    /// Finished nodes that have an anchor. An anchor that is still open is not here, so nothing contains itself.
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    bytes: usize,
    found: Vec<Diagnostic>,
    merge_keys: MergeKeys,
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// A collection that is not closed yet.
struct Frame {
    place: Place,
    anchor: usize,
    nodes_before: usize,
    bytes_before: usize,
    /// Depth of the deepest collection inside, itself included.
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        keys: BTreeSet<String>,
        key: Option<(String, Place)>,
    },
}

type Step<T> = Result<T, Box<Diagnostic>>;

impl Reader<'_> {
    fn run(&mut self) -> Step<Node> {
        let mut options = granit_parser::options! {
            disallow_directives: true,
            flow_nesting_limit: MAX_DEPTH * 2,
            block_nesting_limit: MAX_DEPTH * 2
        };
        options.set_emit_comments(false);
        let text = self.text;
        let mut root = None;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| {
                let mark = error.marker();
                let place = Place {
                    line: narrow(mark.line()),
                    column: narrow(mark.col() + 1),
                    width: 1,
                };
                Box::new(Diagnostic::new(
                    self.file,
                    text,
                    place,
                    "",
                    format!("this is not valid YAML: {}", error.info()),
                ))
            })?;
            let place = self.place(span);
            if let Some(node) = self.event(event, span, place, root.is_some())? {
                root = Some(node);
            }
        }
        root.ok_or_else(|| {
            Box::new(Diagnostic::new(
                self.file,
                text,
                Place::default(),
                "",
                "the document is empty",
            ))
        })
    }

    /// Takes one event; gives the root once it is complete.
    fn event(&mut self, event: Event<'_>, span: Span, place: Place, done: bool) -> Step<Option<Node>> {
        let tagged = match &event {
            Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) => {
                tag.is_some()
            }
            _ => false,
        };
        if tagged {
            let place = span.tag_span().map_or(place, |tag| self.place(tag));
            return Err(self.problem(place, "tags such as `!name` are not allowed here"));
        }
        match event {
            Event::DocumentStart(..) if done => {
                Err(self.problem(place, "a second document begins here; one file holds one document"))
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(place, 1, text.len())?;
                let bytes = text.len();
                let node = Node {
                    place,
                    value: scalar(text, style),
                };
                if anchor != 0 {
                    self.anchors.insert(
                        anchor,
                        Anchored {
                            node: node.clone(),
                            nodes: 1,
                            bytes,
                            depth: 0,
                        },
                    );
                }
                self.put(node, 0)
            }
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor).map(|a| (a.nodes, a.bytes, a.depth)) else {
                    return Err(self.problem(place, "this alias stands inside the value it names"));
                };
                let (nodes, bytes, depth) = target;
                self.count(place, nodes, bytes)?;
                self.deepen(place, depth)?;
                let Some(node) = self.anchors.get(&anchor).map(|a| a.node.clone()) else {
                    return Ok(None);
                };
                self.put(node, depth)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(
                place,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    keys: BTreeSet::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(None),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Step<Option<Node>> {
        let (nodes_before, bytes_before) = (self.nodes, self.bytes);
        self.count(place, 1, 0)?;
        self.deepen(place, 1)?;
        self.open.push(Frame {
            place,
            anchor,
            nodes_before,
            bytes_before,
            depth: 1,
            content,
        });
        Ok(None)
    }

    fn end(&mut self) -> Step<Option<Node>> {
        let Some(frame) = self.open.pop() else { return Ok(None) };
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let node = Node {
            place: frame.place,
            value,
        };
        if frame.anchor != 0 {
            let nodes = self.nodes - frame.nodes_before;
            let bytes = self.bytes - frame.bytes_before;
            self.anchors.insert(
                frame.anchor,
                Anchored {
                    node: node.clone(),
                    nodes,
                    bytes,
                    depth: frame.depth,
                },
            );
        }
        self.put(node, frame.depth)
    }

    /// Puts a finished node where it belongs: a key, a value, an item, or the root.
    fn put(&mut self, node: Node, depth: usize) -> Step<Option<Node>> {
        let path = self.path();
        let Some(frame) = self.open.last_mut() else {
            return Ok(Some(node));
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, keys, key } => match key.take() {
                Some((name, place)) => {
                    if keys.insert(name.clone()) {
                        entries.push(Entry {
                            key: name,
                            place,
                            value: node,
                        });
                    } else {
                        let first = entries
                            .iter()
                            .find(|entry| entry.key == name)
                            .map_or(0, |entry| entry.place.line);
                        let message = format!("the key `{}` is here twice; first on line {first}", shorten(&name));
                        let path = join(&path, &name);
                        self.found
                            .push(Diagnostic::new(self.file, self.text, place, path, message));
                        if self.found.len() >= 50 {
                            return Err(Box::new(Diagnostic::new(
                                self.file,
                                self.text,
                                place,
                                "",
                                "there are too many problems to go on",
                            )));
                        }
                    }
                }
                None => {
                    let name = match node.value {
                        Value::Text(text) => text,
                        Value::Number(_, written) => written,
                        Value::Bool(value) => value.to_string(),
                        Value::Null => return Err(self.problem(node.place, "a key is empty")),
                        Value::List(_) | Value::Map(_) => return Err(self.problem(node.place, "a key must be text")),
                    };
                    if name == "<<" && self.merge_keys == MergeKeys::Refused {
                        return Err(self.problem(node.place, "merge keys (`<<`) are not allowed here"));
                    }
                    *key = Some((name, node.place));
                }
            },
        }
        Ok(None)
    }

    fn count(&mut self, place: Place, nodes: usize, bytes: usize) -> Step<()> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES {
            let message =
                format!("there are more than {MAX_NODES} values up to here, counting each use of an alias in full");
            return Err(self.problem(place, message));
        }
        if self.bytes > MAX_EXPANDED_BYTES {
            let message = format!(
                "there are more than {MAX_EXPANDED_BYTES} bytes of text up to here, counting each use of an alias in full"
            );
            return Err(self.problem(place, message));
        }
        Ok(())
    }

    /// Refuses `more` collections inside those that are open.
    fn deepen(&self, place: Place, more: usize) -> Step<()> {
        if self.open.len() + more > MAX_DEPTH {
            return Err(self.problem(
                place,
                format!("more than {MAX_DEPTH} collections stand inside each other"),
            ));
        }
        Ok(())
    }

    fn problem(&self, place: Place, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(self.file, self.text, place, self.path(), message))
    }

    /// The keys that lead to where the reader is.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.content {
                Content::List(items) => path = join(&path, &items.len().to_string()),
                Content::Map {
                    key: Some((name, _)), ..
                } => path = join(&path, name),
                Content::Map { .. } => {}
            }
        }
        path
    }

    fn place(&self, span: Span) -> Place {
        let width = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            1
        };
        Place {
            line: narrow(span.start.line()),
            column: narrow(span.start.col() + 1),
            width: narrow(width.max(1)),
        }
    }
}

/// `a.b` of `a` and `b`; a part that could not be told apart is quoted.
pub(crate) fn join(path: &str, part: &str) -> String {
    let part = shorten(part);
    match path {
        "" => part,
        _ => format!("{path}.{part}"),
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
