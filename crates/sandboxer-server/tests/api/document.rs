//! The API document is whole, and what the server serves.

use sandboxer_server::{openapi, routes};
use serde_json::Value;

use crate::server::Running;

#[test]
fn every_operation_says_what_it_does_and_answers() {
    let mut ids = Vec::new();
    for route in routes::all() {
        assert!(route.summary.ends_with('.'), "{}", route.id);
        assert!(!route.outcomes.is_empty(), "{}", route.id);
        assert!(!ids.contains(&route.id), "{} is there twice", route.id);
        ids.push(route.id);
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = openapi::document(&routes::all());
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(array) => array.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_served_with_a_page_that_loads_nothing_from_elsewhere() {
    let server = Running::start().await;
    let served = server.ask("GET", "/openapi.json").send().await.expect(200);
    assert_eq!(served.json(), openapi::document(&routes::all()));
    for path in ["/docs", "/docs/errors"] {
        let page = server.ask("GET", path).send().await.expect(200);
        let text = page.text();
        for loads in ["src=", "http://", "https://", "@import", "url(", "<link", "<script"] {
            assert!(!text.contains(loads), "{path} has {loads}");
        }
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .contains("default-src 'none'")
        );
    }
    let page = server.ask("GET", "/docs").send().await.text();
    for route in routes::all() {
        assert!(
            page.contains(&format!("id=\"{}\"", route.id)),
            "{} is not in /docs",
            route.id
        );
    }
}
