//! The page that shows the API document: plain HTML, made when the server starts, with nothing loaded from elsewhere.

use std::fmt::Write as _;

use sandboxer_model::error::ERROR_CODES;
use serde_json::Value;

use crate::openapi;
use crate::route::{Access, Route, Takes};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}\
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4;border-radius:3px}code{padding:0 .2em}pre{padding:.6em;overflow:auto}\
h2{border-bottom:1px solid #ddd;margin-top:2.5rem}h3 b{display:inline-block;min-width:4.5rem;color:#06c}\
table{border-collapse:collapse}td,th{border:1px solid #ddd;padding:.2em .6em;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code,pre{background:#262626}h3 b{color:#6af}td,th,h2{border-color:#444}}";

/// The page of all operations.
pub(crate) fn page(routes: &[Route]) -> String {
    let document = openapi::document(routes);
    let mut page = head("The API of sandboxer");
    let description = document["info"]["description"].as_str().unwrap_or_default();
    let _ = write!(
        page,
        "<p>{}</p><p>The same for programs: <a href=\"/openapi.json\"><code>/openapi.json</code></a> (OpenAPI 3.1). \
         Error codes: <a href=\"/docs/errors\"><code>/docs/errors</code></a>.</p>",
        inline(description)
    );
    let mut tag = "";
    for route in routes {
        if route.tag() != tag {
            tag = route.tag();
            let _ = write!(page, "<h2 id=\"{0}\">{0}</h2>", escaped(tag));
        }
        operation(&mut page, route, &document);
    }
    schemas(&mut page, &document);
    page
}

fn operation(page: &mut String, route: &Route, document: &Value) {
    let method = route.method.as_str();
    let operation = &document["paths"][route.path][method.to_ascii_lowercase()];
    let _ = write!(
        page,
        "<h3 id=\"{id}\"><b>{method}</b> <code>{path}</code></h3><p>{summary} {notes}</p><p><small><code>{id}</code> · {who}</small></p>",
        id = escaped(route.id),
        path = escaped(route.path),
        summary = inline(route.summary),
        notes = inline(route.notes),
        who = match route.access {
            Access::Public => "no key needed".to_owned(),
            Access::AnyKey => "any key".to_owned(),
            Access::Grant(grant) => format!("grant <code>{}</code>", grant.name()),
        },
    );
    let parameters = operation["parameters"]
        .as_array()
        .map_or(&[] as &[Value], Vec::as_slice);
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>parameter</th><th>in</th><th>type</th><th>meaning</th></tr>");
        for parameter in parameters {
            let text = |key: &str| escaped(parameter[key].as_str().unwrap_or_default());
            let _ = write!(
                page,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                text("name"),
                text("in"),
                kind(&parameter["schema"]),
                inline(parameter["description"].as_str().unwrap_or_default())
            );
        }
        page.push_str("</table>");
    }
    match route.takes {
        Takes::Json | Takes::MaybeJson => {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let _ = write!(page, "<p>Body: {}</p>", kind(schema));
        }
        Takes::Stream(media) => {
            let _ = write!(page, "<p>Body: <code>{media}</code></p>");
        }
        Takes::Nothing | Takes::WebSocket => {}
    }
    page.push_str("<ul>");
    for outcome in &route.outcomes {
        let answer = &operation["responses"][outcome.status.to_string()]["content"][outcome.media_type]["schema"];
        let _ = write!(
            page,
            "<li><b>{}</b> {} {}</li>",
            outcome.status,
            inline(outcome.meaning),
            kind(answer)
        );
    }
    page.push_str("</ul>");
}

/// A schema in a few words, with a link to where it is described.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some(name) => escaped(name),
        None => String::new(),
    }
}

fn schemas(page: &mut String, document: &Value) {
    page.push_str("<h2>Types</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            page,
            "<details id=\"schema-{0}\"><summary><code>{0}</code> {1}</summary><pre>{2}</pre></details>",
            escaped(name),
            inline(schema["description"].as_str().unwrap_or_default()),
            escaped(&text)
        );
    }
}

/// The page of all error codes.
pub(crate) fn errors() -> String {
    let mut page = head("Error codes");
    page.push_str("<table><tr><th>code</th><th>status</th></tr>");
    for code in ERROR_CODES {
        let _ = write!(
            page,
            "<tr id=\"{0}\"><td><code>{0}</code></td><td>{1}</td></tr>",
            code.name(),
            code.http_status()
        );
    }
    page.push_str("</table>");
    page
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Text with `code` in it.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in escaped(text).split('`').enumerate() {
        match at % 2 {
            0 => html.push_str(part),
            _ => {
                let _ = write!(html, "<code>{part}</code>");
            }
        }
    }
    html
}
