//! The API document (OpenAPI 3.1), made from the table of routes.

use std::collections::BTreeMap;

use sandboxer_api::problem::{MEDIA_TYPE, Problem};
use sandboxer_model::error::{ERROR_CODES, ErrorCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::route::{Access, Keyed, Outcome, Route, Takes, Versioned};

/// The document as text, the same for the same routes.
pub fn text(routes: &[Route]) -> String {
    let mut text = serde_json::to_string_pretty(&document(routes)).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut reads = SchemaGenerator::new(settings.clone().for_deserialize());
    let mut writes = SchemaGenerator::new(settings.for_serialize());
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let problem = writes.subschema_for::<Problem>();
    for route in routes {
        let operation = operation(route, &mut reads, &mut writes);
        paths
            .entry(route.path)
            .or_default()
            .insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    let mut schemas = writes.take_definitions(true);
    for (name, schema) in reads.take_definitions(true) {
        schemas.entry(name).or_insert(schema);
    }
    let answers: Map<String, Value> = statuses()
        .into_iter()
        .map(|(status, codes)| {
            let names: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
            let answer = json!({
                "description": format!("A problem: {}.", names.join(", ")),
                "content": { MEDIA_TYPE: { "schema": problem } },
            });
            (format!("Problem{status}"), answer)
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sandboxer",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Isolated environments, whatever is behind them.",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": answers,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "bearerFormat": "sbx_live_…" } },
        },
    })
}

const DESCRIPTION: &str = "Send an API key as `Authorization: Bearer sbx_live_…`. Errors are problems (RFC 9457) with a `code` that \
    `/docs/errors` explains. A POST with an `Idempotency-Key` is carried out once, however often it is sent. Durations are written \
    `90s`, `30m`, `4h`, `2d`; times as RFC 3339. What a key may not see answers like what does not exist.";

fn tags(routes: &[Route]) -> Vec<Value> {
    let mut names: Vec<&str> = routes.iter().map(Route::tag).collect();
    names.dedup();
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.into_iter().map(|name| json!({ "name": name })).collect()
}

fn operation(route: &Route, reads: &mut SchemaGenerator, writes: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".into(), route.id.into());
    operation.insert("tags".into(), json!([route.tag()]));
    operation.insert("summary".into(), route.summary.into());
    if !route.notes.is_empty() {
        operation.insert("description".into(), route.notes.into());
    }
    match route.access {
        Access::Public => {
            operation.insert("security".into(), json!([]));
        }
        Access::AnyKey => {}
        Access::Grant(grant) => {
            operation.insert("x-grant".into(), grant.name().into());
        }
    }
    let parameters = parameters(route, reads);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = body(route, reads) {
        operation.insert("requestBody".into(), body);
    }
    operation.insert("responses".into(), responses(route, writes));
    operation.into()
}

fn parameters(route: &Route, reads: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(query) = route.query {
        let schema = query(reads).to_value();
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let mut property = property.clone();
            let description = property.as_object_mut().and_then(|object| object.remove("description"));
            let mut parameter = json!({ "name": name, "in": "query", "schema": without_null(property) });
            if let Some(object) = parameter.as_object_mut() {
                if let Some(description) = description {
                    object.insert("description".into(), description);
                }
                if required.iter().any(|one| one == name) {
                    object.insert("required".into(), true.into());
                }
            }
            parameters.push(parameter);
        }
    }
    let header = |name: &str, what: &str| json!({ "name": name, "in": "header", "required": false, "description": what, "schema": { "type": "string" } });
    if route.keyed != Keyed::No {
        let mut key = header(
            "Idempotency-Key",
            "The same key with the same request is carried out once.",
        );
        key["schema"] = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
        parameters.push(key);
    }
    if route.versioned == Versioned::Checks {
        parameters.push(header("If-Match", "The `ETag` of the version that is meant."));
    }
    parameters
}

