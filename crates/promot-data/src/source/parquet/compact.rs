//! Walks Thrift's compact encoding, in which Parquet has its footer and the headers of its pages.
//!
//! Only far enough to look at single numbers before they are believed; see [`super::guard`].

/// Structures and lists in each other at most.
const MAX_DEPTH: usize = 24;

/// What there is at a path of field numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole number.
    Number(i64),
    /// The start of a list's next entry; its own fields follow.
    Entry,
}

/// Walks the structure at the start of `bytes` and shows what is in it, in order.
///
/// Returns how many bytes it has; none if it is not whole, or no such structure.
pub(super) fn walk(bytes: &[u8], visit: &mut dyn FnMut(&[i16], Found)) -> Option<usize> {
    let mut walk = Walk {
        bytes,
        at: 0,
        path: Vec::new(),
        visit,
    };
    walk.structure(MAX_DEPTH)?;
    Some(walk.at)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<i16>,
    visit: &'a mut dyn FnMut(&[i16], Found),
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Signs alternate: 0, -1, 1, -2.
    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let mut field = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => i16::try_from(self.signed()?).ok()?,
                step => field.checked_add(step.into())?,
            };
            self.path.push(field);
            match head & 0x0f {
                // A truth value is in the head itself.
                1 | 2 => {}
                kind => self.value(kind, depth)?,
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => {
                let number = self.signed()?;
                (self.visit)(&self.path, Found::Number(number));
                Some(())
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(usize::try_from(length).ok()?)
            }
            9 | 10 => self.list(depth),
            11 => {
                let entries = self.varint()?;
                let kinds = if entries > 0 { self.byte()? } else { 0 };
                self.check_count(entries)?;
                for _ in 0..entries {
                    self.value(kinds >> 4, depth)?;
                    self.value(kinds & 0x0f, depth)?;
                }
                Some(())
            }
            12 => self.structure(depth),
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let head = self.byte()?;
        let entries = match head >> 4 {
            15 => self.varint()?,
            few => few.into(),
        };
        self.check_count(entries)?;
        for _ in 0..entries {
            (self.visit)(&self.path, Found::Entry);
            self.value(head & 0x0f, depth)?;
        }
        Some(())
    }

    /// Every entry has at least a byte.
    fn check_count(&self, entries: u64) -> Option<()> {
        (entries <= (self.bytes.len() - self.at) as u64).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> (Option<usize>, Vec<(Vec<i16>, Found)>) {
        let mut all = Vec::new();
        let length = walk(bytes, &mut |path, found| all.push((path.to_vec(), found)));
        (length, all)
    }

    #[test]
    fn numbers_and_entries_have_their_paths() {
        // 1: 150 (i32); 3: true; 4: [{5: -3 (i64)}, {}]; 20: "ab"; stop; and a byte behind it.
        let bytes = [
            0x15, 0xac, 0x02, 0x21, 0x19, 0x2c, 0x56, 0x05, 0x00, 0x00, 0x08, 0x28, 0x02, b'a',
            b'b', 0x00, 0xff,
        ];
        let (length, all) = found(&bytes);
        assert_eq!(length, Some(16));
        assert_eq!(
            all,
            [
                (vec![1], Found::Number(150)),
                (vec![4], Found::Entry),
                (vec![4, 5], Found::Number(-3)),
                (vec![4], Found::Entry),
            ]
        );
        for end in 0..16 {
            assert_eq!(found(&bytes[..end]).0, None, "{end}");
        }
    }

    #[test]
    fn lies_and_endless_nesting_are_no_structure() {
        // A list of 2^60 truth values, a text of 2^62 bytes, structures in structures.
        let long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        assert_eq!(found(&[&[0x19, 0xf1][..], &long, &[0; 8]].concat()).0, None);
        assert_eq!(found(&[&[0x18][..], &long, &[0; 8]].concat()).0, None);
        assert_eq!(found(&[0x1c; 100_000]).0, None);
        assert_eq!(found(&[0x19; 100_000]).0, None);
    }
}
