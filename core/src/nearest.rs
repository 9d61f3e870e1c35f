//! "Did you mean": the known word most like one that is not known.

/// The candidate that differs least from `word`, if any is close enough to be what was meant.
///
/// ```
/// assert_eq!(plumline::nearest("ordrs", ["billing", "orders"]), Some("orders"));
/// assert_eq!(plumline::nearest("ordrs", ["billing"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= tolerance(length))
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= tolerance(length.max(candidate.chars().count())))
        .min()
        .map(|(_, candidate)| candidate)
}

/// A typing mistake in every third letter is still a typing mistake.
fn tolerance(length: usize) -> usize {
    (length / 3).clamp(1, 4)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let known = ["orders", "billing", "users"];
        assert_eq!(nearest("ordres", known), Some("orders"));
        assert_eq!(nearest("Billing", known), Some("billing"));
        assert_eq!(nearest("user", known), Some("users"));
        assert_eq!(nearest("payments", known), None);
        assert_eq!(nearest("", known), None);
    }
}
