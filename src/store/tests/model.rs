//! Random batches, against what a reader of the face expects.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// What the store promises, in its fewest words.
#[derive(Default)]
struct Model {
    stored: HashMap<(i64, i64), Tag>,
    quarantined: usize,
}

impl Model {
    fn commit(&mut self, entry: &Entry) -> Outcome {
        let outcome = match entry {
            Entry::Accepted(Accepted { seen, readings, .. }) => match self.stored.get(&(seen.device, seen.counter)) {
                Some(tag) if *tag == seen.tag => Outcome::Duplicate,
                Some(_) => Outcome::Replayed(Kept::Quarantined),
                None if readings[0].name == "poison" => Outcome::BadPayload(Kept::Quarantined),
                None => {
                    self.stored.insert((seen.device, seen.counter), seen.tag);
                    Outcome::Stored
                }
            },
            Entry::Refused(Refused { unless_stored: Some(seen), .. })
                if self.stored.get(&(seen.device, seen.counter)) == Some(&seen.tag) =>
            {
                Outcome::Duplicate
            }
            Entry::Refused(_) => Outcome::Refused(Kept::Quarantined),
        };
        self.quarantined += usize::from(!matches!(outcome, Outcome::Stored | Outcome::Duplicate));
        outcome
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let seen = (1..3_i64, 1..12_i64, 0..2_u8).prop_map(|(device, counter, tag)| seen(device, counter, &[tag]));
    prop_oneof![
        8 => seen.clone().prop_map(accepted),
        1 => seen.clone().prop_map(|seen| accepted_with(seen, vec![number("poison", 0.0)])),
        2 => seen.prop_map(|seen| refused("stale", Some(seen))),
        1 => Just(refused("corrupt", None)),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    proptest::collection::vec(proptest::collection::vec(entries(), 0..24), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_batches_come_out_as_if_each_entry_came_alone(batches in batches()) {
        block_on(agree(TempDir::new(), batches))?;
    }
}

proptest! {
    // A database each; what may differ between the two is how they are asked, not what is answered.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_batches_come_out_of_postgres_as_if_each_entry_came_alone(batches in batches()) {
        block_on(agree(TempDir::on_postgres(), batches))?;
    }
}

pub(super) fn block_on(future: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn agree(dir: TempDir, batches: Vec<Vec<Entry>>) -> Result<(), TestCaseError> {
    let store = dir.store().await;
    let mut shell = dir.shell().await;
    poison(&dir).await;
    let mut model = Model::default();
    for batch in batches {
        let expected: Vec<Outcome> = batch.iter().map(|entry| model.commit(entry)).collect();
        prop_assert_eq!(store.commit(&batch).await.unwrap(), expected);
    }
    let sound = "seen s JOIN envelope e ON e.id = s.envelope AND e.counter = s.counter AND e.device = s.device
        JOIN reading r ON r.envelope = e.id AND r.device = e.device";
    prop_assert_eq!(count(&mut shell, sound).await, model.stored.len() as i64);
    prop_assert_eq!(count(&mut shell, "reading").await, model.stored.len() as i64);
    prop_assert_eq!(count(&mut shell, "quarantine").await, model.quarantined as i64);
    prop_assert_eq!(store.quarantine_usage().await.unwrap().rows, model.quarantined as u64);
    Ok(())
}
