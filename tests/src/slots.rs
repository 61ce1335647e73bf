//! Few guests at a time: software emulation of more than the host has cores for makes all of them late.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};

/// Guests that may run at once.
const SLOTS: usize = 2;

static FREE: Mutex<usize> = Mutex::new(SLOTS);
static FREED: Condvar = Condvar::new();

/// The right to run one guest; ends when dropped.
#[derive(Debug)]
pub struct Slot(());

impl Slot {
    /// Waits for a free slot.
    pub fn take() -> Self {
        // A test that failed with a guest at hand freed its slot on its way out.
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = FREED.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREED.notify_one();
    }
}

/// Does this to each, as many at once as there are guests; what came of them, in their order.
///
/// # Panics
/// When it does for one of them.
pub fn few_at_once<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let waiting = Mutex::new(all.iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no panic").next();
                    let Some((at, one)) = next else { break };
                    let result = work(one);
                    done.lock().expect("no panic").insert(at, result);
                }
            });
        }
    });
    done.into_inner().expect("no panic").into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back() {
        for _ in 0..=SLOTS {
            drop(Slot::take());
        }
        let held: Vec<Slot> = (0..SLOTS).map(|_| Slot::take()).collect();
        assert_eq!(*FREE.lock().expect("not poisoned"), 0);
        drop(held);
        assert_eq!(*FREE.lock().expect("not poisoned"), SLOTS);
    }

    #[test]
    fn what_came_of_each_is_in_its_place() {
        let all: Vec<u64> = (0..20).collect();
        let squares = few_at_once(&all, |one| {
            std::thread::sleep(std::time::Duration::from_millis(20 - one));
            one * one
        });
        assert_eq!(squares, all.iter().map(|one| one * one).collect::<Vec<_>>());
    }
}
