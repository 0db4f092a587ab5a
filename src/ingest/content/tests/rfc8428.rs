//! The examples of RFC 8428, sections 5.1 and 6.

use super::*;

const OW: &str = "urn:dev:ow:10e2073a01080063";

#[test]
fn single_data_point_5_1_1() {
    let got = senml(r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#);
    assert_eq!(got, Ok(vec![number(OW, "Cel", NOW_MS, 23.1)]));
}

#[test]
fn multiple_data_points_5_1_2() {
    let got = senml(
        r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]"#,
    );
    let name = |name: &str| format!("{OW}:{name}");
    let expected = vec![number(&name("voltage"), "V", NOW_MS, 120.1), number(&name("current"), "A", NOW_MS, 1.2)];
    assert_eq!(got, Ok(expected));
}

fn current_over_six_seconds() -> Vec<Reading> {
    let at = |seconds: i64| 1_276_020_076_001 + seconds * 1000;
    let mut expected = vec![number("urn:dev:ow:10e2073a0108006:voltage", "V", at(0), 120.1)];
    for (seconds, amperes) in [(-5, 1.2), (-4, 1.3), (-3, 1.4), (-2, 1.5), (-1, 1.6), (0, 1.7)] {
        expected.push(number("urn:dev:ow:10e2073a0108006:current", "A", at(seconds), amperes));
    }
    expected
}

#[test]
fn multiple_data_points_with_times_5_1_2() {
    let got = senml(
        r#"[
            {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,
             "bu":"A","bver":5,
             "n":"voltage","u":"V","v":120.1},
            {"n":"current","t":-5,"v":1.2},
            {"n":"current","t":-4,"v":1.3},
            {"n":"current","t":-3,"v":1.4},
            {"n":"current","t":-2,"v":1.5},
            {"n":"current","t":-1,"v":1.6},
            {"n":"current","v":1.7}
        ]"#,
    );
    assert_eq!(got, Ok(current_over_six_seconds()));
}

#[test]
fn cbor_6() {
    let got = senml_cbor(
        "87 a7 21 78 1b 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38 30 30 36 3a
         22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65 01 61 56 02 fb 40 5e 06
         66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33 33 a3 00 67 63 75
         72 72 65 6e 74 06 23 02 fb 3f f4 cc cc cc cc cc cd a3 00 67 63 75 72 72 65 6e 74 06 22 02 fb 3f
         f6 66 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 21 02 f9 3e 00 a3 00 67 63 75 72 72 65 6e
         74 06 20 02 fb 3f f9 99 99 99 99 99 9a a3 00 67 63 75 72 72 65 6e 74 06 00 02 fb 3f fb 33 33 33
         33 33 33"
            .replace('\n', "")
            .as_str(),
    );
    assert_eq!(got, Ok(current_over_six_seconds()));
}

const MEASUREMENTS_5_1_3: &str = r#"[
    {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
    {"u":"lon","v":24.30621},
    {"u":"lat","v":60.07965},
    {"t":60,"v":20.3},
    {"u":"lon","t":60,"v":24.30622},
    {"u":"lat","t":60,"v":60.07965},
    {"t":120,"v":20.7},
    {"u":"lon","t":120,"v":24.30623},
    {"u":"lat","t":120,"v":60.07966},
    {"u":"%EL","t":150,"v":98},
    {"t":180,"v":21.2},
    {"u":"lon","t":180,"v":24.30628},
    {"u":"lat","t":180,"v":60.07967}
]"#;

const RESOLVED_5_1_4: &str = r#"[
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067464e+09,"v":20},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067464e+09,"v":24.30621},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067464e+09,"v":60.07965},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067524e+09,"v":20.3},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067524e+09,"v":24.30622},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067524e+09,"v":60.07965},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067584e+09,"v":20.7},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067584e+09,"v":24.30623},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067584e+09,"v":60.07966},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%EL","t":1.320067614e+09,"v":98},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067644e+09,"v":21.2},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067644e+09,"v":24.30628},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067644e+09,"v":60.07967}
]"#;

#[test]
fn multiple_measurements_5_1_3_resolve_to_5_1_4() {
    let measured = senml(MEASUREMENTS_5_1_3).unwrap();
    assert_eq!(measured.len(), 13);
    assert_eq!(measured[9], number(OW, "%EL", 1_320_067_614_000, 98.0));
    assert_eq!(Ok(&measured), senml(RESOLVED_5_1_4).as_ref());
    assert_eq!(Ok(&measured), decode(Some(SENML_JSON), &to_senml_json(&measured), NOW_MS).as_ref());
}

#[test]
fn multiple_data_types_5_1_5() {
    let got = senml(
        r#"[
            {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
            {"n":"label","vs":"Machine Room"},
            {"n":"open","vb":false},
            {"n":"nfv-reader","vd":"aGkgCg"}
        ]"#,
    );
    let named = |name: &str, unit, value| reading(&format!("{OW}:{name}"), unit, NOW_MS, value);
    let expected = vec![
        named("temp", "Cel", Value::Number(23.1)),
        named("label", "", Value::String("Machine Room".into())),
        named("open", "", Value::Boolean(false)),
        named("nfv-reader", "", Value::Data("aGkgCg".into())),
    ];
    assert_eq!(got, Ok(expected));
}

