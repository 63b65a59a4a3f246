//! Two gateways that register schemas at once, on whatever log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weirgate::event::Subject;
use weirgate::log::EventLog;
use weirgate::schema::registry::{Kind, Level, Registration, Registry, Settings};

const SCHEMAS: u32 = 6;

/// A registry of a gateway on this log.
pub(crate) async fn registry(log: Arc<dyn EventLog>) -> Registry {
    let (registry, keeper) = Registry::new();
    keeper.open(log).await;
    registry
}

/// A schema that only the namesakes of `run` have.
pub(crate) fn registration(run: &str, number: u32) -> Registration {
    let text = format!(r#"{{"title":"{run} {number}"}}"#);
    Registration { kind: Kind::Json, text, ..Registration::default() }
}

/// Each of two gateways registers the same schemas, under a subject of their own each and all under one; whoever is
/// first, every schema has one id and no id two schemas, and the shared subject has every schema once.
pub(crate) async fn race(run: &str, gateways: [Registry; 2]) {
    let shared = Subject::parse(&format!("{run}-shared")).unwrap();
    let mut racing = Vec::new();
    for registry in &gateways {
        registry
            .set_settings(Some(&shared), Settings { compatibility: Some(Level::None), policy: None })
            .await
            .unwrap();
        for number in 0..SCHEMAS {
            let (registry, run, shared) = (registry.clone(), run.to_owned(), shared.clone());
            racing.push(tokio::spawn(async move {
                let registration = registration(&run, number);
                let own = Subject::parse(&format!("{run}-{number}")).unwrap();
                let there = registry.register(&shared, &registration).await.unwrap().versioned;
                let here = registry.register(&own, &registration).await.unwrap().versioned;
                assert_eq!(here.version.number(), 1);
                (number, [there.id, here.id], there.version)
            }));
        }
    }
    let (mut ids, mut versions) = (BTreeMap::new(), BTreeMap::new());
    for registering in racing {
        let (number, given, version) = registering.await.unwrap();
        for id in given {
            assert_eq!(*ids.entry(number).or_insert(id), id, "a schema has one id");
        }
        assert_eq!(*versions.entry(number).or_insert(version), version, "and one version of a subject");
    }
    assert_eq!(ids.values().collect::<BTreeSet<_>>().len(), SCHEMAS as usize, "an id has one schema");
    assert_eq!(versions.values().collect::<BTreeSet<_>>().len(), SCHEMAS as usize);
    for (number, id) in ids {
        for registry in &gateways {
            let content = registry.schema(id).await.unwrap();
            assert_eq!(content.text, registration(run, number).text);
        }
    }
}
