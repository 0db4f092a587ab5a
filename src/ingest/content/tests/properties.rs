//! Properties over documents that are made up, and over what damage makes of them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const FORMATS: [u16; 5] = [OCTET_STREAM, JSON, CBOR, SENML_JSON, SENML_CBOR];

/// A document that JSON and CBOR can both write.
#[derive(Debug, Clone)]
enum Document {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(Vec<Document>),
    Object(std::collections::BTreeMap<String, Document>),
}

fn document() -> impl Strategy<Value = Document> {
    let scalar = prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Boolean),
        any::<i64>().prop_map(Document::Integer),
        (-1_000..1_000_i64).prop_map(Document::Integer),
        finite().prop_map(Document::Float),
        "\\PC{0,8}".prop_map(Document::Text),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Document::Array),
            btree_map("[a-z~/° ]{0,4}", inner, 0..5).prop_map(Document::Object),
        ]
    })
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![-1e6..1e6, any::<f64>().prop_filter("finite", |number| number.is_finite())]
}

impl Document {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => json!(null),
            Self::Boolean(boolean) => json!(boolean),
            Self::Integer(integer) => json!(integer),
            Self::Float(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Array(items) => items.iter().map(Self::json).collect(),
            Self::Object(members) => members.iter().map(|(key, value)| (key.clone(), value.json())).collect(),
        }
    }

    fn cbor(&self, out: &mut Cbor) {
        match self {
            Self::Null => out.null(),
            Self::Boolean(boolean) => out.bool(*boolean),
            Self::Integer(integer) => out.i64(*integer),
            Self::Float(number) => out.f64(*number),
            Self::Text(text) => out.str(text),
            Self::Array(items) => out.array(items.len() as u64),
            Self::Object(members) => out.map(members.len() as u64),
        }
        .unwrap();
        match self {
            Self::Array(items) => items.iter().for_each(|item| item.cbor(out)),
            Self::Object(members) => members.iter().for_each(|(key, value)| value.cbor(out.str(key).unwrap())),
            _ => {}
        }
    }
}

type Cbor = minicbor::Encoder<Vec<u8>>;

/// A SenML record: the label in JSON, the label in CBOR and the value of each field.
type Record = Vec<(&'static str, i32, Field)>;

#[derive(Debug, Clone)]
enum Field {
    Number(f64),
    Text(String),
    Boolean(bool),
    Data(Vec<u8>),
}

fn record() -> impl Strategy<Value = Record> {
    let numbers = || (-1e9..1e9).prop_map(Field::Number);
    let names = || "[A-Za-z0-9][A-Za-z0-9:./_-]{0,6}".prop_map(Field::Text);
    let value = prop_oneof![
        finite_halves().prop_map(|number| ("v", 2, Field::Number(number))),
        "\\PC{0,8}".prop_map(|text| ("vs", 3, Field::Text(text))),
        any::<bool>().prop_map(|boolean| ("vb", 4, Field::Boolean(boolean))),
        vec(any::<u8>(), 0..8).prop_map(|data| ("vd", 8, Field::Data(data))),
        numbers().prop_map(|sum| ("s", 5, sum)),
    ];
    let base_time = prop_oneof![-1e3..1e3, 1.3e9..1.9e9].prop_map(Field::Number);
    let time = (-1e6..1e6).prop_map(Field::Number);
    let units = || "[A-Za-z%/]{0,3}".prop_map(Field::Text);
    let optional = (
        (names().prop_map(|field| ("n", 0, field)), value),
        proptest::option::of(names().prop_map(|field| ("bn", -2, field))),
        proptest::option::of(base_time.prop_map(|field| ("bt", -3, field))),
        proptest::option::of(units().prop_map(|field| ("bu", -4, field))),
        proptest::option::of(numbers().prop_map(|field| ("bv", -5, field))),
        proptest::option::of(numbers().prop_map(|field| ("bs", -6, field))),
        proptest::option::of(units().prop_map(|field| ("u", 1, field))),
        proptest::option::of(time.prop_map(|field| ("t", 6, field))),
    );
    optional.prop_map(|((name, value), bn, bt, bu, bv, bs, u, t)| {
        [Some(name), Some(value), bn, bt, bu, bv, bs, u, t].into_iter().flatten().collect()
    })
}

/// Half of the range of a double, so that adding a base value overflows nothing.
fn finite_halves() -> impl Strategy<Value = f64> {
    finite().prop_map(|number| number / 2.0)
}

fn pack_json(records: &[Record]) -> Vec<u8> {
    let field = |field: &Field| match field {
        Field::Number(number) => json!(number),
        Field::Text(text) => json!(text),
        Field::Boolean(boolean) => json!(boolean),
        Field::Data(data) => json!(BASE64_URL_SAFE_NO_PAD.encode(data)),
    };
    let record = |record: &Record| {
        record.iter().map(|(label, _, value)| ((*label).to_owned(), field(value))).collect::<serde_json::Value>()
    };
    serde_json::to_vec(&records.iter().map(record).collect::<Vec<_>>()).unwrap()
}

fn pack_cbor(records: &[Record]) -> Vec<u8> {
    let mut out = Cbor::new(Vec::new());
    out.array(records.len() as u64).unwrap();
    for record in records {
        out.map(record.len() as u64).unwrap();
        for (_, label, value) in record {
            out.i32(*label).unwrap();
            match value {
                Field::Number(number) => out.f64(*number),
                Field::Text(text) => out.str(text),
                Field::Boolean(boolean) => out.bool(*boolean),
                Field::Data(data) => out.bytes(data),
            }
            .unwrap();
        }
    }
    out.into_writer()
}

/// Something valid in one of the formats.
fn payload() -> impl Strategy<Value = (u16, Vec<u8>)> {
    prop_oneof![
        document().prop_map(|document| (JSON, serde_json::to_vec(&document.json()).unwrap())),
        document().prop_map(|document| (CBOR, cbor_of(&document))),
        vec(record(), 1..4).prop_map(|records| (SENML_JSON, pack_json(&records))),
        vec(record(), 1..4).prop_map(|records| (SENML_CBOR, pack_cbor(&records))),
    ]
}

fn cbor_of(document: &Document) -> Vec<u8> {
    let mut out = Cbor::new(Vec::new());
    document.cbor(&mut out);
    out.into_writer()
}

/// Bytes put in place of a stretch of others: a change, an insertion or a cut.
fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    (any::<prop::sample::Index>(), 0..4_usize, vec(any::<u8>(), 0..4))
}

