//! `/docs`: what pages tell, to whom, and under which headers.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::gateway::{Gateway, JSON, READER, SHOP, STRANGER, envelope, until};

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    gateway.send("GET", path, headers, "")
}

/// Asks by a name of this machine, without a credential.
fn get_here(gateway: &Gateway, path: &str) -> Answer {
    gateway.client().write(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n")).answer()
}

#[test]
fn a_reader_sees_the_types_that_its_grants_allow() {
    let gateway = Gateway::start();
    let list = get(&gateway, "/docs", &[SHOP]);
    assert_eq!(list.status, 200);
    for type_of_shop in ["orders.placed.v1", "orders.lost.v1", "things.noted.v1", "keys.made.v1"] {
        assert!(list.text().contains(&format!("href=\"/docs/types/{type_of_shop}\"")), "{}", list.text());
    }
    assert!(get(&gateway, "/docs", &[STRANGER]).text().contains("0 event types"));
    assert_eq!(get(&gateway, "/docs/types/orders.placed.v1", &[STRANGER]).status, 404);
    assert_eq!(get(&gateway, "/docs/types/orders.placed.v1/schema", &[STRANGER]).code(), "not_found");
    let readers = get(&gateway, "/docs/types/orders.placed.v1", &[READER]);
    assert!(readers.text().contains("Follow over a WebSocket") && !readers.text().contains("id=\"payload\""));
    assert_eq!(get(&gateway, "/docs/types/absent.v1", &[SHOP]).status, 404);
}

#[test]
fn who_gives_no_credential_learns_how_to_and_nothing_else() {
    let gateway = Gateway::start();
    for path in ["/docs", "/docs/types/orders.placed.v1", "/docs/types/absent.v1"] {
        for page in [get(&gateway, path, &[]), get_here(&gateway, path)] {
            assert_eq!(page.status, 200);
            assert!(page.text().contains("Token or API key"));
            assert!(!page.text().contains("orders.v1") && !page.text().contains("weirgate-token"));
        }
    }
    assert_eq!(get(&gateway, "/docs/types/orders.placed.v1/schema", &[]).code(), "unauthenticated");
    assert_eq!(get(&gateway, "/docs", &[("x-api-key", "wg_shop_wrong")]).status, 401);
    assert_eq!(get(&gateway, "/docs?token=secret", &[]).code(), "bad_request");
    assert_eq!(get(&gateway, "/docs/nothing", &[]).code(), "not_found");
}

#[test]
fn the_catalogue_is_found_with_a_slash_behind_its_address_too() {
    let gateway = Gateway::start();
    for (path, location) in [("/docs/", "/docs"), ("/docs/?q=keys+made", "/docs?q=keys+made")] {
        let found = get(&gateway, path, &[]);
        assert_eq!((found.status, found.header("location")), (308, Some(location)), "{path}");
    }
}

#[test]
fn a_browser_with_a_bad_credential_gets_a_page_that_says_what_its_problem_says() {
    const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let gateway = Gateway::start();
    for (path, credential, status) in [
        ("/docs", ("x-api-key", "wg_shop_wrong"), 401),
        ("/docs", ("authorization", "Bearer a.b.c"), 401),
        ("/docs/types/orders.placed.v1/schema", ("authorization", "Basic dTpw"), 401),
        ("/docs/%3Cscript%3E", SHOP, 404),
        ("/docs?token=hush", SHOP, 400),
    ] {
        let (page, problem) =
            (get(&gateway, path, &[BROWSER, credential]), get(&gateway, path, &[credential]));
        let media_types = (page.header("content-type"), problem.header("content-type"));
        assert_eq!(
            media_types,
            (Some("text/html; charset=utf-8"), Some("application/problem+json")),
            "{path}"
        );
        assert_eq!((page.status, problem.status), (status, status), "{path}");
        let (title, code) = (problem.json()["title"].as_str().unwrap().to_owned(), problem.code());
        for part in [&*title, &*code, page.header("x-request-id").unwrap()] {
            assert!(page.text().contains(part), "{part} in {}", page.text());
        }
        assert_eq!(page.headers("www-authenticate"), problem.headers("www-authenticate"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        for hidden in ["orders.v1", "hush", "wg_shop", "<script>"] {
            assert!(!page.text().contains(hidden), "{hidden} in {}", page.text());
        }
    }
    let elsewhere = gateway.send("GET", "/v1/whoami", &[BROWSER, ("x-api-key", "wg_shop_wrong")], "");
    assert_eq!(elsewhere.header("content-type"), Some("application/problem+json"));
}

#[test]
fn the_development_gateway_shows_its_docs_to_this_machine_only() {
    let token = SHOP.1.trim_start_matches("ApiKey ");
    let gateway = Gateway::with(|setup| setup.own_token = Some(token));
    // The harness's gateway has no development issuer, so its own token is refused: nothing may be shown then.
    assert!(!get_here(&gateway, "/docs").text().contains(token));
    assert!(!get(&gateway, "/docs", &[]).text().contains(token));
}

#[test]
fn the_search_works_without_a_script() {
    let gateway = Gateway::start();
    let found = |query: &str| get(&gateway, &format!("/docs?q={query}"), &[SHOP]).text().to_owned();
    assert!(found("unitprice").contains("1 event type<"), "{}", found("unitprice"));
    assert!(found("keys+made").contains("keys.made.v1") && !found("keys+made").contains("orders.placed.v1"));
    let nasty = found("%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(nasty.contains("0 event types") && !nasty.contains("<script>"));
    assert_eq!(get(&gateway, "/docs?x=1", &[SHOP]).code(), "invalid_parameter");
}

#[test]
fn an_event_type_is_told_whole() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    assert_eq!(gateway.post("", &[], &envelope("").replace("\"EUR\"", "7")).code(), "schema_violation");
    let page = get(&gateway, "/docs/types/orders.placed.v1", &[SHOP]);
    for part in [
        "A customer placed an order",
        "<code>orders.v1</code>",
        "<code>/data/customerId</code>",
        "<code>items[].unitPrice</code>",
        "array of object",
        "1 to 500 elements",
        "<dt>Stored</dt><dd>1</dd><dt>Broke the schema</dt><dd>1</dd><dt>Last stored</dt><dd>",
        "<code>/data/currency</code></th><td role=\"cell\"><code>type</code>",
        "<dt>Published by</dt><dd><ul class=\"plain\"><li><code>service:shop</code>",
        "id=\"payload\"",
        "Publish with Python",
        "http://gateway/v1/events",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    let schema = get(&gateway, "/docs/types/orders.placed.v1/schema", &[SHOP]);
    assert_eq!(schema.header("content-type"), Some("application/schema+json"));
    assert_eq!(schema.json()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema.json()["properties"]["totalAmount"]["$ref"], "#/$defs/shop-common/$defs/amount");
    let plain = get(&gateway, "/docs/types/things.noted.v1", &[SHOP]);
    assert!(plain.text().contains("The type has no schema: any data is taken"));
}

#[test]
fn the_example_of_a_page_is_taken_as_it_stands() {
    let gateway = Gateway::start();
    let page = get(&gateway, "/docs/types/orders.placed.v1", &[SHOP]);
    let (_, rest) = page.text().split_once("spellcheck=\"false\">{").unwrap();
    let event = format!("{{{}", rest.split_once("</textarea>").unwrap().0).replace("&quot;", "\"");
    let judged = gateway.post("?dryRun=true", &[], &event);
    assert_eq!((judged.status, &judged.json()["topic"]), (200, &"orders.v1".into()), "{}", judged.text());
}

#[test]
fn pages_load_nothing_from_elsewhere_and_their_files_are_kept_for_ever() {
    let gateway = Gateway::start();
    let page = get(&gateway, "/docs", &[SHOP]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(!page.text().contains("style=") && !page.text().contains("https://"), "{}", page.text());
    let links = page.text().split('"').filter(|text| text.starts_with("/docs/assets/"));
    let mut count = 0;
    for link in links {
        let file = get(&gateway, link, &[]);
        assert_eq!(file.status, 200, "{link}");
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        count += 1;
    }
    assert_eq!(count, 3);
    assert_eq!(get(&gateway, "/docs/assets/docs.js", &[]).code(), "not_found");
}

#[test]
fn versions_are_told_with_what_changed_and_how_much() {
    let gateway = Gateway::start();
    let subject = "/registry/subjects/orders.placed.v1-value";
    until("the registry is read", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let register = |schema: Value| {
        let body = json!({"schemaType": "JSON", "schema": schema.to_string()}).to_string();
        let answer = gateway.send("POST", &format!("{subject}/versions"), &[SHOP, JSON], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let none = get(&gateway, "/docs/types/orders.placed.v1/versions", &[SHOP]);
    assert_eq!(none.status, 404);
    register(json!({"type": "object", "properties": {"a": {"type": "string"}}}));
    register(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}));
    let none = r#"{"compatibility":"NONE"}"#;
    let config = "/registry/config/orders.placed.v1-value";
    assert_eq!(gateway.send("PUT", config, &[SHOP, JSON], none).status, 200);
    register(json!({"type": "object", "properties": {"a": {"type": "integer"}}}));

    let page = get(&gateway, "/docs/types/orders.placed.v1", &[SHOP]);
    assert!(
        page.text().contains("3 versions") && page.text().contains("/docs/types/orders.placed.v1/versions")
    );
    let own = get(&gateway, "/v1/event-types/orders.placed.v1", &[SHOP]).json()["schemaId"].to_string();
    for part in [
        format!("<code>orders.placed.v1-value</code>, id {own} (a file of this gateway), "),
        format!(
            "<strong>None of them judges events.</strong> A file of this gateway does, the schema above (id {own})"
        ),
    ] {
        assert!(page.text().contains(&part), "{part} in {}", page.text());
    }
    assert!(
        page.text()
            .contains("/registry/compatibility/subjects/orders%2Eplaced%2Ev1%2Dvalue/versions?verbose=true")
    );
    let difference = |query: &str| {
        let path = format!("/docs/types/orders.placed.v1/versions{query}");
        get(&gateway, &path, &[SHOP]).text().to_owned()
    };
    let grown = difference("?from=1&to=2");
    assert!(grown.contains("<strong>minor</strong>") && grown.contains("added <code>b</code>"), "{grown}");
    let latest = difference("");
    for part in
        ["From version 2 to 3", "<strong>major</strong>", "removed <code>b</code>", "changed <code>a</code>"]
    {
        assert!(latest.contains(part), "{part} in {latest}");
    }
    assert!(difference("?from=9").contains("invalid_parameter"));
    // May read the topic, but no subject.
    let stranger = get(&gateway, "/docs/types/orders.placed.v1/versions", &[STRANGER]);
    assert_eq!(stranger.status, 404);
}

#[test]
fn the_socket_and_the_topics_are_told_as_the_reader_may_know_them() {
    let gateway = Gateway::start();
    let page = get(&gateway, "/docs/events", &[SHOP]);
    for part in ["/v1/stream", "/v1/topics/orders.v1/events", "data.items[].sku", "What a client says"] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    let strangers = get(&gateway, "/docs/events", &[STRANGER]);
    assert!(strangers.text().contains("/v1/stream") && !strangers.text().contains("/v1/topics/orders.v1"));
    assert!(get(&gateway, "/docs/events", &[]).text().contains("Token or API key"));
}

#[test]
#[cfg(feature = "docs-ui")]
fn the_viewer_of_the_http_api_is_sent_as_each_client_takes_it() {
    let gateway = Gateway::start();
    let page = get(&gateway, "/docs/http", &[SHOP]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("img-src 'self' data:") && !policy.contains("unsafe"), "{policy}");
    let (_, unscripted) = page.text().split_once("<div id=\"swagger\"").unwrap();
    let (_, unscripted) = unscripted.split_once("<noscript>").unwrap();
    for link in ["/openapi.yaml", "/openapi.json", "/docs"] {
        assert!(unscripted.contains(&format!("href=\"{link}\"")), "{link} in {unscripted}");
    }
    let script = page.text().split('"').find(|text| text.contains("/swagger-ui-bundle-")).unwrap().to_owned();
    let packed = get(&gateway, &script, &[("accept-encoding", "gzip, br")]);
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    assert!(packed.body.starts_with(&[0x1f, 0x8b]));
    let plain = get(&gateway, &script, &[]);
    assert_eq!((plain.header("content-encoding"), plain.status), (None, 200));
    assert!(plain.text().contains("SwaggerUIBundle") && plain.body.len() > packed.body.len());
}
