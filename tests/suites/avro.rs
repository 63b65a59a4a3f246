//! Apache Avro: which schemas are valid, their canonical forms, who reads whose data, and data of other writers.

use serde_json::Value;
use weirgate::event::json::{Document, Limits};
use weirgate::schema::avro::{Avro, compare};
use weirgate::schema::codec::Codec as _;
use weirgate::schema::compat::{Direction, Level, Report};

use crate::{json_lines, suite};

/// Schemas that Java takes and we refuse, with the reason.
const REFUSED: &[(&str, &str)] =
    &[("default enum non symbol", "nobody could write or read a default that is no symbol of its enum")];

fn parse(schema: &Value) -> Result<Avro, String> {
    Avro::parse(&schema.to_string(), &[])
}

/// The fingerprint by which schemas are known: 64 bits of Rabin's.
fn rabin(form: &str) -> i64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let table = |byte: u64| (0..8).fold(byte, |rest, _| (rest >> 1) ^ (EMPTY & 0_u64.wrapping_sub(rest & 1)));
    let print =
        form.bytes().fold(EMPTY, |print, byte| (print >> 8) ^ table((print ^ u64::from(byte)) & 0xff));
    print.cast_signed()
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn schemas_are_valid_as_in_java_and_have_its_forms() {
    let (mut taken, mut refused) = (0, 0);
    for case in json_lines("avro/validity.jsonl") {
        let id = case["id"].as_str().unwrap();
        match (parse(&case["schema"]), case["valid"] == true) {
            (Ok(avro), true) => {
                taken += 1;
                let form = avro.parsing_form();
                assert_eq!(form, case["canonical"].as_str().unwrap(), "{id}");
                assert_eq!(rabin(&form).to_string(), case["rabin64"].as_str().unwrap(), "{id}");
            }
            (Err(_), false) => refused += 1,
            (Err(_), true) if REFUSED.iter().any(|(known, _)| *known == id) => {}
            (parsed, _) => panic!("{id}: {:?}", parsed.err()),
        }
    }
    assert!(taken >= 20 && refused >= 20, "{taken} taken, {refused} refused");
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn canonical_forms_and_fingerprints_are_those_of_apache() {
    let text = std::fs::read_to_string(suite("avro/share/data/schema-tests.txt")).unwrap();
    let (mut input, mut form, mut is_within, mut judged) = (String::new(), String::new(), false, 0);
    for line in text.lines().filter(|line| !line.starts_with("//")) {
        if let Some(canonical) = line.strip_prefix("<<canonical ") {
            form = Avro::parse(&input, &[]).unwrap().parsing_form();
            assert_eq!(form, canonical);
            judged += 1;
        } else if let Some(fingerprint) = line.strip_prefix("<<fingerprint ") {
            assert_eq!(rabin(&form).to_string(), fingerprint);
        } else if let Some(rest) = line.strip_prefix("<<INPUT") {
            (input, is_within) = (rest.to_owned(), rest.is_empty());
        } else if line == "INPUT" {
            is_within = false;
        } else if is_within {
            input.push_str(line);
        }
    }
    assert!(judged > 30, "{judged} forms");
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn readers_read_what_java_says_they_read() {
    let cases = json_lines("avro/compatibility.jsonl");
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let (new, old) = (parse(&case["reader"]).unwrap(), [parse(&case["writer"]).unwrap()]);
        for (level, expected) in case["new_after_old"].as_object().unwrap() {
            let report = compare(&old, &new, level.parse().unwrap());
            assert_eq!(report.compatible, *expected == true, "{id} {level}");
        }
        let report = compare(&old, &new, Level::Full);
        for (direction, member) in [
            (Direction::Backward, "reader_reads_writer_why"),
            (Direction::Forward, "writer_reads_reader_why"),
        ] {
            let expected: Vec<(String, String)> =
                case[member].as_array().into_iter().flatten().map(why).collect();
            assert_eq!(told(&report, direction), expected, "{id} {member}");
        }
    }
    assert!(cases.len() > 100, "{} cases", cases.len());
}

fn why(why: &Value) -> (String, String) {
    let text = |name: &str| why[name].as_str().unwrap().to_owned();
    (text("type"), text("at").trim_end_matches('/').to_owned())
}

/// The rules and places of what stands against one direction.
fn told(report: &Report, direction: Direction) -> Vec<(String, String)> {
    let breaks = report.breaks.iter().filter(|found| found.direction == direction);
    breaks
        .flat_map(|found| &found.differences)
        .map(|one| (one.rule.to_owned(), one.pointer.trim_start_matches('#').to_owned()))
        .collect()
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn data_of_other_writers_is_read_and_written_alike() {
    let schema = std::fs::read_to_string(suite("avro/share/schemas/weather.avsc")).unwrap();
    let (ours, theirs) =
        (Avro::parse(&schema, &[]).unwrap(), apache_avro::Schema::parse_str(&schema).unwrap());
    let file = std::fs::read(suite("avro/share/data/weather.avro")).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&theirs).build().unwrap();
    let records = apache_avro::Reader::new(&*file).unwrap();
    let lines = std::fs::read_to_string(suite("avro/share/data/weather.json")).unwrap();
    let mut judged = 0;
    for (record, line) in records.zip(lines.lines()) {
        let bytes = writer.write_value_to_vec(record.unwrap()).unwrap();
        let mut text = Vec::new();
        ours.decode(&[], &bytes, 1_000, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), line);
        let document = Document::parse(line.as_bytes(), Limits::default()).unwrap();
        let mut again = Vec::new();
        ours.encode(document.root(), &mut again).unwrap();
        assert_eq!(again, bytes);
        judged += 1;
    }
    assert_eq!(judged, 5);
    for name in ["interop", "fooBar", "FooBarSpecificRecord", "RecordWithRequiredFields", "reserved"] {
        let text = std::fs::read_to_string(suite(&format!("avro/share/schemas/{name}.avsc"))).unwrap();
        Avro::parse(&text, &[]).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}
