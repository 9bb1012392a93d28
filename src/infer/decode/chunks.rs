//! Decoded pieces of an image, the latest of them kept.

use std::collections::HashMap;
use std::sync::Arc;

use crate::infer::image::Pixels;

/// A decoded strip or tile, or a piece of one.
#[derive(Debug)]
pub(super) struct Chunk {
    pub pixels: Pixels,
    pub width: usize,
    pub height: usize,
    /// Samples of a pixel that lie together.
    pub together: usize,
}

impl Chunk {
    fn bytes(&self) -> u64 {
        (self.pixels.len() * self.pixels.sample().bytes()) as u64
    }
}

/// A plane (a directory and which of its images) and the number of a chunk in it.
pub(super) type Key = (usize, usize, usize);

/// Chunks by plane and number; when they are too many bytes, those that were not used for longest go.
#[derive(Debug)]
pub(super) struct ChunkCache {
    max: u64,
    bytes: u64,
    clock: u64,
    chunks: HashMap<Key, (u64, Arc<Chunk>)>,
}

impl ChunkCache {
    pub fn new(max: u64) -> Self {
        Self { max, bytes: 0, clock: 0, chunks: HashMap::new() }
    }

    pub fn resize(&mut self, max: u64) {
        self.max = max;
        self.shrink();
    }

    pub fn get(&mut self, key: Key) -> Option<Arc<Chunk>> {
        self.clock += 1;
        let entry = self.chunks.get_mut(&key)?;
        entry.0 = self.clock;
        Some(entry.1.clone())
    }

    pub fn put(&mut self, key: Key, chunk: Arc<Chunk>) {
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
    fn the_least_recently_used_goes() {
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
