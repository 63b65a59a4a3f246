//! What findings are called and what a person can do about them.

use super::differ::{Finding, Rule, Step};
use super::{Difference, Direction};

/// The finding as told, by who reads and who writes.
pub(super) fn difference(finding: &Finding, direction: Direction) -> Difference {
    let (reader, writer) = direction.sides();
    Difference {
        rule: name(finding.rule),
        direction,
        pointer: finding.pointer.clone(),
        path: path(&finding.path),
        message: message(finding, reader, writer),
        fix: fix(finding.rule, direction).to_owned(),
    }
}

fn path(steps: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Element(index) => format!("/{index}"),
    };
    steps.iter().map(step).collect()
}

const fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::AdditionalNarrowed => "additional_properties_narrowed",
        Rule::BranchRemoved => "alternative_removed",
        Rule::ConditionChanged => "condition_changed",
        Rule::ContainsChanged => "contains_changed",
        Rule::DependencyAdded => "dependency_added",
        Rule::EnumAdded => "enum_added",
        Rule::EnumValueRemoved => "enum_value_removed",
        Rule::Forbidden => "value_forbidden",
        Rule::FormatChanged => "format_changed",
        Rule::MaximumLowered => "maximum_lowered",
        Rule::MaxItemsLowered => "max_items_lowered",
        Rule::MaxLengthLowered => "max_length_lowered",
        Rule::MaxPropertiesLowered => "max_properties_lowered",
        Rule::MinimumRaised => "minimum_raised",
        Rule::MinItemsRaised => "min_items_raised",
        Rule::MinLengthRaised => "min_length_raised",
        Rule::MinPropertiesRaised => "min_properties_raised",
        Rule::MultipleOfChanged => "multiple_of_changed",
        Rule::NamesNarrowed => "property_names_narrowed",
        Rule::NotChanged => "not_changed",
        Rule::OneOfChanged => "one_of_changed",
        Rule::PatternChanged => "pattern_changed",
        Rule::PropertyAddedToOpen => "property_added_to_open_content",
        Rule::PropertyRefused => "property_refused",
        Rule::RequiredAdded => "required_added",
        Rule::TypeNarrowed => "type_narrowed",
        Rule::UniqueItemsAdded => "unique_items_added",
        Rule::Unfollowed => "not_proved",
    }
}

fn message(finding: &Finding, reader: &str, writer: &str) -> String {
    let (wants, has) = (&finding.reader, &finding.writer);
    match finding.rule {
        Rule::RequiredAdded => format!("{reader} requires {wants}, {writer} does not"),
        Rule::DependencyAdded => format!("{reader} requires {wants}, {writer} does not"),
        Rule::PropertyRefused => format!("{reader} refuses {wants}, which {writer} allows"),
        Rule::PropertyAddedToOpen => {
            format!(
                "{reader} says what {wants} is; {writer} lets it be anything, as it allows unnamed members"
            )
        }
        Rule::AdditionalNarrowed => format!("{reader} wants unnamed members to be {wants}, {writer} any"),
        Rule::EnumValueRemoved => format!("{reader} refuses the value {wants}, which {writer} lists"),
        Rule::EnumAdded => format!("{reader} allows only {wants}, {writer} has {has}"),
        Rule::TypeNarrowed => format!("{reader} allows {wants}, {writer} also {has}"),
        Rule::Forbidden => format!("{reader} allows {wants} here, {writer} {has}"),
        Rule::BranchRemoved => {
            format!("none of the alternatives of {reader} was shown to take all that {writer} allows here")
        }
        Rule::OneOfChanged => {
            format!("two alternatives of {reader} may hold at once for what {writer} allows, and one must")
        }
        Rule::ConditionChanged => {
            format!("what {reader} asks under its condition does not follow from {writer}")
        }
        Rule::ContainsChanged => format!("{reader} wants an array to contain {wants}, {writer} does not"),
        Rule::NamesNarrowed => format!("{reader} wants names of members to be {wants}, {writer} does not"),
        Rule::NotChanged => format!("{reader} refuses what is {wants}, {writer} does not"),
        Rule::UniqueItemsAdded => format!("{reader} allows no equal elements, {writer} does"),
        Rule::Unfollowed => format!("that {reader} takes what {writer} allows could not be proved: {wants}"),
        Rule::FormatChanged | Rule::PatternChanged | Rule::MultipleOfChanged => {
            format!("{reader} wants {wants}, {writer} has {has}")
        }
        Rule::MaximumLowered
        | Rule::MaxItemsLowered
        | Rule::MaxLengthLowered
        | Rule::MaxPropertiesLowered => format!("{reader} allows at most {wants}, {writer} {has}"),
        Rule::MinimumRaised | Rule::MinItemsRaised | Rule::MinLengthRaised | Rule::MinPropertiesRaised => {
            format!("{reader} wants at least {wants}, {writer} {has}")
        }
    }
}

const fn fix(rule: Rule, direction: Direction) -> &'static str {
    use Direction::{Backward, Forward};
    match (rule, direction) {
        (Rule::RequiredAdded, Backward) => "leave it optional, or give it a default",
        (Rule::RequiredAdded, Forward) => "keep it required",
        (Rule::DependencyAdded, Backward) => "leave it out, and check it where the event is used",
        (Rule::DependencyAdded, Forward) => "keep it",
        (Rule::PropertyRefused, Backward) => {
            "keep the member, or allow unnamed ones; the policy LENIENT passes over additionalProperties: false"
        }
        (Rule::PropertyRefused, Forward) => {
            "readers of the old schema allow no new members; the policy LENIENT passes over additionalProperties: false"
        }
        (Rule::PropertyAddedToOpen, _) => {
            "use the policy LENIENT, which lets writers send no unnamed members, or set additionalProperties to false in the older version"
        }
        (Rule::EnumValueRemoved, Backward) => "keep the value; old events have it",
        (Rule::EnumValueRemoved, Forward) => {
            "readers of the old schema do not know the value; bring it with a new version of the type"
        }
        (Rule::TypeNarrowed, Backward) => "keep the type, or allow both",
        (Rule::TypeNarrowed, Forward) => "keep the type; readers of the old schema know no other",
        (Rule::BranchRemoved | Rule::OneOfChanged, _) => {
            "tell alternatives apart by a required member with a const, and change one of them at a time"
        }
        (Rule::Unfollowed, _) => "make the change in smaller steps, or write it with plainer keywords",
        (_, Backward) => "keep what the old schema allows; else it is a new version of the type (v2)",
        (_, Forward) => "write no more than the old schema allows; else it is a new version of the type (v2)",
    }
}
