//! What subscribers get.

use super::*;

fn published(readings: &[Reading]) -> String {
    String::from_utf8(to_senml_json(readings)).unwrap()
}

#[test]
fn records_are_resolved() {
    let readings = senml(
        r#"[{"bn":"pump12/","bt":1790000000.25,"n":"temperature","u":"Cel","v":21.5},{"n":"state","vs":"a\"\n"},
            {"n":"on","vb":true},{"n":"raw","vd":"AP8"},{"n":"energy","u":"J","s":3}]"#,
    );
    let expected = r#"[{"n":"pump12/temperature","t":1790000000.25,"u":"Cel","v":21.5},{"n":"pump12/state","t":1790000000.25,"vs":"a\"\n"},{"n":"pump12/on","t":1790000000.25,"vb":true},{"n":"pump12/raw","t":1790000000.25,"vd":"AP8"},{"n":"pump12/energy","t":1790000000.25,"u":"J","s":3.0}]"#;
    assert_eq!(published(&readings.unwrap()), expected);
}

#[test]
fn records_are_in_the_order_of_time_4_6() {
    let at = |time_ms| number("a", "", time_ms, time_ms as f64);
    let got = decode(Some(SENML_JSON), &to_senml_json(&[at(NOW_MS), at(NOW_MS - 5), at(NOW_MS + 1)]), 0);
    assert_eq!(got, Ok(vec![at(NOW_MS - 5), at(NOW_MS), at(NOW_MS + 1)]));
}

#[test]
fn a_time_that_would_be_read_as_relative_is_left_out() {
    assert_eq!(published(&[number("a", "", 268_435_455_999, 1.0)]), r#"[{"n":"a","v":1.0}]"#);
    assert_eq!(published(&[number("a", "", 268_435_456_000, 1.0)]), r#"[{"n":"a","t":268435456.0,"v":1.0}]"#);
}

#[test]
fn names_that_senml_does_not_allow_are_written_so_that_it_does() {
    let name = |name: &str| {
        let json = to_senml_json(&[number(name, "", NOW_MS, 1.0)]);
        decode(Some(SENML_JSON), &json, NOW_MS).unwrap().remove(0).name
    };
    assert_eq!(name("motor/rpm/0"), "motor/rpm/0");
    assert_eq!(name("Temp °C"), "Temp:20:C2:B0C");
    assert_eq!(name("_temp"), "0_temp");
    assert_eq!(name("a~1b"), "a:7E1b");
}

#[test]
fn no_readings_are_an_empty_array() {
    assert_eq!(published(&[]), "[]");
}
