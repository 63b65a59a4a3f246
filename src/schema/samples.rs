//! The sample schemas, built in: what a development gateway judges by where there is no folder of schemas.

/// Path below the folder, and content.
pub(super) const SAMPLES: [(&str, &[u8]); 6] = [
    ("audit/event/logged/v1.json", include_bytes!("../../schemas/audit/event/logged/v1.json")),
    ("auth/login/success/v1.json", include_bytes!("../../schemas/auth/login/success/v1.json")),
    ("orders/cancelled/v1.json", include_bytes!("../../schemas/orders/cancelled/v1.json")),
    ("orders/placed/v1.json", include_bytes!("../../schemas/orders/placed/v1.json")),
    ("shop/common.json", include_bytes!("../../schemas/shop/common.json")),
    ("user/created/v1.json", include_bytes!("../../schemas/user/created/v1.json")),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::folder::read;
    use super::super::{Absent, Config, Schemas, Store};
    use super::SAMPLES;

    #[test]
    fn every_schema_of_the_folder_is_built_in() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
        let (files, errors) = read(folder);
        assert!(errors.is_empty(), "{errors:?}");
        let on_disk = files.iter().map(|file| file.path.strip_prefix(folder).unwrap().to_str().unwrap());
        assert_eq!(on_disk.collect::<Vec<_>>(), SAMPLES.map(|(path, _)| path));
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
