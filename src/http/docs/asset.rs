//! Styles, scripts and images of the pages, under names that change with their content, so that browsers keep them for ever.
//!
//! Files of others lie here compressed and are sent so; a client that takes no gzip gets them as they were.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS};
use sha2::{Digest as _, Sha256};

use crate::http::answer;

/// The style of our own pages.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("docs", "css", Form::Plain, include_bytes!("assets/docs.css")));
/// The script of our own pages.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("docs", "js", Form::Plain, include_bytes!("assets/docs.js")));
/// The pages' icon.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", Form::Plain, include_bytes!("assets/icon.svg")));

/// Whether the viewer of the HTTP API is built in.
pub(super) const HAS_SWAGGER: bool = cfg!(feature = "docs-ui");

/// The styles and scripts of the HTTP API's page.
#[cfg(feature = "docs-ui")]
pub(super) static SWAGGER: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    vec![
        Asset::new("swagger-ui", "css", Form::Gzip, include_bytes!("vendor/swagger-ui.css.gz")),
        Asset::new("swagger-ui-bundle", "js", Form::Gzip, include_bytes!("vendor/swagger-ui-bundle.js.gz")),
        Asset::new("http", "js", Form::Plain, include_bytes!("assets/http.js")),
    ]
});
/// None are built in.
#[cfg(not(feature = "docs-ui"))]
pub(super) static SWAGGER: LazyLock<Vec<Asset>> = LazyLock::new(Vec::new);

/// How a file lies in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    #[cfg(feature = "docs-ui")]
    Gzip,
}

/// A file that pages load.
#[derive(Debug)]
pub(super) struct Asset {
    /// Where it is.
    pub(super) url: String,
    media_type: &'static str,
    form: Form,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, form: Form, bytes: &'static [u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let hash = digest.iter().take(8).fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        Self { url: format!("/docs/assets/{stem}-{hash}.{extension}"), media_type, form, bytes }
    }

    pub(super) fn is_style(&self) -> bool {
        self.media_type.starts_with("text/css")
    }
}

/// The file of a name, for a client with this `Accept-Encoding`.
#[cfg_attr(not(feature = "docs-ui"), expect(unused_variables, reason = "nothing lies compressed then"))]
pub(super) fn respond(name: &str, accepted: &str) -> Option<Response> {
    let all = [&*STYLE, &*SCRIPT, &*ICON].into_iter().chain(&*SWAGGER);
    let asset = all.into_iter().find(|asset| asset.url.rsplit('/').next() == Some(name))?;
    let (body, encoding) = match asset.form {
        Form::Plain => (Bytes::from_static(asset.bytes), None),
        #[cfg(feature = "docs-ui")]
        Form::Gzip if takes_gzip(accepted) => (Bytes::from_static(asset.bytes), Some("gzip")),
        #[cfg(feature = "docs-ui")]
        Form::Gzip => (unzip(asset.bytes)?, None),
    };
    let mut response = answer::text(asset.media_type, body);
    let headers = response.headers_mut();
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if asset.form != Form::Plain {
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

/// Whether a client takes gzip (RFC 9110 §12.5.3).
#[cfg(feature = "docs-ui")]
fn takes_gzip(accepted: &str) -> bool {
    let weight = |wanted: &str| {
        accepted.split(',').find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let is_it = coding.trim().eq_ignore_ascii_case(wanted);
            let weight =
                parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse().ok());
            is_it.then_some(weight.unwrap_or(0.0_f32))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(feature = "docs-ui")]
fn unzip(bytes: &[u8]) -> Option<Bytes> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

#[cfg(all(test, feature = "docs-ui"))]
mod tests {
    use super::{SWAGGER, respond, takes_gzip, unzip};

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for taken in ["gzip", "br, gzip;q=0.5", "*", "GZIP", "identity;q=0, *;q=1"] {
            assert!(takes_gzip(taken), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "identity", "*;q=0", "gzip;q=x"] {
            assert!(!takes_gzip(refused), "{refused}");
        }
        for asset in &*SWAGGER {
            let name = asset.url.rsplit('/').next().unwrap();
            let (packed, plain) = (respond(name, "gzip").unwrap(), respond(name, "br").unwrap());
            assert_eq!(
                packed.headers().contains_key("content-encoding"),
                unzip(asset.bytes).is_some(),
                "{name}"
            );
            assert!(!plain.headers().contains_key("content-encoding"), "{name}");
        }
    }
}