fn by_time(mut readings: Vec<Reading>) -> Vec<Reading> {
    readings.sort_by_key(|reading| reading.time_ms);
    readings
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_bytes_make_it_panic(format in prop::sample::select(&FORMATS[..]), payload in vec(any::<u8>(), 0..200)) {
        let _ = decode(Some(format), &payload, NOW_MS);
    }

    #[test]
    fn no_damage_makes_it_panic(
        (format, mut payload) in payload(), hits in vec(damage(), 1..4), other in prop::sample::select(&FORMATS[..])
    ) {
        for (at, taken, put) in hits {
            let from = at.index(payload.len() + 1);
            let to = payload.len().min(from + taken);
            payload.splice(from..to, put);
        }
        for format in [format, other] {
            if let Ok(readings) = decode(Some(format), &payload, NOW_MS) {
                prop_assert!(readings.len() <= READINGS_MAX);
                prop_assert!(readings.iter().all(|reading| (1..=NAME_BYTES_MAX).contains(&reading.name.len())));
                prop_assert!(readings.iter().all(|reading| !reading.name.contains('\0')));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_document_says_the_same_in_json_and_cbor(document in document()) {
        let json = decode(Some(JSON), &serde_json::to_vec(&document.json()).unwrap(), NOW_MS);
        let cbor = decode(Some(CBOR), &cbor_of(&document), NOW_MS);
        prop_assert_eq!(json.map_err(|bad| bad.fault), cbor.map_err(|bad| bad.fault));
    }

    #[test]
    fn a_pack_says_the_same_in_json_and_cbor(records in vec(record(), 1..5)) {
        let json = decode(Some(SENML_JSON), &pack_json(&records), NOW_MS);
        let cbor = decode(Some(SENML_CBOR), &pack_cbor(&records), NOW_MS);
        prop_assert!(json.is_ok(), "{:?}", json);
        prop_assert_eq!(json, cbor);
    }

    #[test]
    fn what_is_published_says_what_was_read(records in vec(record(), 1..5)) {
        let read = decode(Some(SENML_JSON), &pack_json(&records), NOW_MS).unwrap();
        let published = decode(Some(SENML_JSON), &to_senml_json(&read), 0).unwrap();
        prop_assert_eq!(published, by_time(read));
    }

    #[test]
    fn what_is_published_of_a_document_is_senml(document in document()) {
        if let Ok(read) = decode(Some(JSON), &serde_json::to_vec(&document.json()).unwrap(), NOW_MS) && !read.is_empty() {
            let published = decode(Some(SENML_JSON), &to_senml_json(&read), 0).unwrap();
            let values = |readings: Vec<Reading>| readings.into_iter().map(|reading| reading.value).collect::<Vec<_>>();
            prop_assert_eq!(values(published), values(read));
        }
    }
}
