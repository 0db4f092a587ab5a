//! What is refused, each with its fault.

use super::*;

#[test]
fn formats_that_are_not_read() {
    assert_eq!(fault(decode(None, b"{}", NOW_MS)), Fault::NoFormat);
    for format in [0, 41, 111, 113, 65535] {
        assert_eq!(fault(decode(Some(format), b"{}", NOW_MS)), Fault::UnknownFormat(format));
    }
}

#[test]
fn empty_payloads() {
    for format in [JSON, CBOR, SENML_JSON, SENML_CBOR] {
        assert_eq!(fault(decode(Some(format), b"", NOW_MS)), Fault::Empty);
    }
}

#[test]
fn text_that_is_not_json() {
    for json in [r#"{"a":}"#, "{a:1}", "[1,]", "NaN", "1e400", "01", "\"\t\"", r#""\ud800""#, "\u{feff}1", "'a'"] {
        assert_eq!(fault(plain(json)), Fault::NotJson, "{json}");
    }
    for json in [r#"{"a":1"#, "[", "\"a", "tru", " "] {
        assert_eq!(fault(plain(json)), Fault::Truncated, "{json}");
    }
    assert_eq!(fault(plain("{} x")), Fault::Trailing);
    assert_eq!(fault(senml(r#"[{"n":"a","v":1}]]"#)), Fault::Trailing);
    assert_eq!(fault(decode(Some(JSON), b"\"\xff\"", NOW_MS)), Fault::NotUtf8);
}

#[test]
fn bytes_that_are_not_cbor() {
    for (hex, why) in [
        ("ff", "a break without a start"),
        ("1c", "a reserved length"),
        ("a1 6161 ff", "a break for a value"),
        ("bf 6161 ff", "a map that ends after a key"),
        ("62 c328", "not UTF-8"),
        ("7f 41 00 ff", "a byte string as a part of a text"),
        ("5f 5f 4100 ff ff", "an indefinite part of an indefinite byte string"),
    ] {
        assert!(matches!(fault(plain_cbor(hex)), Fault::NotCbor | Fault::OddKey), "{why}");
    }
    for hex in ["82 01", "61", "18", "a1", "a1 6161", "9f 01", "fb 0000", "c4", "c4 82 01"] {
        assert_eq!(fault(plain_cbor(hex)), Fault::Truncated, "{hex}");
    }
    assert_eq!(fault(plain_cbor("01 01")), Fault::Trailing);
    assert_eq!(fault(plain_cbor("f0")), Fault::UnknownSimple);
    assert_eq!(fault(plain_cbor("f8 ff")), Fault::UnknownSimple);
}

#[test]
fn cbor_numbers_of_another_kind() {
    for (hex, tag) in [("c2 41 01", 2), ("c3 41 01", 3), ("c5 82 01 02", 5), ("d81e 82 01 02", 30), ("c1 c2 41 01", 2)]
    {
        assert_eq!(fault(plain_cbor(hex)), Fault::UnknownTag(tag), "{hex}");
    }
    for hex in ["c4 01", "c4 81 01", "c4 83 01 02 03", "c4 82 01 f93e00", "c4 82 01 c2 41 01", "c4 80"] {
        assert!(matches!(fault(plain_cbor(hex)), Fault::BadDecimal | Fault::UnknownTag(2)), "{hex}");
    }
}

#[test]
fn numbers_that_are_not_finite() {
    for hex in
        ["f97e00", "f97c00", "f9fc00", "fa7f800000", "fb7ff0000000000000", "fb7ff8000000000000", "c4 82 190fff 01"]
    {
        assert_eq!(fault(plain_cbor(hex)), Fault::NotFinite, "{hex}");
    }
    assert_eq!(fault(senml(r#"[{"n":"a","bv":1e308,"v":1e308}]"#)), Fault::NotFinite);
    assert_eq!(fault(senml(r#"[{"n":"a","bs":1e308,"s":1e308}]"#)), Fault::NotFinite);
    assert_eq!(fault(senml_cbor("81 a2 00 61 61 02 f97e00")), Fault::NotFinite);
    assert_eq!(fault(senml_cbor("81 a3 00 61 61 02 01 07 f97c00")), Fault::NotFinite);
}

#[test]
fn strings_with_a_nul() {
    for json in [r#"{"a":"x\u0000"}"#, r#"{"a\u0000":1}"#, r#"{"a\u0000":null}"#, r#""\u0000""#] {
        assert_eq!(fault(plain(json)), Fault::Nul, "{json}");
    }
    assert_eq!(fault(plain_cbor("61 00")), Fault::Nul);
    for field in [r#""vs":"\u0000""#, r#""v":1,"u":"\u0000""#, r#""v":1,"bu":"\u0000""#, r#""v":1,"bn":"\u0000""#] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"a",{field}}}]"#))), Fault::Nul, "{field}");
    }
}

#[test]
fn keys_that_come_twice() {
    for json in [r#"{"a":1,"a":2}"#, r#"{"a":null,"\u0061":1}"#, r#"[{"a":{},"b":0,"a":[]}]"#] {
        assert_eq!(fault(plain(json)), Fault::RepeatedKey, "{json}");
    }
    for json in
        [r#"[{"n":"a","v":1,"v":1}]"#, r#"[{"n":"a","v":1,"x":1,"x":1}]"#, r#"[{"n":"a","v":1,"x":{"y":1,"y":2}}]"#]
    {
        assert_eq!(fault(senml(json)), Fault::RepeatedKey, "{json}");
    }
    assert_eq!(fault(plain_cbor("a2 01 01 61 31 02")), Fault::RepeatedKey);
    assert_eq!(fault(senml_cbor("81 a3 00 61 61 02 01 61 76 02")), Fault::RepeatedKey);
}

#[test]
fn keys_that_name_nothing() {
    assert_eq!(fault(plain(r#"{"":1}"#)), Fault::NoName);
    for hex in ["a1 f5 01", "a1 41 61 01", "a1 80 01", "a1 f93e00 01", "a1 f6 01"] {
        assert_eq!(fault(plain_cbor(hex)), Fault::OddKey, "{hex}");
    }
}

#[test]
fn documents_that_are_no_senml() {
    for json in ["{}", "1", "null", r#""[]""#, "[1]", "[[]]", r#"[{"n":"a","v":1},null]"#] {
        assert_eq!(fault(senml(json)), Fault::NotAPack, "{json}");
    }
    for hex in ["a0", "01", "81 01", "81 80", "c1 81 a0"] {
        assert_eq!(fault(senml_cbor(hex)), Fault::NotAPack, "{hex}");
    }
    assert_eq!(fault(senml("[]")), Fault::EmptyPack);
    assert_eq!(fault(senml_cbor("80")), Fault::EmptyPack);
    assert_eq!(fault(senml_cbor("9f ff")), Fault::EmptyPack);
}

#[test]
fn fields_of_another_type() {
    for (field, label) in [
        (r#""bn":1"#, Label::BaseName),
        (r#""bt":"1""#, Label::BaseTime),
        (r#""bu":null"#, Label::BaseUnit),
        (r#""bv":true"#, Label::BaseValue),
        (r#""bs":[]"#, Label::BaseSum),
        (r#""bver":"10""#, Label::BaseVersion),
        (r#""bver":10.0"#, Label::BaseVersion),
        (r#""u":{}"#, Label::Unit),
        (r#""v":"21.5""#, Label::Value),
        (r#""v":[1]"#, Label::Value),
        (r#""v":null"#, Label::Value),
        (r#""vs":1"#, Label::StringValue),
        (r#""vb":0"#, Label::BooleanValue),
        (r#""vd":1"#, Label::DataValue),
        (r#""s":"1""#, Label::Sum),
        (r#""t":"now""#, Label::Time),
        (r#""ut":false"#, Label::UpdateTime),
    ] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"a",{field}}}]"#))), Fault::WrongType(label), "{field}");
    }
    assert_eq!(fault(senml(r#"[{"n":{"x":1},"v":1}]"#)), Fault::WrongType(Label::Name));
    // `vd` is a byte string in CBOR, not its base64
    assert_eq!(fault(senml_cbor("81 a2 00 61 61 08 61 61")), Fault::WrongType(Label::DataValue));
}

#[test]
fn data_that_is_not_base64url() {
    for data in ["aGkgCg==", "a", "aGk+", "aGk/", "ab cd", "aGl"] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"a","vd":"{data}"}}]"#))), Fault::BadData, "{data}");
    }
}

#[test]
fn labels_that_must_be_understood() {
    assert_eq!(fault(senml(r#"[{"n":"a","v":1,"x_":1}]"#)), Fault::MustUnderstand);
    assert_eq!(fault(senml(r#"[{"n":"a","v":1,"_":1}]"#)), Fault::MustUnderstand);
    assert_eq!(fault(senml_cbor("81 a3 00 61 61 02 01 62 78 5f 01")), Fault::MustUnderstand);
}

#[test]
fn versions() {
    for version in ["0", "-1", "11", "26", "18446744073709551615"] {
        assert_eq!(
            fault(senml(&format!(r#"[{{"bver":{version},"n":"a","v":1}}]"#))),
            Fault::UnknownVersion,
            "{version}"
        );
    }
    assert!(senml(r#"[{"n":"a","v":1},{"bver":10,"n":"a","v":1}]"#).is_ok());
    assert!(senml(r#"[{"bver":5,"n":"a","v":1},{"bver":5,"n":"a","v":1}]"#).is_ok());
    assert_eq!(fault(senml(r#"[{"n":"a","v":1},{"bver":5,"n":"a","v":1}]"#)), Fault::MixedVersions);
    assert_eq!(fault(senml(r#"[{"bver":5},{"bver":10,"n":"a","v":1}]"#)), Fault::MixedVersions);
    assert_eq!(fault(senml_cbor("81 a3 00 61 61 02 01 20 f94900")), Fault::WrongType(Label::BaseVersion));
}

#[test]
fn records_without_a_value_or_with_two() {
    for record in ["{}", r#"{"n":"a"}"#, r#"{"bn":"a","u":"Cel"}"#, r#"{"x":1}"#, r#"{"bn":"a","bv":1,"t":0}"#] {
        assert_eq!(fault(senml(&format!("[{record}]"))), Fault::NoValue, "{record}");
    }
    for values in [r#""v":1,"vs":"x""#, r#""vb":true,"vd":"""#, r#""v":1,"vb":true,"s":1"#] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"a",{values}}}]"#))), Fault::TwoValues, "{values}");
    }
    assert_eq!(senml(r#"[{"bn":"a","bt":1,"bu":"A","bv":1,"bs":1,"bver":10}]"#), Ok(vec![]));
}

#[test]
fn names_outside_the_alphabet() {
    for name in ["_a", "/a", "-a", ".a", ":a", "a b", "ä", "a%", "a\\\""] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"{name}","v":1}}]"#))), Fault::BadName, "{name}");
    }
    assert_eq!(fault(senml(r#"[{"v":1}]"#)), Fault::NoName);
    assert!(senml(r#"[{"bn":"a","n":"_-:./9Z","v":1}]"#).is_ok());
}

#[test]
fn times_outside_the_years_1970_to_9999() {
    for time in ["253402300800", "1e300", "-1e300", "-1790000000.251"] {
        assert_eq!(fault(senml(&format!(r#"[{{"n":"a","v":1,"t":{time}}}]"#))), Fault::BadTime, "{time}");
    }
    assert_eq!(fault(senml(r#"[{"n":"a","v":1,"bt":1e308,"t":1e308}]"#)), Fault::BadTime);
    assert_eq!(senml(r#"[{"n":"a","v":1,"t":253402300799.999}]"#).unwrap()[0].time_ms, 253_402_300_799_999);
    assert_eq!(senml(r#"[{"n":"a","v":1,"t":-1790000000.25}]"#).unwrap()[0].time_ms, 0);
}

#[test]
fn the_sentence_says_what_and_where_and_repeats_nothing() {
    let sentence = |result: Result<Vec<Reading>, BadPayload>| result.unwrap_err().to_string();
    assert_eq!(
        sentence(senml(r#"[{"n":"a","v":1},{"n":"b","v":"secret"}]"#)),
        "`v` has a value of another type than SenML gives it (record 2, line 1, column 38)"
    );
    assert_eq!(sentence(senml_cbor("81 a1 00 61 61")), "the record has neither a value nor a sum (record 1, byte 5)");
    assert_eq!(sentence(plain("[1,2")), "the payload ends before the document does (line 1, column 4)");
    assert_eq!(sentence(plain(r#"{"":1}"#)), "a reading has no name (line 1, column 5)");
    assert_eq!(sentence(senml("\"secret\"")), "SenML is an array of objects, and this is not (line 1, column 8)");
    assert_eq!(sentence(decode(Some(7), b"", NOW_MS)), "content format 7 is not one that is read here");
}
