//! Drawing an index in proportion to its weight, in constant time whatever the number of weights.
//!
//! Vose's alias method (M. D. Vose, 1991): each of n columns holds at most two indices and the share of the
//! first; a draw picks a column, then one of its two.

/// A table to draw indices from in proportion to their weights.
#[derive(Clone, Debug, Default)]
pub struct AliasTable {
    len: u32,
    /// None where all weights are the same: the column drawn is the index, and nothing need be read.
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Out of 2³²: how much of the column is the index itself.
    own: u32,
    alias: u32,
}

impl AliasTable {
    /// A table over these weights; where all are 0, all count as 1.
    pub fn new(weights: &[u32]) -> AliasTable {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        if total == 0 || weights.iter().all(|w| *w == weights[0]) {
            return AliasTable { len: weights.len() as u32, columns: Vec::new() };
        }
        let scale = weights.len() as f64 / total as f64;
        let mut heights: Vec<f64> = weights.iter().map(|w| f64::from(*w) * scale).collect();
        let (mut short, mut tall): (Vec<usize>, Vec<usize>) =
            (0..heights.len()).partition(|index| heights[*index] < 1.0);
        let mut columns: Vec<Column> =
            (0..heights.len()).map(|index| Column { own: u32::MAX, alias: index as u32 }).collect();
        while let (Some(low), Some(high)) = (short.pop(), tall.last().copied()) {
            columns[low] = Column { own: (heights[low] * f64::from(u32::MAX)) as u32, alias: high as u32 };
            heights[high] -= 1.0 - heights[low];
            if heights[high] < 1.0 {
                tall.pop();
                short.push(high);
            }
        }
        AliasTable { len: weights.len() as u32, columns }
    }

    /// The index that a uniformly random number stands for. The table must not be empty.
    #[inline]
    pub fn draw(&self, random: u64) -> usize {
        let column = (((random >> 32) * u64::from(self.len)) >> 32) as usize;
        let Some(Column { own, alias }) = self.columns.get(column) else { return column };
        // A choice that chance makes is one that no processor predicts: by mask, not by branch.
        let is_alias = 0usize.wrapping_sub(usize::from(random as u32 > *own));
        column ^ ((column ^ *alias as usize) & is_alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws over a grid of the whole range, so that shares come out exact to the grid.
    fn shares(weights: &[u32]) -> Vec<f64> {
        let table = AliasTable::new(weights);
        let (rows, mut counts) = (1u64 << 12, vec![0f64; weights.len()]);
        for column in 0..weights.len() as u64 {
            let high = (column << 32) / weights.len() as u64 + 1;
            for row in 0..rows {
                counts[table.draw(high << 32 | row << 20)] += 1.0;
            }
        }
        let total: f64 = counts.iter().sum();
        counts.iter().map(|count| count / total).collect()
    }

    #[test]
    fn draws_follow_the_weights() {
        for weights in [vec![1], vec![9, 1], vec![1; 7], vec![10, 10, 1, 0, 3], vec![u32::MAX, 1, u32::MAX]] {
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            for (share, weight) in shares(&weights).iter().zip(&weights) {
                assert!((share - f64::from(*weight) / total).abs() < 2e-3, "{weights:?}: {share}");
            }
        }
    }

    #[test]
    fn all_weights_0_count_as_1() {
        assert!(shares(&[0, 0, 0, 0]).iter().all(|share| (share - 0.25).abs() < 1e-3));
    }
}
