//! The sample schemas, built in: what a development gateway judges by where there is no folder of schemas.

use crate::event::EventType;

/// Path below the folder, and content.
pub(super) const SAMPLES: [(&str, &[u8]); 6] = [
    ("audit/event/logged/v1.json", include_bytes!("../../schemas/audit/event/logged/v1.json")),
    ("auth/login/success/v1.json", include_bytes!("../../schemas/auth/login/success/v1.json")),
    ("orders/cancelled/v1.json", include_bytes!("../../schemas/orders/cancelled/v1.json")),
    ("orders/placed/v1.json", include_bytes!("../../schemas/orders/placed/v1.json")),
    ("shop/common.json", include_bytes!("../../schemas/shop/common.json")),
    ("user/created/v1.json", include_bytes!("../../schemas/user/created/v1.json")),
];

/// Data of each type that satisfies its schema: the first valid example of the folder.
const EXAMPLES: [(&str, &[u8]); 5] = [
    (
        "audit.event.logged.v1",
        include_bytes!("../../schemas/audit/event/logged/v1.examples/valid/allowed.json"),
    ),
    ("auth.login.success.v1", include_bytes!("../../schemas/auth/login/success/v1.examples/valid/ipv4.json")),
    ("orders.cancelled.v1", include_bytes!("../../schemas/orders/cancelled/v1.examples/valid/minimal.json")),
    ("orders.placed.v1", include_bytes!("../../schemas/orders/placed/v1.examples/valid/full.json")),
    ("user.created.v1", include_bytes!("../../schemas/user/created/v1.examples/valid/full.json")),
];

/// Data of a sample type.
pub(super) fn example(event_type: &EventType) -> Option<serde_json::Value> {
    let (_, bytes) = EXAMPLES.into_iter().find(|(name, _)| *name == event_type.as_str())?;
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::examples::first_valid;
    use super::super::folder::{Folder, read};
    use super::super::{Absent, Config, Schemas, Store};
    use super::{EXAMPLES, SAMPLES};

    #[test]
    fn every_schema_of_the_folder_is_built_in() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
        let (Folder { files, .. }, errors) = read(folder);
        assert!(errors.is_empty(), "{errors:?}");
        let on_disk = files.iter().map(|file| file.path.strip_prefix(folder).unwrap().to_str().unwrap());
        assert_eq!(on_disk.collect::<Vec<_>>(), SAMPLES.map(|(path, _)| path));
    }

    #[test]
    fn the_samples_are_shown_with_the_examples_of_the_folder() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
        let absent = folder.join("absent");
        let schemas =
            Schemas::load(&Config { store: Store::Folder, directory: absent, absent: Absent::Samples })
                .unwrap();
        for event_type in schemas.event_types() {
            let example = schemas.contract(&event_type).unwrap().example.clone();
            assert_eq!(example, first_valid(folder, &event_type), "{event_type}");
            assert!(example.is_some());
        }
        assert_eq!(schemas.event_types().len(), EXAMPLES.len());
    }

    #[test]
    fn samples_stand_in_only_where_that_is_wanted_and_there_is_no_folder() {
        let directory = tempfile::tempdir().unwrap();
        let there =
            Config { store: Store::Folder, directory: directory.path().to_owned(), absent: Absent::Samples };
        assert_eq!(Schemas::load(&there).unwrap().event_types().len(), 0);
        let absent = Config {
            store: Store::Folder,
            directory: directory.path().join("schemas"),
            absent: Absent::Samples,
        };
        assert_eq!(Schemas::load(&absent).unwrap().event_types().len(), 5);
        let errors = Schemas::load(&Config { absent: Absent::Refused, ..absent }).unwrap_err();
        assert!(errors[0].to_string().ends_with("schemas: there is no such folder"), "{errors:?}");
    }
}
