//! What a client must remember to come back where it left off.

use serde_json::{Map, Value, json};

use super::Wish;

/// The place of a subscription, as far as it was seen.
#[derive(Debug, Default)]
pub(super) struct Memory {
    connection: Option<String>,
    cursor: Option<String>,
    /// Next offsets of events seen after the cursor: topic, partition, offset.
    positions: Map<String, Value>,
}

impl Memory {
    /// A subscription was answered.
    pub(super) fn begin(&mut self, connection: &str, subscribed: &Value) {
        self.connection = Some(connection.to_owned());
        self.take_cursor(subscribed);
    }

    /// A message was seen.
    pub(super) fn note(&mut self, message: &Value) {
        self.take_cursor(message);
        let is_event = message.get("delivery").is_none();
        let number = |name: &str| message.get(name).and_then(Value::as_u64);
        if let (true, Some(topic), Some(partition), Some(offset)) =
            (is_event, message.get("topic").and_then(Value::as_str), number("partition"), number("offset"))
        {
            let partitions = self.positions.entry(topic).or_insert_with(|| json!({}));
            if let Some(partitions) = partitions.as_object_mut() {
                partitions.insert(partition.to_string(), json!(offset + 1));
            }
        }
    }

    /// The place as `from` has it.
    pub(super) fn place(&self) -> Option<Value> {
        let cursor = self.cursor.as_ref()?;
        Some(if self.positions.is_empty() {
            json!({ "cursor": cursor })
        } else {
            json!({ "cursor": cursor, "positions": self.positions })
        })
    }

    /// The command that subscribes, or subscribes again.
    pub(super) fn subscription(&self, wish: &Wish) -> Value {
        let mut command = json!({ "id": 2, "op": "subscribe" });
        let Some(members) = command.as_object_mut() else { return command };
        let mut set =
            |name: &str, value: Option<Value>| members.extend(value.map(|value| (name.to_owned(), value)));
        match wish {
            Wish::Audience { topics, from, filter } => {
                let resumed = self
                    .cursor
                    .as_ref()
                    .map(|cursor| json!({ "cursor": cursor, "positions": self.positions }));
                set("topics", Some(json!(topics)));
                set("from", resumed.or_else(|| from.clone()));
                set("filter", filter.clone());
            }
            Wish::Worker { group, topics, credit, is_auto } => {
                set("group", Some(json!(group)));
                set("topics", topics.as_ref().map(|topics| json!(topics)));
                set("credit", credit.map(|credit| json!(credit)));
                set("ack", is_auto.then(|| json!("auto")));
                set(
                    "adopt",
                    self.connection.as_ref().filter(|_| !is_auto).map(|connection| json!(connection)),
                );
            }
        }
        command
    }

    /// A cursor holds all that came before it.
    fn take_cursor(&mut self, message: &Value) {
        if let Some(cursor) = message.get("cursor").and_then(Value::as_str) {
            self.cursor = Some(cursor.to_owned());
            self.positions.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Memory, Wish};

    fn audience() -> Wish {
        Wish::Audience { topics: vec!["orders.v1".to_owned()], from: Some(json!("earliest")), filter: None }
    }

    #[test]
    fn the_first_subscription_begins_where_the_user_said() {
        let command = Memory::default().subscription(&audience());
        assert_eq!(command, json!({"id": 2, "op": "subscribe", "topics": ["orders.v1"], "from": "earliest"}));
    }

    #[test]
    fn a_resume_names_the_cursor_and_what_was_seen_since() {
        let mut memory = Memory::default();
        memory.begin("c-1", &json!({"sub": 7, "cursor": "A"}));
        memory.note(&json!({"sub": 7, "topic": "orders.v1", "partition": 0, "offset": 4}));
        memory.note(&json!({"sub": 7, "positions": {"orders.v1": {"0": 5}}, "cursor": "B"}));
        memory.note(&json!({"sub": 7, "topic": "orders.v1", "partition": 1, "offset": 9}));
        assert_eq!(
            memory.subscription(&audience())["from"],
            json!({"cursor": "B", "positions": {"orders.v1": {"1": 10}}})
        );
    }

    #[test]
    fn a_worker_adopts_what_its_last_connection_held() {
        let mut memory = Memory::default();
        let worker = Wish::Worker { group: "g".to_owned(), topics: None, credit: None, is_auto: false };
        assert!(memory.subscription(&worker).get("adopt").is_none());
        memory.begin("c-1", &json!({"sub": 9}));
        assert_eq!(memory.subscription(&worker)["adopt"], "c-1");
    }
}