/// A parameter is left out, never null.
fn without_null(mut schema: Value) -> Value {
    let types = match schema.get("type").and_then(Value::as_array) {
        Some(types) => types.iter().filter(|one| *one != "null").cloned().collect::<Vec<_>>(),
        None => {
            if let Some(options) = schema.get("anyOf").and_then(Value::as_array)
                && let Some(only) = options.iter().find(|one| one.get("type") != Some(&"null".into()))
            {
                return only.clone();
            }
            return schema;
        }
    };
    if let Some(object) = schema.as_object_mut() {
        let kind = match types.as_slice() {
            [only] => only.clone(),
            _ => types.into(),
        };
        object.insert("type".into(), kind);
        if object.get("default") == Some(&Value::Null) {
            object.remove("default");
        }
    }
    schema
}

fn body(route: &Route, reads: &mut SchemaGenerator) -> Option<Value> {
    match route.takes {
        Takes::Json | Takes::MaybeJson => {
            let schema = route.body.map(|of| of(reads))?;
            let required = route.takes == Takes::Json;
            Some(json!({ "required": required, "content": { "application/json": { "schema": schema } } }))
        }
        Takes::Stream(media) => Some(json!({
            "required": true,
            "content": { media: { "schema": { "type": "string", "format": "binary" } } },
        })),
        Takes::Nothing | Takes::WebSocket => None,
    }
}

fn responses(route: &Route, writes: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for outcome in &route.outcomes {
        let response = response(route, outcome, writes);
        let before = responses.get_mut(&outcome.status.to_string());
        match before.and_then(|one| one.get_mut("content")?.as_object_mut()) {
            // The same status with another media type: one answer, in the shape that is asked for.
            Some(before) => before.extend(response["content"].as_object().cloned().unwrap_or_default()),
            None => drop(responses.insert(outcome.status.to_string(), response)),
        }
    }
    for (status, _) in statuses() {
        if status == 401 && route.access == Access::Public {
            continue;
        }
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/Problem{status}") }));
    }
    responses.into()
}

fn response(route: &Route, outcome: &Outcome, writes: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": outcome.meaning });
    let Some(object) = response.as_object_mut() else {
        return response;
    };
    match (outcome.schema, outcome.media_type) {
        (Some(of), media) => {
            object.insert("content".into(), json!({ media: { "schema": of(writes) } }));
        }
        (None, "") => {}
        // A stream of them has no schema of its own: what is in `data` is told in words.
        (None, media @ "text/event-stream") => {
            object.insert("content".into(), json!({ media: {} }));
        }
        (None, media) => {
            object.insert("content".into(), json!({ media: { "schema": { "type": "string" } } }));
        }
    }
    let mut headers = Map::new();
    if route.versioned != Versioned::No && outcome.status < 300 {
        headers.insert(
            "ETag".into(),
            json!({ "schema": { "type": "string" }, "description": "Its version." }),
        );
    }
    if route.id == "sandbox.create" {
        headers.insert(
            "Location".into(),
            json!({ "schema": { "type": "string" }, "description": "The sandbox." }),
        );
        let links = json!({
            "get": { "operationId": "sandbox.get", "parameters": { "id": "$response.body#/sandbox_id" } },
            "wait": { "operationId": "sandbox.wait", "parameters": { "id": "$response.body#/sandbox_id" } },
            "explain": { "operationId": "sandbox.explain", "parameters": { "id": "$response.body#/sandbox_id" } },
            "label": { "operationId": "sandbox.label", "parameters": { "id": "$response.body#/sandbox_id" } },
            "extend": { "operationId": "sandbox.extend", "parameters": { "id": "$response.body#/sandbox_id" } },
            "exec": { "operationId": "sandbox.exec", "parameters": { "id": "$response.body#/sandbox_id" } },
            "destroy": { "operationId": "sandbox.destroy", "parameters": { "id": "$response.body#/sandbox_id" } },
        });
        object.insert("links".into(), links);
    }
    if !headers.is_empty() {
        object.insert("headers".into(), headers.into());
    }
    response
}

/// The statuses of problems, and the codes that have each.
fn statuses() -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut statuses: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in ERROR_CODES {
        statuses.entry(code.http_status()).or_default().push(*code);
    }
    // A wait that was too long, and a body that was too slow.
    statuses.entry(408).or_default().push(ErrorCode::Timeout);
    statuses.entry(405).or_default().push(ErrorCode::NotAllowed);
    statuses
}
