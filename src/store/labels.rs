//! The numbers of words that come again and again, remembered.
//!
//! Bounded: two generations, of which the older is forgotten when the younger is full, so that words in use stay; and a long
//! word is not remembered at all. What is not remembered is looked up in the table again. Only what is committed may be put in.

use std::collections::HashMap;

/// Words in a generation. If all are of the greatest length, two generations are 20 MiB.
const GENERATION_MAX: usize = 32_768;

/// The longest word that is remembered, which is the longest name of a reading. Whoever fills the store bounds its words, but
/// this memory is bounded without his help.
const WORD_BYTES_MAX: usize = 256;

/// A bounded memory of numbered words.
#[derive(Default)]
pub(super) struct Labels {
    young: HashMap<Box<str>, i64>,
    old: HashMap<Box<str>, i64>,
}

impl Labels {
    /// The number of a word, if it is remembered.
    pub(super) fn find(&mut self, word: &str) -> Option<i64> {
        if let Some(id) = self.young.get(word) {
            return Some(*id);
        }
        let (word, id) = self.old.remove_entry(word)?;
        self.insert(word, id);
        Some(id)
    }

    /// Remembers a word, if it is not too long.
    pub(super) fn insert(&mut self, word: Box<str>, id: i64) {
        if word.len() > WORD_BYTES_MAX {
            return;
        }
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(word, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_not_remembered() {
        let mut labels = Labels::default();
        let word = |bytes: usize| "w".repeat(bytes);
        labels.insert(word(WORD_BYTES_MAX).into(), 1);
        labels.insert(word(WORD_BYTES_MAX + 1).into(), 2);
        assert_eq!(labels.find(&word(WORD_BYTES_MAX)), Some(1));
        assert_eq!(labels.find(&word(WORD_BYTES_MAX + 1)), None);
    }

    #[test]
    fn a_word_in_use_stays_while_others_pass_by() {
        let mut labels = Labels::default();
        labels.insert("temperature".into(), -1);
        for id in 0..5 * GENERATION_MAX as i64 {
            labels.insert(id.to_string().into(), id);
            if id % 1000 == 0 {
                assert_eq!(labels.find("temperature"), Some(-1));
            }
        }
        assert_eq!(labels.find("0"), None);
        assert!(labels.young.len() + labels.old.len() <= 2 * GENERATION_MAX);
    }
}
