//! The docs as a stranger reads them, in headless Chromium: from the list to a published event.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::gateway::Gateway;

const ORDERS: &str = "/docs/types/orders.placed.v1";

/// Gives the window a width, as a phone or a desk has it.
async fn resize(browser: &Browser, width: u32) {
    let metrics = json!({"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500});
    let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
    browser.command("goog/cdp/execute", command).await;
}

/// Shows pages to a reader who prefers this.
async fn prefer(browser: &Browser, scheme: &str) {
    let params = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": params});
    browser.command("goog/cdp/execute", command).await;
}

/// Texts of ours that can hardly be read: with less contrast to what lies under them than WCAG's 4.5 to 1.
const PALE: &str = "
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const light = color => numbers(color).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const under = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if ((numbers(color)[3] ?? 1) > 0) return color;
        }
        return getComputedStyle(document.documentElement).colorScheme.includes('dark') && matchMedia('(prefers-color-scheme: dark)').matches
            ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)';
    };
    const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const read = [...document.querySelectorAll('body *')].filter(element => own(element) && element.checkVisibility()
        && !element.closest('#swagger, :disabled, script, style, noscript'));
    const pale = read.filter(element => {
        const [one, other] = [light(getComputedStyle(element).color), light(under(element))];
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5;
    });
    return [read.length > 5, ...pale.map(element => element.outerHTML.slice(0, 80))]";

/// What a screen reader would stumble over: fields and links without a name, names given twice or leading nowhere.
const NAMELESS: &str = "
    const ours = selector => [...document.querySelectorAll(selector)].filter(element => !element.closest('#swagger'));
    const ids = ours('[id]').map(element => element.id);
    return [
        ...ours('main :is(input, textarea, select)').filter(field => !field.labels?.length),
        ...ours(':is(a, button, summary)').filter(element => element.checkVisibility() && !element.textContent.trim()),
        ...ours('[id]').filter((element, index) => ids.indexOf(element.id) !== index),
        ...ours('[aria-labelledby]').filter(element => !document.getElementById(element.getAttribute('aria-labelledby'))),
        ...ours('a[href^=\"#\"]').filter(link => !document.querySelector(link.getAttribute('href'))),
    ].map(element => element.outerHTML.slice(0, 80))";

