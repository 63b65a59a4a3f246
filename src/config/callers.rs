//! `auth`: who may call, and what they may do.

use std::collections::BTreeMap;

use crate::auth;

use super::section::Section;

/// Reads `auth`.
pub(super) fn read(root: &Section<'_>) -> Option<auth::Config> {
    root.section("auth").read(config)
}

fn config(section: &Section<'_>) -> Option<auth::Config> {
    let mode = section.choice("mode", &[("required", auth::RawMode::Required), ("dev", auth::RawMode::Dev)]);
    let raw = auth::RawConfig {
        mode: mode.unwrap_or_default(),
        issuers: section.sections("issuers").into_iter().map(|one| one.read(issuer)).collect(),
        api_keys: section.sections("api_keys").into_iter().map(|one| one.read(api_key)).collect(),
        client_certificate_prefix: section.text("client_certificate_prefix"),
        ticket_key: section.secret("ticket_key").map(auth::Secret::new),
        ticket_ttl: section.optional_text("ticket_ttl"),
        grants: section.sections("grants").into_iter().map(|one| one.read(grant)).collect(),
    };
    let checked = raw.check();
    if let Err(mistakes) = &checked {
        for (path, problem) in mistakes {
            if path.ends_with(".jwks_file") {
                section.mistake_in_file_below(path, problem);
            } else {
                section.mistake_below(path, problem);
            }
        }
    }
    checked.ok()
}

fn issuer(section: &Section<'_>) -> auth::RawIssuer {
    auth::RawIssuer {
        issuer: section.text("issuer"),
        audience: section.text("audience"),
        algorithms: section.texts("algorithms"),
        jwks_url: section.optional_text("jwks_url"),
        jwks_file: section.optional_text("jwks_file"),
        principal_prefix: section.optional_text("principal_prefix").unwrap_or_default(),
        role_claim: section.optional_text("role_claim"),
        jwks_max_age: section.optional_text("jwks_max_age"),
        jwks_cooldown: section.optional_text("jwks_cooldown"),
        jwks_stale_max: section.optional_text("jwks_stale_max"),
    }
}

fn api_key(section: &Section<'_>) -> auth::RawApiKey {
    auth::RawApiKey {
        id: section.text("id"),
        principal: section.text("principal"),
        sha256: section.text("sha256"),
        expires: section.optional_text("expires"),
    }
}

fn grant(section: &Section<'_>) -> auth::RawGrant {
    let claim = |(name, value)| (name, auth::RawScalar::Text(value));
    let claims: BTreeMap<_, _> = section.named_texts("claim").into_iter().map(claim).collect();
    auth::RawGrant {
        principal: section.optional_text("principal"),
        role: section.optional_text("role"),
        claim: section.is_set("claim").then_some(claims),
        allow: section.texts("allow"),
        topics: section.texts("topics"),
        groups: section.texts("groups"),
        sources: section.texts("sources"),
        subjects: section.texts("subjects"),
        key_filter: section.optional_text("key_filter"),
    }
}
