//! The bounds, from both sides.

use super::*;

#[test]
fn a_thousand_records_and_no_more() {
    let of = |count: usize| senml(&format!("[{}]", vec![r#"{"n":"a","v":1}"#; count].join(",")));
    assert_eq!(of(1_000).map(|readings| readings.len()), Ok(1_000));
    assert_eq!(fault(of(1_001)), Fault::TooManyRecords);
    let base_alone = format!("[{}]", vec![r#"{"bv":1}"#; 1_001].join(","));
    assert_eq!(fault(senml(&base_alone)), Fault::TooManyRecords);
}

#[test]
fn a_thousand_readings_by_path_and_no_more() {
    let of = |count: usize| plain(&format!("[null,{}]", vec!["1"; count].join(",")));
    assert_eq!(of(1_000).map(|readings| readings.len()), Ok(1_000));
    assert_eq!(fault(of(1_001)), Fault::TooManyReadings);
}

#[test]
fn names_of_256_bytes_and_no_more() {
    let of = |own: usize| senml(&format!(r#"[{{"bn":"{}","n":"{}","v":1}}]"#, "b".repeat(200), "n".repeat(own)));
    assert_eq!(of(56).unwrap()[0].name.len(), 256);
    assert_eq!(fault(of(57)), Fault::LongName);
    let of = |key: usize| plain(&format!(r#"{{"a":{{"{}":1}}}}"#, "k".repeat(key)));
    assert_eq!(of(254).unwrap()[0].name.len(), 256);
    assert_eq!(fault(of(255)), Fault::LongName);
}

#[test]
fn units_of_64_bytes_and_no_more() {
    for label in ["u", "bu"] {
        let of = |unit: String| senml(&format!(r#"[{{"n":"a","{label}":"{unit}","v":1}}]"#));
        assert_eq!(of("u".repeat(64)).unwrap()[0].unit.as_deref().map(str::len), Some(64));
        assert_eq!(fault(of("u".repeat(65))), Fault::LongUnit);
        assert_eq!(fault(of("\u{b0}".repeat(33))), Fault::LongUnit, "bytes count, not characters");
    }
}

#[test]
fn nesting_of_32_levels_and_no_more() {
    let json = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(plain(&json(32)), Ok(vec![]));
    assert_eq!(fault(plain(&json(33))), Fault::TooDeep);
    assert_eq!(plain_cbor(&format!("{}80", "81".repeat(31))), Ok(vec![]));
    assert_eq!(fault(plain_cbor(&format!("{}80", "81".repeat(32)))), Fault::TooDeep);
    let in_senml = |depth: usize| senml(&format!(r#"[{{"n":"a","v":1,"x":{}}}]"#, json(depth)));
    assert!(in_senml(32).is_ok());
    assert_eq!(fault(in_senml(33)), Fault::TooDeep);
}

#[test]
fn the_deepest_that_64_kib_can_hold_is_refused_without_a_stack_overflow() {
    assert_eq!(fault(plain(&"[".repeat(65_536))), Fault::TooDeep);
    assert_eq!(fault(plain(&r#"{"a":"#.repeat(13_000))), Fault::TooDeep);
    for opening in ["81", "9f", "a161 61", "bf61 61"] {
        assert_eq!(fault(plain_cbor(&opening.repeat(16_384))), Fault::TooDeep, "{opening}");
    }
    assert_eq!(fault(plain_cbor(&"c6".repeat(65_536))), Fault::Truncated);
    assert_eq!(fault(plain_cbor(&"c482".repeat(32_768))), Fault::BadDecimal);
    assert_eq!(fault(plain_cbor(&"a1c482".repeat(21_845))), Fault::BadDecimal);
}

#[test]
fn a_claimed_length_sets_nothing_aside() {
    for hex in ["9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "7bffffffffffffffff", "9affffffff f6"]
    {
        assert!(matches!(fault(plain_cbor(hex)), Fault::Truncated | Fault::NotCbor), "{hex}");
    }
    assert_eq!(fault(senml_cbor("9bffffffffffffffff")), Fault::Truncated);
    assert_eq!(fault(senml_cbor("81 bbffffffffffffffff 00 61 61")), Fault::Truncated);
}
