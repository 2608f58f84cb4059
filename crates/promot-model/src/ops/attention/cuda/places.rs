//! Where blocks work: tiles of the queries or keys of ragged sequences; and the buckets of distances.
//!
//! All layers of a pass and many steps ask for the same, so the last few answers are kept; their
//! copies on the device are kept by [`Gpu::indices`](crate::backend::Gpu::indices).

use std::cell::RefCell;
use std::cmp::Reverse;
use std::sync::Arc;

use super::super::{BucketMap, Layout};
use super::kernels::Tiles;

/// One number after another for each block: `Place` in `attention.cuh`.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) list: Arc<[usize]>,
}

impl Places {
    /// Numbers of a place.
    const LEN: usize = 5;

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.list.len() / Self::LEN
    }
}

/// Tiles of what: of queries or of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Queries,
    Keys,
}

/// Offsets are compared by where they lie: those of a batch are shared by all that is computed of it.
#[derive(Clone)]
struct PlacesKey {
    of: Of,
    layout: Layout,
}

impl PartialEq for PlacesKey {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.layout, &other.layout);
        self.of == other.of
            && Arc::ptr_eq(&a.q_offsets, &b.q_offsets)
            && Arc::ptr_eq(&a.kv_offsets, &b.kv_offsets)
            && a.shared_keys == b.shared_keys
    }
}

/// The last few answers, the newest last.
struct Recent<K, V>(Vec<(K, V)>);

impl<K: PartialEq, V: Clone> Recent<K, V> {
    const MOST: usize = 12;

    fn get_or_make(&mut self, key: K, make: impl FnOnce(&K) -> V) -> V {
        let entry = match self.0.iter().position(|(kept, _)| *kept == key) {
            Some(at) => self.0.remove(at),
            None => {
                let value = make(&key);
                (key, value)
            }
        };
        let value = entry.1.clone();
        if self.0.len() == Self::MOST {
            self.0.remove(0);
        }
        self.0.push(entry);
        value
    }
}

/// By map and reach.
type RecentBuckets = Recent<(BucketMap, usize), Arc<[usize]>>;

thread_local! {
    static PLACES: RefCell<Recent<PlacesKey, Places>> = const { RefCell::new(Recent(Vec::new())) };
    static BUCKETS: RefCell<RecentBuckets> =
        const { RefCell::new(Recent(Vec::new())) };
}

/// Tiles of the queries of all sequences.
pub(super) fn of_queries(layout: &Layout) -> Places {
    places(layout, Of::Queries)
}

/// Tiles of the keys of all sequences.
pub(super) fn of_keys(layout: &Layout) -> Places {
    places(layout, Of::Keys)
}

fn places(layout: &Layout, of: Of) -> Places {
    let key = PlacesKey {
        of,
        layout: layout.clone(),
    };
    PLACES.with_borrow_mut(|recent| recent.get_or_make(key, make_places))
}

/// The places of the longest sequences first, so that no multiprocessor is left with one at the end.
fn make_places(key: &PlacesKey) -> Places {
    let layout = &key.layout;
    let mut places = Vec::new();
    for (i, q) in layout.q_offsets.windows(2).enumerate() {
        let i = if layout.shared_keys { 0 } else { i };
        let (q_len, k_first) = (q[1] - q[0], layout.kv_offsets[i]);
        let k_len = layout.kv_offsets[i + 1] - k_first;
        let len = match key.of {
            Of::Queries => q_len,
            Of::Keys => k_len,
        };
        let firsts = (0..len).step_by(Tiles::ROWS);
        places.extend(firsts.map(|first| [q[0], q_len, k_first, k_len, first]));
    }
    places.sort_by_key(|&[_, q_len, _, k_len, _]| {
        Reverse(match key.of {
            Of::Queries => k_len,
            Of::Keys => q_len,
        })
    });
    Places {
        list: places.into_iter().flatten().collect(),
    }
}

/// The bucket of each distance from minus a reach to that reach, and the reach: as far as a key of the
/// layout can be from a query.
pub(super) fn buckets(map: BucketMap, layout: &Layout) -> (usize, Arc<[usize]>) {
    let longest = |offsets: &[usize]| offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    let reach = longest(&layout.q_offsets).max(longest(&layout.kv_offsets));
    // Somewhat farther, so that other batches ask for the same.
    let reach = reach.next_power_of_two();
    let list = BUCKETS.with_borrow_mut(|recent| {
        recent.get_or_make((map, reach), |_| {
            let reach = reach as isize;
            (-reach..=reach)
                .map(|distance| map.bucket(distance))
                .collect()
        })
    });
    (reach, list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(q: &[usize], kv: &[usize], shared_keys: bool) -> Layout {
        Layout {
            q_offsets: q.into(),
            kv_offsets: kv.into(),
            shared_keys,
            num_heads: 1,
            num_kv_heads: 1,
            causal: false,
            scale: 1.0,
            dropout: None,
        }
    }

    #[test]
    fn every_query_and_key_is_in_one_place() {
        let layout = layout(&[0, 3, 3, 133], &[0, 1, 66, 66], false);
        let places = of_queries(&layout);
        assert_eq!(places.count(), 4);
        // By the number of keys, then in order.
        assert_eq!(places.list[..5], [0, 3, 0, 1, 0]);
        assert_eq!(places.list[15..], [3, 130, 66, 0, 128]);
        let places = of_keys(&layout);
        assert_eq!(
            &*places.list,
            [0, 3, 0, 1, 0, 3, 0, 1, 65, 0, 3, 0, 1, 65, 64]
        );
    }

    #[test]
    fn shared_keys_are_those_of_every_sequence() {
        let layout = layout(&[0, 2, 5], &[0, 9], true);
        assert_eq!(&*of_queries(&layout).list, [0, 2, 0, 9, 0, 2, 3, 0, 9, 0]);
    }

    #[test]
    fn what_is_asked_for_again_is_the_same_array() {
        let first = layout(&[0, 2], &[0, 2], false);
        let (a, b) = (of_queries(&first), of_queries(&first.clone()));
        assert!(Arc::ptr_eq(&a.list, &b.list));
        let second = layout(&[0, 3], &[0, 2], false);
        assert_eq!(of_queries(&second).list[1], 3);
    }
}
