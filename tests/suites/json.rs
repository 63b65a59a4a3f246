//! JSONTestSuite: texts that a parser must take, refuse, or may do either with.

use weirgate::event::json::{Document, Error, Limits};

use crate::{files, suite};

/// Texts that the suite takes and we refuse, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("y_object_duplicated_key.json", "parsers disagree on which of the members counts"),
    ("y_object_duplicated_key_and_value.json", "parsers disagree on which of the members counts"),
];

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn texts_are_taken_and_refused_as_the_suite_says() {
    let mut counts = [0; 3];
    for path in files(&suite("json-test-suite/test_parsing")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let body = std::fs::read(&path).unwrap();
        let parsed = Document::parse(&body, Limits::default());
        if REFUSED.iter().any(|(refused, _)| *refused == name) {
            assert!(matches!(parsed, Err(Error::DuplicateMember { .. })), "{name}: {parsed:?}");
            continue;
        }
        match name.split('_').next().unwrap() {
            "y" => {
                counts[0] += 1;
                let expected: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(parsed.unwrap().root().to_owned_value(), expected, "{name}");
            }
            "n" => {
                counts[1] += 1;
                assert!(parsed.is_err(), "{name} was taken");
            }
            "i" => counts[2] += 1,
            _ => panic!("{name} is of no kind"),
        }
    }
    assert!(counts[0] >= 60 && counts[1] >= 120 && counts[2] >= 14, "{counts:?}");
}
