//! Kafka's murmur2: keys, hashes and partitions of the Java client.

use weirgate::event::{murmur2, partition_of};

use crate::json_lines;

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn every_key_lands_where_the_java_client_puts_it() {
    let cases = json_lines("kafka-murmur2/murmur2.jsonl");
    assert!(cases.len() > 100);
    for case in cases {
        let key = bytes(case["key_hex"].as_str().unwrap());
        assert_eq!(u64::from(murmur2(&key) & 0x7fff_ffff), case["positive"].as_u64().unwrap(), "{case}");
        assert_eq!(i64::from(murmur2(&key).cast_signed()), case["murmur2"].as_i64().unwrap(), "{case}");
        for (count, partition) in case["partition"].as_object().unwrap() {
            let chosen = partition_of(&key, count.parse().unwrap());
            assert_eq!(u64::from(chosen.number()), partition.as_u64().unwrap(), "{case}");
        }
    }
}
