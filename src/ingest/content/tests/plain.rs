//! JSON and CBOR by path.

use super::*;

#[test]
fn scalars_are_named_by_their_path() {
    let got = plain(r#"{"motor":{"rpm":[1480,1475.5],"on":true,"fault":null},"label":"north","e":[[],{}]}"#);
    let expected = vec![
        number("motor/rpm/0", "", NOW_MS, 1480.0),
        number("motor/rpm/1", "", NOW_MS, 1475.5),
        reading("motor/on", "", NOW_MS, Value::Boolean(true)),
        reading("label", "", NOW_MS, Value::String("north".into())),
    ];
    assert_eq!(got, Ok(expected));
}

#[test]
fn indices_count_what_is_skipped() {
    assert_eq!(plain("[null,[],2]"), Ok(vec![number("2", "", NOW_MS, 2.0)]));
}

#[test]
fn keys_are_escaped_as_in_a_json_pointer() {
    let names = |json: &str| plain(json).unwrap().into_iter().map(|reading| reading.name).collect::<Vec<_>>();
    assert_eq!(names(r#"{"a/b":1,"m~n":2,"~1":3,"a":{"":4}}"#), ["a~1b", "m~0n", "~01", "a/"]);
    assert_eq!(names(r#"{"":{"a":1},"Temp °C":2}"#), ["/a", "Temp °C"]);
}

#[test]
fn a_scalar_alone_is_named_value() {
    assert_eq!(plain(" 21.5\n"), Ok(vec![number("value", "", NOW_MS, 21.5)]));
    assert_eq!(plain("null"), Ok(vec![]));
    assert_eq!(plain_cbor("f5"), Ok(vec![reading("value", "", NOW_MS, Value::Boolean(true))]));
}

#[test]
fn numbers_are_the_nearest_doubles() {
    for text in ["0.1", "1e23", "-7.2057594037927933e16", "9007199254740993", "18446744073709551617", "5e-324"] {
        assert_eq!(plain(text), Ok(vec![number("value", "", NOW_MS, text.parse().unwrap())]), "{text}");
    }
}

#[test]
fn cbor_is_read_by_the_same_rules() {
    // {"rpm": [1480, -1], "half": 1.5 (f16), "single": 1.5 (f32), "raw": h'00ff', "none": undefined, 7: "x"}
    let got = plain_cbor(
        "a6 63 72706d 82 1905c8 20 64 68616c66 f93e00 66 73696e676c65 fa3fc00000 63 726177 4200ff 64 6e6f6e65 f7 07 6178",
    );
    let expected = vec![
        number("rpm/0", "", NOW_MS, 1480.0),
        number("rpm/1", "", NOW_MS, -1.0),
        number("half", "", NOW_MS, 1.5),
        number("single", "", NOW_MS, 1.5),
        reading("raw", "", NOW_MS, Value::Data("AP8".into())),
        reading("7", "", NOW_MS, Value::String("x".into())),
    ];
    assert_eq!(got, Ok(expected));
}

#[test]
fn indefinite_lengths_are_read() {
    // {_ "a": [_ 1, 2], "b": (_ "x", "y"), "c": (_ h'00', h'ff')}
    let got = plain_cbor("bf 6161 9f 01 02 ff 6162 7f 6178 6179 ff 6163 5f 4100 41ff ff ff");
    let expected = vec![
        number("a/0", "", NOW_MS, 1.0),
        number("a/1", "", NOW_MS, 2.0),
        reading("b", "", NOW_MS, Value::String("xy".into())),
        reading("c", "", NOW_MS, Value::Data("AP8".into())),
    ];
    assert_eq!(got, Ok(expected));
}

#[test]
fn tags_on_scalars_are_passed_over() {
    // 55799({"t": 0("2026"), "n": 1(5)})
    let got = plain_cbor("d9d9f7 a2 6174 c0 64 32303236 616e c1 05");
    let expected = vec![reading("t", "", NOW_MS, Value::String("2026".into())), number("n", "", NOW_MS, 5.0)];
    assert_eq!(got, Ok(expected));
}

#[test]
fn decimal_fractions_are_computed() {
    let number_of = |hex: &str| plain_cbor(hex).map(|readings| readings[0].value.clone());
    assert_eq!(number_of("c4 82 21 19 6ab3"), Ok(Some(Value::Number(273.15))));
    assert_eq!(number_of("c4 9f 00 0c ff"), Ok(Some(Value::Number(12.0))));
    // 2^64 - 1 at an exponent of -2^64
    assert_eq!(number_of("c4 82 3bffffffffffffffff 1bffffffffffffffff"), Ok(Some(Value::Number(0.0))));
}

#[test]
fn bytes_without_a_meaning_are_kept_in_the_envelope_alone() {
    assert_eq!(decode(Some(OCTET_STREAM), &[0, 255], NOW_MS), Ok(vec![]));
    assert_eq!(decode(Some(OCTET_STREAM), &[], NOW_MS), Ok(vec![]));
}
