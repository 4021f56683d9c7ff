//! The levels of all filters, in one table.
//!
//! A level is a number, so that a place in the tree can be named by few bytes; it is found by its
//! parent and its name. The table grows and shrinks by one chain at a time (linear hashing), and the
//! memory grows by one chunk, so that no change takes long, however many levels there are.

use ahash::RandomState;

use super::name::Name;

/// The number of a level; that of the root, which is nobody's child, also stands for "none".
pub(super) type LevelId = u32;

pub(super) const ROOT: LevelId = 0;

/// Levels in a chunk, as a power of two.
const CHUNK_BITS: u32 = 8;
const CHUNK: usize = 1 << CHUNK_BITS;

/// One level of one or more filters.
#[derive(Debug)]
pub(super) struct Level<V> {
    name: Name,
    pub(super) parent: LevelId,
    /// The next one in its chain; of a level that is free: the next free one.
    next: LevelId,
    /// The child for `+`; it is in no chain.
    pub(super) any: LevelId,
    /// How many children there are, without that for `+`.
    children: u32,
    /// Filters that end here.
    pub(super) here: V,
    /// Filters that end in `#` below here; they match this level as well [MQTT-4.7.1-1].
    pub(super) below: V,
}

/// All levels.
pub(super) struct Levels<V> {
    chunks: Vec<Vec<Level<V>>>,
    /// The first of those that are free.
    free: LevelId,
    /// The first level of each chain.
    chains: Vec<LevelId>,
    /// How many levels are in chains.
    chained: usize,
    hasher: RandomState,
}

impl<V: Default> Level<V> {
    fn new(parent: LevelId, name: Name) -> Self {
        Self {
            name,
            parent,
            next: ROOT,
            any: ROOT,
            children: 0,
            here: V::default(),
            below: V::default(),
        }
    }

    pub(super) const fn has_children(&self) -> bool {
        self.children > 0 || self.any != ROOT
    }

    pub(super) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

/// How many are in use, which is 1 for an empty tree: the root.
impl<V: Default> std::fmt::Debug for Levels<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut count = self.chunks.iter().map(Vec::len).sum::<usize>();
        let mut free = self.free;
        while free != ROOT
            && let Some(level) = self.get(free)
        {
            count -= 1;
            free = level.next;
        }
        f.debug_struct("Levels").field("count", &count).finish()
    }
}

impl<V: Default> Default for Levels<V> {
    fn default() -> Self {
        Self {
            chunks: vec![vec![Level::new(ROOT, Name::new(""))]],
            free: ROOT,
            chains: vec![ROOT],
            chained: 0,
            hasher: RandomState::new(),
        }
    }
}

impl<V: Default> Levels<V> {
    pub(super) fn get(&self, id: LevelId) -> Option<&Level<V>> {
        let (chunk, place) = address(id);
        self.chunks.get(chunk)?.get(place)
    }

    pub(super) fn get_mut(&mut self, id: LevelId) -> Option<&mut Level<V>> {
        let (chunk, place) = address(id);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }

    /// The child of that name.
    pub(super) fn child(&self, parent: LevelId, name: &str) -> Option<LevelId> {
        let mut id = *self.chains.get(self.chain(parent, name.as_bytes()))?;
        while id != ROOT {
            let level = self.get(id)?;
            if level.parent == parent && level.name() == name.as_bytes() {
                return Some(id);
            }
            id = level.next;
        }
        None
    }

    /// Adds a child of a name that there is none of. `None` if there are as many levels as there can be.
    pub(super) fn add(&mut self, parent: LevelId, name: &str) -> Option<LevelId> {
        let id = self.take(Level::new(parent, Name::new(name)))?;
        self.get_mut(parent)?.children += 1;
        self.chained += 1;
        self.link(id);
        if self.chained > self.chains.len() {
            self.split();
        }
        Some(id)
    }

    /// Adds the child for `+`, which is missing.
    pub(super) fn add_any(&mut self, parent: LevelId) -> Option<LevelId> {
        let id = self.take(Level::new(parent, Name::new("+")))?;
        self.get_mut(parent)?.any = id;
        Some(id)
    }

    /// Removes a level without children and values that is not the root. Returns its parent.
    pub(super) fn remove(&mut self, id: LevelId) -> Option<LevelId> {
        let parent = self.get(id)?.parent;
        let siblings = self.get_mut(parent)?;
        if siblings.any == id {
            siblings.any = ROOT;
        } else {
            siblings.children -= 1;
            self.unlink(id)?;
            self.chained -= 1;
            // By two, or they would never become as few as the levels.
            for _ in 0..2 {
                if self.chained * 2 < self.chains.len() && self.chains.len() > 1 {
                    self.merge();
                }
            }
        }
        let free = std::mem::replace(&mut self.free, id);
        let level = self.get_mut(id)?;
        *level = Level::new(ROOT, Name::new(""));
        level.next = free;
        Some(parent)
    }

