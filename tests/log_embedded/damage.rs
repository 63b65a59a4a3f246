//! Files that are damaged, missing or not ours: noticed, told, and never served as if nothing had been there.

use std::fs;

use weirgate::event::Offset;
use weirgate::log::{Error, EventLog as _, Purpose};
use weirgate::log_embedded::{Config, OpenError};

use crate::support::{
    FIRST, SECOND, append, assert_whole, filled, image_of, open, open_at, read, read_all, record, topic,
    value,
};

#[tokio::test]
async fn garbage_after_the_last_commit_is_no_loss() {
    let (_engine, directory) = filled().await;
    let image = image_of(directory.path());
    let wal = image.path().join("weirgate.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes.extend([0x5a; 10_000]);
    fs::write(&wal, bytes).unwrap();
    assert_whole(&open_at(image.path())).await;
}

#[tokio::test]
async fn a_damaged_write_ahead_file_is_noticed_and_told() {
    let (_engine, directory) = filled().await;
    let whole = fs::read(directory.path().join("weirgate.db-wal")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let damages = [
        ("its header", flipped(20)),
        ("its middle", flipped(whole.len() / 2)),
        ("its end", whole[..whole.len() - 1_000].to_vec()),
        ("all but a third", whole[..whole.len() / 3].to_vec()),
        ("everything", Vec::new()),
    ];
    for (what, bytes) in damages {
        let image = image_of(directory.path());
        let wal = image.path().join("weirgate.db-wal");
        fs::write(&wal, bytes).unwrap();
        // Twice, since the first refusal must not tidy the evidence away.
        for _ in 0..2 {
            let error = open(&Config::at(image.path())).expect_err(what);
            assert!(matches!(error, OpenError::Behind { .. }), "{what}: {error:?}");
            assert!(error.to_string().contains("high-water"), "{error}");
        }
        fs::write(&wal, &whole).unwrap();
        assert_whole(&open_at(image.path())).await;
    }
}

#[tokio::test]
async fn a_refusal_names_the_partition_and_can_be_overruled() {
    let (_engine, directory) = filled().await;
    let image = image_of(directory.path());
    let wal = image.path().join("weirgate.db-wal");
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() / 2]).unwrap();
    let error = open(&Config::at(image.path())).unwrap_err().to_string();
    assert!(error.contains("orders.v1/0 ends at offset"), "{error}");
    fs::remove_file(image.path().join("high-water")).unwrap();
    let engine = open_at(image.path());
    let records = read_all(&engine, FIRST).await;
    assert!(!records.is_empty() && records.len() < 150);
    assert!((0..).zip(&records).all(|(number, record)| record.value == Some(value(number))));
}

#[tokio::test]
async fn a_missing_database_is_not_taken_for_a_new_one() {
    let (engine, directory) = filled().await;
    engine.close().await;
    fs::remove_file(directory.path().join("weirgate.db")).unwrap();
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::Behind { commits: 0, .. }), "{error:?}");
}

#[tokio::test]
async fn some_other_file_is_not_taken_for_a_database() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("weirgate.db"), "not a database, but long enough to be one".repeat(200))
        .unwrap();
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_database_is_an_error_and_not_a_record() {
    let (engine, directory) = filled().await;
    engine.close().await;
    let database = directory.path().join("weirgate.db");
    let mut bytes = fs::read(&database).unwrap();
    let wanted = value(100);
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    bytes[at + 5] ^= 1;
    fs::write(&database, bytes).unwrap();

    let engine = open_at(directory.path());
    let mut damaged = 0;
    for partition in [FIRST, SECOND] {
        let mut reader = engine.reader(&topic(), partition, Offset::ZERO, Purpose::CatchUp).await.unwrap();
        loop {
            match reader.next(100_000).await {
                Ok(fetched) => {
                    for record in &fetched.records {
                        assert_eq!(record.value, Some(value(record.offset.number())));
                    }
                    if fetched.next == fetched.end {
                        break;
                    }
                }
                Err(Error::Corrupt { offset, .. }) => {
                    damaged += 1;
                    assert!(offset <= Offset::new(100), "{offset}");
                    break;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    assert_eq!(damaged, 1);
    // What lies behind the damage can still be read, and written.
    assert_eq!(read(&engine, FIRST, Offset::new(101), Purpose::CatchUp).await.unwrap().len(), 49);
    engine.append(append(FIRST, vec![record(150)])).await.unwrap();
}