#[test]
fn collection_of_resources_5_1_6() {
    let got = senml(
        r#"[
            {"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},
            {"n":"humidity","u":"%RH","v":30},
            {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
            {"n":"humidity","u":"%RH","v":67}
        ]"#,
    );
    let at = 1_320_078_429_000;
    let expected = vec![
        number("2001:db8::2/temperature", "Cel", at, 25.2),
        number("2001:db8::2/humidity", "%RH", at, 30.0),
        number("2001:db8::1/temperature", "Cel", at, 12.3),
        number("2001:db8::1/humidity", "%RH", at, 67.0),
    ];
    assert_eq!(got, Ok(expected));
}

#[test]
fn setting_an_actuator_5_1_7_starts_with_a_record_of_base_fields_alone() {
    let got = senml(
        r#"[
            {"bn":"urn:dev:ow:10e2073a01080063:"},
            {"n":"temp","u":"Cel","v":23.1},
            {"n":"heat","u":"/","v":1},
            {"n":"fan","u":"/","v":0}
        ]"#,
    );
    let named = |name: &str, unit, value| number(&format!("{OW}:{name}"), unit, NOW_MS, value);
    assert_eq!(got, Ok(vec![named("temp", "Cel", 23.1), named("heat", "/", 1.0), named("fan", "/", 0.0)]));
}

#[test]
fn lights_of_5_1_7_go_off_after_a_tenth_of_a_second() {
    let got = senml(
        r#"[
            {"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},
            {"n":"2001:db8::4","v":0.5},
            {"n":"2001:db8::3","t":0.1,"v":0},
            {"n":"2001:db8::4","t":0.1,"v":0}
        ]"#,
    );
    let times: Vec<i64> = got.unwrap().iter().map(|reading| reading.time_ms).collect();
    assert_eq!(times, [1_320_078_429_000, 1_320_078_429_000, 1_320_078_429_100, 1_320_078_429_100]);
}

#[test]
fn base_value_and_base_sum_are_added_4_5_4() {
    let got = senml(r#"[{"bn":"a","bv":20,"bs":100,"v":1.5,"s":3},{"v":2},{"s":-1},{"bv":0,"v":7}]"#).unwrap();
    let expected = [
        (Some(Value::Number(21.5)), Some(103.0)),
        (Some(Value::Number(22.0)), Some(100.0)),
        (None, Some(99.0)),
        (Some(Value::Number(7.0)), Some(100.0)),
    ];
    assert_eq!(got.into_iter().map(|reading| (reading.value, reading.sum)).collect::<Vec<_>>(), expected);
}

#[test]
fn base_fields_hold_for_their_record_wherever_they_stand_in_it() {
    let got = senml(r#"[{"v":1,"n":"x","bn":"pump/","u":"Pa","bu":"Cel","bv":1},{"n":"y","v":2}]"#);
    assert_eq!(got, Ok(vec![number("pump/x", "Pa", NOW_MS, 2.0), number("pump/y", "Cel", NOW_MS, 3.0)]));
}

#[test]
fn times_below_two_to_the_28_are_relative_4_5_3() {
    let time = |fields: &str| senml(&format!(r#"[{{"n":"a","v":1,{fields}}}]"#)).unwrap()[0].time_ms;
    assert_eq!(time(r#""t":0"#), NOW_MS);
    assert_eq!(time(r#""t":-1.5"#), NOW_MS - 1500);
    assert_eq!(time(r#""t":268435455"#), NOW_MS + 268_435_455_000);
    assert_eq!(time(r#""t":268435456"#), 268_435_456_000);
    assert_eq!(time(r#""bt":268435456,"t":-1"#), NOW_MS + 268_435_455_000);
    assert_eq!(time(r#""bt":-60,"t":-0.25"#), NOW_MS - 60_250);
    assert_eq!(time(r#""bt":1790000000.25,"t":0.0004"#), NOW_MS);
}

#[test]
fn unknown_labels_are_ignored_4_4() {
    let got = senml(r#"[{"n":"a","v":1,"ct":"60","x":{"deep":[1,null,{"x_":2}]},"bfoo":null,"ut":60}]"#);
    assert_eq!(got, Ok(vec![number("a", "", NOW_MS, 1.0)]));
    // {0: "a", 2: 1, 9: [1], "ct": "60"}
    let got = senml_cbor("81 a4 00 61 61 02 01 09 81 01 62 63 74 62 36 30");
    assert_eq!(got, Ok(vec![number("a", "", NOW_MS, 1.0)]));
}

#[test]
fn text_labels_serve_in_cbor_too() {
    // {"n": "a", "v": 1, "vd_": ..} is another matter; here {"n": "a", "vd": h'ff'}
    let got = senml_cbor("81 a2 61 6e 61 61 62 76 64 41 ff");
    assert_eq!(got, Ok(vec![reading("a", "", NOW_MS, Value::Data("_w".into()))]));
}

#[test]
fn decimal_fractions_are_numbers_in_cbor_6() {
    // {0: "a", 2: 4([-2, 2150])}
    let got = senml_cbor("81 a2 00 61 61 02 c4 82 21 19 08 66");
    assert_eq!(got, Ok(vec![number("a", "", NOW_MS, 21.5)]));
}
