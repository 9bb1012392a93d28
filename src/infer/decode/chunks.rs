//! A cache of decoded strips and tiles.

use std::collections::HashMap;
use std::sync::Arc;

use crate::infer::image::Pixels;

/// A decoded strip or tile, or a piece of one.
#[derive(Debug)]
pub(super) struct Chunk {
    pub pixels: Pixels,
    pub width: usize,
    pub height: usize,
    /// Interleaved samples per pixel.
    pub together: usize,
}

impl Chunk {
    fn bytes(&self) -> u64 {
        (self.pixels.len() * self.pixels.sample().bytes()) as u64
    }
}

/// A plane (a directory and the index of its image) and the number of a chunk in it.
pub(super) type Key = (usize, usize, usize);

/// Chunks by plane and number; beyond the byte limit the least recently used are dropped.
#[derive(Debug)]
pub(super) struct ChunkCache {
    max: u64,
    bytes: u64,
    clock: u64,
    chunks: HashMap<Key, (u64, Arc<Chunk>)>,
}

impl ChunkCache {
    pub(super) fn new(max: u64) -> Self {
        Self { max, bytes: 0, clock: 0, chunks: HashMap::new() }
    }

    pub(super) fn resize(&mut self, max: u64) {
        self.max = max;
        self.shrink();
    }

    pub(super) fn get(&mut self, key: Key) -> Option<Arc<Chunk>> {
        self.clock += 1;
        let entry = self.chunks.get_mut(&key)?;
        entry.0 = self.clock;
        Some(entry.1.clone())
    }

    pub(super) fn put(&mut self, key: Key, chunk: Arc<Chunk>) {
        self.clock += 1;
        self.bytes += chunk.bytes();
        if let Some((_, old)) = self.chunks.insert(key, (self.clock, chunk)) {
            self.bytes -= old.bytes();
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.max {
            let Some(oldest) = self.chunks.iter().min_by_key(|(_, (used, _))| *used).map(|(k, _)| *k) else { return };
            if let Some((_, chunk)) = self.chunks.remove(&oldest) {
                self.bytes -= chunk.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_least_recently_used() {
        let chunk = || Arc::new(Chunk { pixels: Pixels::U16(vec![0; 50]), width: 10, height: 5, together: 1 });
        let mut cache = ChunkCache::new(250);
        cache.put((0, 0, 1), chunk());
        cache.put((0, 0, 2), chunk());
        assert!(cache.get((0, 0, 1)).is_some());
        cache.put((1, 0, 1), chunk());
        assert!(cache.get((0, 0, 2)).is_none() && cache.get((0, 0, 1)).is_some() && cache.get((1, 0, 1)).is_some());
        cache.put((1, 0, 1), chunk());
        assert_eq!(cache.bytes, 200);
        cache.resize(99);
        assert_eq!((cache.bytes, cache.chunks.len()), (0, 0));
    }
}
