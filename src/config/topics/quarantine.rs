//! Which topics keep refused events: topics of the file, and none that has a quarantine of its own.

use std::collections::{HashMap, HashSet};

use crate::config::section::Section;
use crate::event::{Topic, TopicRule};

/// Reads `quarantine` of a topic's `schema`; what the section does not say stays, null is none.
pub(super) fn read(schema: &Section<'_>, rule: &mut TopicRule) {
    let said = schema.optional("quarantine", "the name of a topic", |text| Topic::parse(text).ok());
    if !schema.is_default("quarantine") {
        rule.quarantine = said;
    }
}

/// Notes quarantines that cannot be, and lets a topic that keeps refused events inherit none. `own` are the indexes of
/// topics that name a quarantine themselves.
pub(super) fn check(root: &Section<'_>, rules: &mut [TopicRule], own: &HashSet<usize>, defaults: &TopicRule) {
    let by_schema: HashMap<Topic, bool> =
        rules.iter().map(|rule| (rule.topic.clone(), rule.is_by_schema())).collect();
    let unfit = |topic: &Topic| match by_schema.get(topic) {
        None => Some(format!("topic '{topic}' is not among the topics")),
        Some(true) => Some(format!(
            "topic '{topic}' holds data as its schema has it (schema.format, schema.wire), which refused data has not"
        )),
        Some(false) => None,
    };
    if let Some(problem) = defaults.quarantine.as_ref().and_then(unfit) {
        root.mistake_below("topic_defaults.schema.quarantine", &problem);
    }
    let keeping: HashSet<Topic> =
        rules.iter().chain([defaults]).filter_map(|rule| rule.quarantine.clone()).collect();
    for (index, rule) in rules.iter_mut().enumerate() {
        let Some(topic) = rule.quarantine.clone() else { continue };
        let is_keeping = keeping.contains(&rule.topic);
        if !own.contains(&index) {
            rule.quarantine = rule.quarantine.take().filter(|_| !is_keeping);
            continue;
        }
        let problem = if topic == rule.topic {
            "a topic cannot keep its own refused events".to_owned()
        } else if let Some(problem) = unfit(&topic) {
            problem
        } else if is_keeping {
            format!("topic '{}' keeps refused events of others, and so keeps none of its own", rule.topic)
        } else {
            continue;
        };
        root.mistake_below(&format!("topics[{index}].schema.quarantine"), &problem);
    }
}
