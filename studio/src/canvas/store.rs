//! Which tiles the device holds. The books are kept here; the device follows the commands when it next draws.

use super::image::LimitsRequest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tile of a level of an image or of a label map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// `set` names the channels that the tile holds.
    Image {
        image: u64,
        set: u64,
        level: u32,
        tile: [u32; 2],
    },
    Labels {
        map: u64,
        size: [u32; 2],
        level: u32,
        tile: [u32; 2],
    },
}

/// The texels of a tile: unsigned integers of 1, 2 or 4 bytes, `layers` channels one after the other.
#[derive(Debug)]
pub(super) struct Texels {
    /// Bytes per texel.
    pub bytes: u32,
    pub size: [u32; 2],
    pub layers: u32,
    pub data: Vec<u8>,
}

/// What the device does before it draws.
pub(super) enum Command {
    Create {
        slot: u64,
        texels: Texels,
    },
    /// Replaces a part of a texture.
    Write {
        slot: u64,
        at: [u32; 2],
        texels: Texels,
    },
    Drop {
        slot: u64,
    },
    Limits(LimitsRequest),
}

/// Commands that the device has not followed yet: a frame that egui computes is not always drawn.
#[derive(Default)]
pub(super) struct Queue {
    pub commands: Vec<Command>,
    pub bytes: usize,
}

pub(super) type SharedQueue = Arc<Mutex<Queue>>;

pub(super) fn locked(queue: &SharedQueue) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a tile shows: nothing newer exists if it equals the present state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// Of the tile's own pixels.
    pub core: u64,
    /// Of the pixels around them.
    pub ring: u64,
}

pub(super) struct Entry {
    pub slot: u64,
    pub version: Version,
    /// The version of the whole map when the tile's own was last compared.
    pub compared: u64,
    bytes: u64,
    used: u64,
}

/// What was uploaded since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Tiles of images.
    pub image_tiles: u64,
    /// Tiles of labels, whole.
    pub label_tiles: u64,
    /// Strips around tiles of labels whose neighbour changed.
    pub label_strips: u64,
    /// All bytes.
    pub bytes: u64,
}

pub(super) struct Store {
    entries: HashMap<Key, Entry>,
    queue: SharedQueue,
    frame: u64,
    next_slot: u64,
    held: u64,
    /// Bytes of textures that may stay on the device.
    pub budget: u64,
    /// Bytes that this frame may still upload: of images, of labels.
    room: [usize; 2],
    /// Something waits for the next frame's room.
    pub waiting: bool,
    pub uploads: Uploads,
}

impl Store {
    /// Bytes uploaded per frame: of images, of labels.
    const ROOM: [usize; 2] = [2 << 20, 1 << 20];

    pub fn new() -> Self {
        Self {
            entries: HashMap::new(),
            queue: SharedQueue::default(),
            frame: 0,
            next_slot: 0,
            held: 0,
            budget: 256 << 20,
            room: [0; 2],
            waiting: false,
            uploads: Uploads::default(),
        }
    }

    pub fn queue(&self) -> &SharedQueue {
        &self.queue
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    pub fn start_frame(&mut self) {
        self.frame += 1;
        self.waiting = false;
        let pending = locked(&self.queue).bytes;
        self.room = if pending > 0 { [0; 2] } else { Self::ROOM };
    }

    /// Frees what was not used for longest, until the budget is kept.
    pub fn end_frame(&mut self) {
        if self.held <= self.budget {
            return;
        }
        let unused = self.entries.iter().filter(|(_, e)| e.used < self.frame);
        let mut unused: Vec<_> = unused.map(|(k, e)| (e.used, *k)).collect();
        unused.sort_unstable_by_key(|&(used, _)| used);
        for (_, key) in unused {
            if self.held <= self.budget {
                break;
            }
            self.remove(&key);
        }
    }

    /// The tile, marked as in use.
    pub fn get(&mut self, key: &Key) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key)?;
        entry.used = self.frame;
        Some(entry)
    }

    /// Whether this frame may upload another tile of this kind. Notes that one waits if not.
    pub fn has_room(&mut self, key: &Key) -> bool {
        let room = self.room[kind(key)] > 0;
        self.waiting |= !room;
        room
    }

    /// Puts a tile on the device, in place of an older one of this key.
    pub fn put(&mut self, key: Key, texels: Texels, version: Version, compared: u64) -> u64 {
        self.remove(&key);
        let (slot, bytes) = (self.next_slot, texels.data.len());
        self.next_slot += 1;
        match key {
            Key::Image { .. } => self.uploads.image_tiles += 1,
            Key::Labels { .. } => self.uploads.label_tiles += 1,
        }
        self.entries.insert(key, Entry { slot, version, compared, bytes: bytes as u64, used: self.frame });
        self.held += bytes as u64;
        self.send(&key, bytes, Command::Create { slot, texels });
        slot
    }

    /// Replaces a part of a tile.
    pub fn write(&mut self, key: &Key, at: [u32; 2], texels: Texels) {
        let Some(slot) = self.entries.get(key).map(|e| e.slot) else { return };
        let bytes = texels.data.len();
        self.send(key, bytes, Command::Write { slot, at, texels });
    }

    /// Notes what a tile shows now.
    pub fn note(&mut self, key: &Key, version: Version, compared: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            (entry.version, entry.compared) = (version, compared);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.held -= old.bytes;
            locked(&self.queue).commands.push(Command::Drop { slot: old.slot });
        }
    }

    pub fn request_limits(&mut self, request: LimitsRequest) {
        locked(&self.queue).commands.push(Command::Limits(request));
    }

    fn send(&mut self, key: &Key, bytes: usize, command: Command) {
        self.uploads.bytes += bytes as u64;
        let room = &mut self.room[kind(key)];
        *room = room.saturating_sub(bytes);
        let mut queue = locked(&self.queue);
        queue.bytes += bytes;
        queue.commands.push(command);
    }
}

fn kind(key: &Key) -> usize {
    match key {
        Key::Image { .. } => 0,
        Key::Labels { .. } => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(x: u32) -> Key {
        Key::Image { image: 0, set: 0, level: 0, tile: [x, 0] }
    }

    fn texels() -> Texels {
        Texels { bytes: 1, size: [512, 512], layers: 4, data: vec![0; 1 << 20] }
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut store = Store::new();
        store.budget = 3 << 20;
        for x in 0..4 {
            store.start_frame();
            store.put(key(x), texels(), Version::default(), 0);
            assert!(store.get(&key(0)).is_some());
            store.end_frame();
            locked(store.queue()).bytes = 0;
        }
        assert_eq!(store.held(), 3 << 20);
        assert!(store.get(&key(1)).is_none() && store.get(&key(2)).is_some());
        let drops = locked(store.queue()).commands.iter().filter(|c| matches!(c, Command::Drop { slot: 1 })).count();
        assert_eq!(drops, 1);
    }

    #[test]
    fn a_frame_uploads_so_much_and_none_while_frames_are_not_drawn() {
        let mut store = Store::new();
        store.start_frame();
        let tiles =
            (0..10).filter(|&x| store.has_room(&key(x)) && store.put(key(x), texels(), Version::default(), 0) < 99);
        assert_eq!(tiles.count(), 2);
        assert!(store.waiting);
        store.start_frame();
        assert!(!store.has_room(&key(9)));
        locked(store.queue()).bytes = 0;
        store.start_frame();
        assert!(store.has_room(&key(9)) && !store.waiting);
    }
}