    /// Every level with its number, free ones included, which have no value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LevelId, &Level<V>)> {
        (0..).zip(self.chunks.iter().flatten())
    }

    /// Puts a level where there is room.
    fn take(&mut self, level: Level<V>) -> Option<LevelId> {
        if self.free != ROOT {
            let id = self.free;
            let place = self.get_mut(id)?;
            let next = std::mem::replace(place, level).next;
            self.free = next;
            return Some(id);
        }
        let full = self.chunks.len() - 1;
        let last = self.chunks.last_mut()?;
        let id = LevelId::try_from(full * CHUNK + last.len()).ok()?;
        // A place has one bit more, see `Place`.
        if id > LevelId::MAX / 2 {
            return None;
        }
        last.push(level);
        if last.len() == CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        Some(id)
    }

    fn chain(&self, parent: LevelId, name: &[u8]) -> usize {
        // The low bits are as good as all others.
        #[expect(clippy::cast_possible_truncation, reason = "only low bits are used")]
        let hash = self.hasher.hash_one((parent, name)) as usize;
        let mask = self.chains.len().next_power_of_two() - 1;
        let chain = hash & mask;
        if chain < self.chains.len() {
            chain
        } else {
            chain & (mask >> 1)
        }
    }

    fn chain_of(&self, id: LevelId) -> Option<usize> {
        let level = self.get(id)?;
        Some(self.chain(level.parent, level.name()))
    }

    fn link(&mut self, id: LevelId) -> Option<()> {
        let chain = self.chain_of(id)?;
        let first = self.chains.get_mut(chain)?;
        let next = std::mem::replace(first, id);
        self.get_mut(id)?.next = next;
        Some(())
    }

    fn unlink(&mut self, id: LevelId) -> Option<()> {
        let chain = self.chain_of(id)?;
        let after = self.get(id)?.next;
        let first = self.chains.get_mut(chain)?;
        if *first == id {
            *first = after;
            return Some(());
        }
        let mut before = *first;
        loop {
            let level = self.get_mut(before)?;
            if level.next == id {
                level.next = after;
                return Some(());
            }
            before = level.next;
        }
    }

    /// One chain more: the levels of one other are spread over both.
    fn split(&mut self) -> Option<()> {
        let count = self.chains.len();
        let shared = count & (((count + 1).next_power_of_two() - 1) >> 1);
        self.chains.push(ROOT);
        let first = std::mem::replace(self.chains.get_mut(shared)?, ROOT);
        self.link_all(first)
    }

    /// One chain less: its levels go to the one that they came from.
    fn merge(&mut self) -> Option<()> {
        let first = self.chains.pop()?;
        self.link_all(first)
    }

    fn link_all(&mut self, first: LevelId) -> Option<()> {
        let mut id = first;
        while id != ROOT {
            let next = self.get(id)?.next;
            self.link(id)?;
            id = next;
        }
        Some(())
    }
}

/// The chunk of a level, and where in it.
const fn address(id: LevelId) -> (usize, usize) {
    ((id >> CHUNK_BITS) as usize, id as usize & (CHUNK - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many that there are several chunks and the chains have been split and merged often.
    #[test]
    fn every_level_is_found_while_the_table_grows_and_shrinks() {
        let mut levels = Levels::<u8>::default();
        let name = |number: u32| format!("device {number}");
        let mut ids = Vec::new();
        for number in 0..2000 {
            let parent = ids
                .last()
                .copied()
                .filter(|_| number % 7 > 0)
                .unwrap_or(ROOT);
            let id = levels.add(parent, &name(number)).unwrap();
            ids.push(id);
            assert_eq!(levels.child(parent, &name(number)), Some(id));
            assert_eq!(levels.child(parent, &name(number + 1)), None);
        }
        let check = |levels: &Levels<u8>, left: &[LevelId]| {
            for (number, id) in (0..).zip(left) {
                let parent = levels.get(*id).unwrap().parent;
                assert_eq!(levels.child(parent, &name(number)), Some(*id));
            }
        };
        check(&levels, &ids);
        let chunks = levels.chunks.len();
        while let Some(id) = ids.pop() {
            let (parent, name) = (levels.get(id).unwrap().parent, name(ids.len() as u32));
            assert_eq!(levels.remove(id), Some(parent));
            assert_eq!(levels.child(parent, &name), None);
            if ids.len() % 97 == 0 {
                check(&levels, &ids);
            }
        }
        assert!(!levels.get(ROOT).unwrap().has_children());
        assert!(levels.chains.len() <= 2);
        // What was given up is used again.
        for number in 0..2000 {
            ids.push(levels.add(ROOT, &name(number)).unwrap());
        }
        check(&levels, &ids);
        assert_eq!(levels.chunks.len(), chunks);
    }

    #[test]
    fn a_level_is_small() {
        assert_eq!(size_of::<Level<[u64; 2]>>(), 72);
    }
}
