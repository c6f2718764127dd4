//! A bounded map that remembers what was used recently and forgets the rest.
//!
//! Two generations: new and used entries live in the young one; when it has grown to half the limit it becomes the
//! old one, and the old one is dropped. That is an approximate LRU in constant time without a list to keep in order.

use std::collections::HashMap;
use std::hash::Hash;

/// A map whose entries together never weigh more than its limit.
#[derive(Debug)]
pub struct Recent<K, V> {
    limit: usize,
    young: Generation<K, V>,
    old: Generation<K, V>,
}

#[derive(Debug)]
struct Generation<K, V> {
    entries: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// An empty map that holds up to `limit`, in whatever unit the weights of its entries have.
    pub fn new(limit: usize) -> Self {
        Self { limit, young: Generation::empty(), old: Generation::empty() }
    }

    /// The value of `key`, if it is still remembered; asking for it keeps it longer.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.entries.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.entries.remove_entry(key)?;
        self.old.weight -= weight;
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    /// Remembers `value`, which weighs `weight`. What weighs more than half the limit is not worth all the others
    /// and is not remembered.
    pub fn insert(&mut self, key: K, value: V, weight: usize) {
        let half = self.limit / 2;
        if weight > half {
            return;
        }
        if self.young.weight + weight > half {
            self.old = std::mem::replace(&mut self.young, Generation::empty());
        }
        self.young.weight += weight;
        if let Some((_, replaced)) = self.young.entries.insert(key, (value, weight)) {
            self.young.weight -= replaced;
        }
    }
}

impl<K, V> Generation<K, V> {
    fn empty() -> Self {
        Self { entries: HashMap::new(), weight: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(8);
        recent.insert("used", 0, 1);
        for (round, key) in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].into_iter().enumerate() {
            recent.insert(key, round, 1);
            assert_eq!(recent.get(&"used"), Some(0), "after {key}");
        }
        assert_eq!(recent.get(&"a"), None);
        assert_eq!(recent.get(&"j"), Some(9));
    }

    proptest::proptest! {
        #[test]
        fn the_limit_holds_whatever_comes(steps in proptest::collection::vec((0u8..20, 0usize..12, proptest::bool::ANY), 0..200)) {
            let mut recent = Recent::new(16);
            for (key, weight, insert) in steps {
                if insert {
                    recent.insert(key, weight, weight);
                } else if let Some(value) = recent.get(&key) {
                    proptest::prop_assert!(value <= 8);
                }
                for generation in [&recent.young, &recent.old] {
                    proptest::prop_assert_eq!(generation.weight, generation.entries.values().map(|(_, weight)| weight).sum::<usize>());
                    proptest::prop_assert!(generation.weight <= 8);
                }
            }
        }
    }
}
