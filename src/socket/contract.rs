//! Holds `asyncapi/asyncapi-base.yaml` to the code: the same messages and the same close codes, both ways.

use std::collections::BTreeSet;

use crate::problem::CloseCode;

use super::{command::Op, push};

const CONTRACT: &str = include_str!("../../asyncapi/asyncapi-base.yaml");

/// The names of the messages of one kind: `name` stands in the line before `x-kind`.
fn messages(kind: &str) -> BTreeSet<&'static str> {
    let lines: Vec<&str> = CONTRACT.lines().map(str::trim).collect();
    let is_of_kind = |pair: &&[&str]| pair[1].strip_prefix("x-kind: ") == Some(kind);
    lines.windows(2).filter(is_of_kind).filter_map(|pair| pair[0].strip_prefix("name: ")).collect()
}

#[test]
fn the_contract_has_every_command_and_no_other() {
    assert_eq!(messages("command"), Op::ALL.iter().map(|op| op.as_str()).collect());
}

#[test]
fn the_contract_has_every_push_and_no_other() {
    assert_eq!(messages("push"), push::KINDS.iter().copied().collect());
}

#[test]
fn the_contract_has_every_close_code_with_its_reason_and_no_other() {
    let lines: Vec<&str> = CONTRACT.lines().map(str::trim).collect();
    let is_code = |pair: &&[&str]| pair[0].starts_with("- code: ");
    let listed: BTreeSet<(String, String)> = lines
        .windows(2)
        .filter(is_code)
        .map(|pair| (pair[0].replace("- code: ", ""), pair[1].replace("reason: ", "")))
        .collect();
    let codes = CloseCode::ALL.iter().map(|code| (code.number().to_string(), code.reason().to_owned()));
    assert_eq!(listed, codes.collect());
}
