//! Strings that C reads: laid out once, each with a NUL behind it, and lent out as long as their owner lives.

/// Strings in one buffer, by the order in which they were put there.
#[derive(Default)]
pub(crate) struct Shelf {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Shelf {
    /// Puts these there.
    pub(crate) fn of<T: AsRef<[u8]>>(strings: impl IntoIterator<Item = T>) -> Shelf {
        let mut shelf = Shelf::default();
        strings.into_iter().for_each(|string| shelf.put(string.as_ref()));
        shelf
    }

    /// Puts one more behind the others. Whatever was lent out before is void.
    pub(crate) fn put(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
        self.bytes.push(0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string at this place, its NUL included; `None` past the end.
    pub(crate) fn get(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before] + 1);
        Some(&self.bytes[start..=end])
    }
}

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn strings_end_with_nul() {
        let shelf = Shelf::of(["orders", "", "v2"]);
        let all: Vec<_> = (0..shelf.len()).map(|place| shelf.get(place).unwrap()).collect();
        assert_eq!(all, [b"orders\0".as_slice(), b"\0", b"v2\0"]);
        assert_eq!(shelf.get(3), None);
    }
}