/// What the console says, but that a request of ours was refused.
async fn complaints(browser: &Browser, refused: &str) -> Vec<Value> {
    let mut errors = browser.errors().await;
    errors.retain(|entry| !entry["message"].as_str().unwrap().contains(refused));
    errors
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn a_stranger_goes_from_the_docs_to_a_published_event() {
    let gateway = Gateway::start();
    let browser = Browser::open().await;
    browser.go(&format!("{}/docs", gateway.url)).await;
    let search = "const q = document.getElementById('q'); q.value = 'unitprice'; q.dispatchEvent(new Event('input')); \
                  return document.getElementById('found').textContent";
    assert_eq!(browser.run(search).await, "1 event type");
    browser.run("document.querySelector('.types li:not([hidden]) a').click()").await;
    browser
        .wait(&format!(
            "return location.pathname === '{ORDERS}' && document.getElementById('payload') !== null"
        ))
        .await;

    let verdict = "document.getElementById('verdict').textContent";
    let validate = "document.querySelector('#payload [type=submit]').click()";
    assert_eq!(browser.run("return document.getElementById('publish').disabled").await, true);
    browser.run(validate).await;
    browser.wait(&format!("return {verdict}.startsWith('Valid.')")).await;
    browser.click("publish").await;
    browser
        .wait(&format!("return {verdict}.startsWith('Published') && {verdict}.includes('offset: 0')"))
        .await;

    let spoil = "const event = document.getElementById('event'); event.value = event.value.replace('\"EUR\"', '7'); \
                 event.dispatchEvent(new Event('input'));";
    browser.run(spoil).await;
    browser.run(validate).await;
    browser
        .wait(&format!(
            "return {verdict}.includes('schema_violation') && {verdict}.includes('/data/currency')"
        ))
        .await;
    // What was only tried is not counted.
    browser.run("document.getElementById('publish').disabled = false").await;
    browser.click("publish").await;
    // The page follows what goes on without being loaded again.
    let counted = "const text = document.body.textContent; \
                   return text.includes('Stored1Broke the schema1') && text.includes('/data/currency')";
    browser.wait(counted).await;
    assert_eq!(complaints(&browser, "422").await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn a_credential_of_ones_own_is_kept_in_the_tab_and_never_in_an_address() {
    let gateway = Gateway::start();
    // A name that is not this machine's own has no reader of its own.
    let stranger = gateway.url.replace("127.0.0.1", "docs.localhost");
    let browser = Browser::open().await;
    browser.go(&format!("{stranger}{ORDERS}")).await;
    let give = |secret: &str| {
        format!(
            "document.getElementById('secret').value = '{secret}'; \
             document.querySelector('#credential [type=submit]').click()"
        )
    };
    browser.wait("return !document.getElementById('credential').hidden").await;
    browser.run(&give("wg_absent_secret")).await;
    browser.wait("return document.getElementById('access-note').textContent !== ''").await;
    assert_eq!(browser.run("return document.getElementById('payload')").await, Value::Null);
    browser.run(&give(&gateway.token)).await;
    browser.wait("return document.getElementById('payload') !== null").await;
    browser.run("document.querySelector('#payload [type=submit]').click()").await;
    browser.wait("return document.getElementById('verdict').textContent.startsWith('Valid.')").await;
    assert_eq!(browser.run("return location.href").await, format!("{stranger}{ORDERS}"));
    browser.go(&format!("{stranger}/docs")).await;
    browser.wait("return document.querySelectorAll('.types li').length === 5").await;
    browser.click("forget").await;
    browser.wait("return document.querySelectorAll('.types li').length === 0").await;
    assert_eq!(complaints(&browser, "401").await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn pages_fit_a_phone_and_a_desk_and_load_nothing_from_elsewhere() {
    let gateway = Gateway::start();
    let browser = Browser::open().await;
    for (width, scheme) in [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")] {
        resize(&browser, width).await;
        prefer(&browser, scheme).await;
        for (path, is_there) in PAGES {
            browser.go(&format!("{}{path}", gateway.url)).await;
            browser.wait(&format!("return document.querySelector('{is_there}') !== null")).await;
            let widths =
                browser.run("return [document.documentElement.scrollWidth, window.innerWidth]").await;
            assert!(widths[0].as_u64() <= widths[1].as_u64(), "{path} at {width}: {widths}");
            let elsewhere = "return performance.getEntriesByType('resource').map(entry => entry.name)\
                             .filter(name => !name.startsWith(location.origin + '/'))";
            assert_eq!(browser.run(elsewhere).await, json!([]), "{path}");
            assert_eq!(browser.run(NAMELESS).await, json!([]), "{path}");
            assert_eq!(browser.run(PALE).await, json!([true]), "{path} at {width}, {scheme}");
        }
    }
    assert_eq!(browser.errors().await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn a_next_version_is_checked_and_not_registered() {
    let gateway = Gateway::start();
    gateway.ready().await;
    let versions = format!("{}/registry/subjects/orders.placed.v1-value/versions", gateway.url);
    let schema = json!({"type": "object", "properties": {"note": {"type": "string", "maxLength": 9}}});
    let body = json!({"schemaType": "JSON", "schema": schema.to_string()}).to_string();
    let client = reqwest::Client::new();
    let request = || client.request(reqwest::Method::POST, &versions).bearer_auth(&gateway.token);
    let answer = request().header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let browser = Browser::open().await;
    browser.go(&format!("{}{ORDERS}", gateway.url)).await;
    let check = "document.querySelector('#compatibility [type=submit]').click()";
    let answer = "document.getElementById('answer').textContent";
    browser.run(check).await;
    browser.wait(&format!("return {answer}.startsWith('It fits')")).await;
    let narrow =
        "const text = document.getElementById('candidate'); text.value = text.value.replace('9', '5');";
    browser.run(narrow).await;
    browser.run(check).await;
    browser.wait(&format!("return {answer}.startsWith('It breaks') && {answer}.includes('maxLength')")).await;
    let listed =
        client.get(&versions).bearer_auth(&gateway.token).send().await.unwrap().text().await.unwrap();
    assert_eq!(listed, "[1]");
    assert_eq!(browser.errors().await, Vec::<Value>::new());
    browser.close().await;
}

/// Pages, each with what is there when it is.
const PAGES: [(&str, &str); 4] = [
    ("/docs", ".types li"),
    (ORDERS, "#payload"),
    ("/docs/http", "#swagger .opblock"),
    ("/docs/events", "details.message table"),
];
