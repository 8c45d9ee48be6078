//! A set of batches. Batches are numbered from zero, so that a set is a row of bits: there is one for every view of a run.

use super::model::BatchId;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSet(Vec<u64>);

impl BatchSet {
    /// `false` where it was in the set before.
    pub fn insert(&mut self, id: BatchId) -> bool {
        let (word, bit) = place(id);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    pub fn contains(&self, id: BatchId) -> bool {
        let (word, bit) = place(id);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Those that are not in `other`, ascending.
    pub fn without<'a>(&'a self, other: &'a BatchSet) -> impl Iterator<Item = BatchId> + 'a {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = word & !other.0.get(index).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as BatchId * 64 + BatchId::from(bit))
            })
        })
    }

    pub fn take_out(&mut self, other: &BatchSet) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }
}

fn place(id: BatchId) -> (usize, u64) {
    ((id / 64) as usize, 1 << (id % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[BatchId]) -> BatchSet {
        let mut set = BatchSet::default();
        ids.iter().for_each(|id| assert!(set.insert(*id)));
        set
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut one = set(&[0, 63, 64, 200]);
        assert!(!one.insert(63));
        assert!(one.contains(200) && !one.contains(199) && !one.contains(100_000));
        assert_eq!(one.without(&set(&[63, 300])).collect::<Vec<_>>(), [0, 64, 200]);
        assert_eq!(set(&[5]).without(&one).collect::<Vec<_>>(), [5]);
        one.take_out(&set(&[0, 64, 1000]));
        assert_eq!(one.without(&BatchSet::default()).collect::<Vec<_>>(), [63, 200]);
    }
}
