//! The event that is sent: 20 fields, of a given size, with the time it was meant to be sent.

/// Events take so many keys by turns.
pub(crate) const KEYS: u64 = 1_000;

/// An envelope of about `bytes` bytes (never less than what the fields need).
pub(crate) fn envelope(sequence: u64, sent_at: u64, bytes: usize) -> String {
    if bytes < 600 {
        return small(sequence, sent_at, bytes);
    }
    let mut text = format!(
        concat!(
            r#"{{"eventType":"load.event.v1","source":"order-service","data":{{"orderId":"00000000-0000-4000-8000-{:012x}","#,
            r#""customerId":"c-{}","sentAt":{:020},"amount":99.5,"currency":"EUR","status":"placed","#,
            r#""email":"someone@example.com","createdAt":"2026-11-21T10:15:30.123Z","deliverOn":"2026-11-24","#,
            r#""priority":3,"isGift":false,"coupon":null,"channel":"web","language":"en","weightGrams":1250,"#,
            r#""tags":["new","fragile"],"reference":"r-1","taxRate":0.19,"#,
            r#""address":{{"street":"Long Street 1","city":"Springfield","postcode":"12345","country":"DE"}},"note":""#,
        ),
        sequence,
        sequence % KEYS,
        1,
    );
    text = text.replacen("00000000000000000001", &plain(sent_at), 1);
    let end = "\"}}";
    let filler = bytes.saturating_sub(text.len() + end.len());
    text.extend(std::iter::repeat_n('x', filler));
    text.push_str(end);
    text
}

/// Whether events have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    None,
    New,
}

const ID: &str = "\"eventId\":\"";

/// The envelope with an id that is still to be made new.
pub(crate) fn with_id(envelope: String, ids: Ids) -> String {
    match ids {
        Ids::None => envelope,
        Ids::New => envelope.replacen('{', &format!("{{{ID}{}\",", uuid::Uuid::nil()), 1),
    }
}

/// Where the ids of a body are.
pub(crate) fn id_places(body: &[u8]) -> Vec<usize> {
    let places = body.windows(ID.len()).enumerate().filter(|(_, window)| *window == ID.as_bytes());
    places.map(|(place, _)| place + ID.len()).collect()
}

/// Makes them ids that no event has.
pub(crate) fn renew_ids(body: &mut [u8], places: &[usize]) {
    for &place in places {
        if let Some(id) = body.get_mut(place..place + uuid::fmt::Hyphenated::LENGTH) {
            uuid::Uuid::new_v4().hyphenated().encode_lower(id);
        }
    }
}

/// The required fields alone.
fn small(sequence: u64, sent_at: u64, bytes: usize) -> String {
    let mut text = format!(
        concat!(
            r#"{{"eventType":"load.event.v1","data":{{"sentAt":{},"orderId":"00000000-0000-4000-8000-{:012x}","#,
            r#""customerId":"c-{}","amount":9,"currency":"EUR","status":"paid","#,
            r#""address":{{"street":"s","city":"c","country":"DE"}}"#,
        ),
        plain(sent_at),
        sequence,
        sequence % KEYS,
    );
    if text.len() + 12 < bytes {
        text.push_str(",\"note\":\"");
        text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len() + 3)));
        text.push('"');
    }
    text.push_str("}}");
    text
}

/// A number of constant width that JSON takes: it begins with a 1.
fn plain(sent_at: u64) -> String {
    format!("1{sent_at:018}")
}

/// The time out of a frame that holds such an event.
pub(crate) fn sent_at(frame: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"sentAt\":1";
    let at = frame.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    std::str::from_utf8(frame.get(at..at + 18)?).ok()?.parse().ok()
}
