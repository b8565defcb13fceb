//! The word that was probably meant.
//!
//! Knows nothing of what words are for; short texts only, as it takes the product of their lengths.

/// The one of `words` that is fewest edits away from `given`: at most a third of its letters, and two.
pub(crate) fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = |word: &&str| distance(given.as_bytes(), word.as_bytes());
    let near = words.into_iter().map(|word| (far(&word), word)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, word)| *distance <= (word.len() / 3).clamp(1, 2)).map(|(_, word)| word)
}

/// Letters put in, taken out, changed, or swapped with their neighbour (optimal string alignment).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let changed = above[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        const WORDS: [&str; 5] = ["compression", "connections", "queue", "ca", "timeout"];
        for (given, want) in [
            ("compresion", Some("compression")),
            ("conections", Some("connections")),
            ("quueue", Some("queue")),
            ("qeuue", Some("queue")),
            ("cas", Some("ca")),
            ("time-out", Some("timeout")),
            ("colour", None),
            ("token", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, WORDS), want, "{given}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
