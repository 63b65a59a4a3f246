//! How what is known of letters is held in few bytes: all but those with notes, so that a million settled ones fit. Those
//! of letters that bar others are longer by their ranks.

use bytes::Bytes;

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{PACKED_LONG_BYTES, PACKED_SHORT_BYTES, PackedValue, Packing, Words};

use super::super::key_hash::KeyHash;
use super::super::redrive::Rank;
use super::entry::{self, Entry, KEY_PREFIX};
use super::{DeadLetterState, Settled, Standing};

/// The number of no word: nobody settled it.
const NOBODY: u16 = u16::MAX;
const TIME_BYTES: usize = 6;
const OFFSET: usize = 0;
const PARTITION: usize = OFFSET + 8;
const CHANGED: usize = PARTITION + 4;
const SETTLED: usize = CHANGED + TIME_BYTES;
const TOPIC: usize = SETTLED + TIME_BYTES;
const BY: usize = TOPIC + 2;
const STATE: usize = BY + 2;
const RANK_KEY: usize = STATE + 1;
const RANK_OFFSET: usize = RANK_KEY + KeyHash::BYTES;
const _: () = assert!(RANK_KEY == PACKED_SHORT_BYTES, "all of it is used");
const _: () = assert!(RANK_OFFSET + 8 == PACKED_LONG_BYTES, "all of it is used");

/// Packs entries of letters.
#[derive(Debug)]
pub(super) struct LetterPacking;

impl Packing for LetterPacking {
    fn prefix(&self) -> &'static str {
        KEY_PREFIX
    }

    fn pack(&self, value: &[u8], words: &mut Words) -> Option<PackedValue> {
        let Entry { topic, partition, offset, changed_at, rank, standing } =
            serde_json::from_slice(value).ok()?;
        let Standing { state, settled, notes } = standing;
        if !notes.is_empty() {
            return None;
        }
        let (settled_at, by) = match settled {
            Some(Settled { at, by }) => (millis(at)?, words.number(&by)?),
            None => ([0; TIME_BYTES], NOBODY),
        };
        let state = DeadLetterState::ALL.iter().position(|one| *one == state)?;
        let mut packed = [0; PACKED_LONG_BYTES];
        put(&mut packed, OFFSET, &offset.number().to_be_bytes());
        put(&mut packed, PARTITION, &partition.number().to_be_bytes());
        put(&mut packed, CHANGED, &millis(changed_at)?);
        put(&mut packed, SETTLED, &settled_at);
        put(&mut packed, TOPIC, &words.number(topic.as_str())?.to_be_bytes());
        put(&mut packed, BY, &by.to_be_bytes());
        put(&mut packed, STATE, &[u8::try_from(state).ok()?]);
        let Some(Rank { key, offset }) = rank else { return Some(PackedValue::Short(part(&packed, 0)?)) };
        put(&mut packed, RANK_KEY, &key.bytes());
        put(&mut packed, RANK_OFFSET, &offset.to_be_bytes());
        Some(PackedValue::Long(packed))
    }

    fn unpack(&self, packed: &[u8], words: &Words) -> Option<Bytes> {
        let settled = match u16::from_be_bytes(part(packed, BY)?) {
            NOBODY => None,
            by => Some(Settled { at: time(part(packed, SETTLED)?), by: words.text(by)?.to_owned() }),
        };
        let [state] = part(packed, STATE)?;
        let standing =
            Standing { state: *DeadLetterState::ALL.get(usize::from(state))?, settled, notes: Vec::new() };
        let topic = Topic::parse(words.text(u16::from_be_bytes(part(packed, TOPIC)?))?).ok()?;
        let partition = Partition::new(u32::from_be_bytes(part(packed, PARTITION)?));
        let offset = Offset::new(u64::from_be_bytes(part(packed, OFFSET)?));
        let rank = part(packed, RANK_KEY).zip(part(packed, RANK_OFFSET));
        let rank = rank
            .map(|(key, offset)| Rank { key: KeyHash::from_bytes(key), offset: u64::from_be_bytes(offset) });
        let at = time(part(packed, CHANGED)?);
        let entry = Entry { rank, ..Entry::at((partition, offset), &topic, at, standing) };
        entry::written(&entry).ok()
    }
}

fn put(packed: &mut [u8], at: usize, bytes: &[u8]) {
    packed.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

fn part<const COUNT: usize>(packed: &[u8], at: usize) -> Option<[u8; COUNT]> {
    packed.get(at..at + COUNT)?.try_into().ok()
}

/// A time in six bytes, to the year 10889.
fn millis(at: Timestamp) -> Option<[u8; TIME_BYTES]> {
    let [0, 0, millis @ ..] = u64::try_from(at.millis()).ok()?.to_be_bytes() else { return None };
    Some(millis)
}

fn time(millis: [u8; TIME_BYTES]) -> Timestamp {
    let [first, second, third, fourth, fifth, sixth] = millis;
    Timestamp::from_millis(i64::from_be_bytes([0, 0, first, second, third, fourth, fifth, sixth]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::dead_letters::Note;

    #[test]
    fn every_standing_is_packed_without_loss_and_what_has_notes_is_not() {
        let topic = Topic::parse("orders.v1").unwrap();
        let at = Timestamp::from_millis(1_795_382_073_123);
        let settled = Some(Settled { at, by: "service:shop \"ä\"".to_owned() });
        let ranks = [None, Some((b"".as_slice(), 0)), Some((b"42".as_slice(), u64::MAX))];
        let ranks = ranks.map(|rank| rank.map(|(key, offset)| Rank { key: KeyHash::of(key), offset }));
        let all = DeadLetterState::ALL.into_iter().flat_map(|state| {
            let standings =
                [None, settled.clone()].map(|settled| Standing { state, settled, notes: Vec::new() });
            standings.into_iter().flat_map(|standing| ranks.map(|rank| (standing.clone(), rank)))
        });
        for (standing, rank) in all {
            let place = (Partition::new(u32::MAX), Offset::new(u64::MAX));
            let entry = Entry { rank, ..Entry::at(place, &topic, at, standing) };
            let value = entry::written(&entry).unwrap();
            let mut words = Words::default();
            let packed = LetterPacking.pack(&value, &mut words).unwrap();
            assert_eq!(matches!(packed, PackedValue::Long(_)), rank.is_some(), "{entry:?}");
            assert_eq!(LetterPacking.unpack(packed.as_bytes(), &words), Some(value));

            let mut noted = entry;
            noted.standing.notes =
                vec![Note { at, by: "anna".to_owned(), text: "the SKU is gone".to_owned() }];
            assert_eq!(LetterPacking.pack(&entry::written(&noted).unwrap(), &mut words), None);
        }
        let early = Entry::at(
            (Partition::new(0), Offset::ZERO),
            &topic,
            Timestamp::from_millis(-1),
            Standing::default(),
        );
        assert_eq!(LetterPacking.pack(&entry::written(&early).unwrap(), &mut Words::default()), None);
        assert_eq!(LetterPacking.pack(b"{", &mut Words::default()), None);
    }
}
