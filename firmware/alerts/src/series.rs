//! What each series said at the look before: a table of so many places. One that was not seen for longest makes room.

use alloc::boxed::Box;
use alloc::vec;

use crate::limits::{PLACES, SERIES};

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Of alert and labels; 0: nothing is here.
    key: u64,
    /// The look at which it was seen.
    look: u32,
    value: i64,
}

/// What series said.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    places: Box<[Place]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { places: vec![Place::default(); SERIES].into_boxed_slice() }
    }

    /// Keeps what a series says, and returns what it said before, and at which look. None and no room: the places that it may
    /// be at are those of others that were seen at this look.
    pub(crate) fn put(&mut self, key: u64, look: u32, value: i64) -> Result<Option<(u32, i64)>, Full> {
        let key = key.max(1);
        let mut victim: Option<usize> = None;
        for step in 0..PLACES {
            let at = (key as usize).wrapping_add(step) % SERIES;
            let place = &mut self.places[at];
            if place.key == key {
                let before = (place.look, place.value);
                (place.look, place.value) = (look, value);
                return Ok(Some(before));
            }
            if victim.is_none_or(|victim| self.places[at].look < self.places[victim].look) {
                victim = Some(at);
            }
        }
        match victim.map(|at| &mut self.places[at]).filter(|place| place.key == 0 || place.look != look) {
            Some(place) => {
                *place = Place { key, look, value };
                Ok(None)
            }
            None => Err(Full),
        }
    }
}

/// There is no room.
#[derive(Debug)]
pub(crate) struct Full;

/// FNV-1a, over pieces that can't run into each other.
pub(crate) fn hash(seed: u64, pieces: &[&[u8]]) -> u64 {
    let one = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    pieces.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, piece| {
        let hash = (piece.len() as u64).to_le_bytes().iter().fold(hash, |hash, byte| one(hash, *byte));
        piece.iter().fold(hash, |hash, byte| one(hash, *byte))
    })
}
