//! The counting, capped allocator: the agent's heap is a budget, not a hope.
//!
//! Every thread counts its own allocations, so that the event path (reader and writer threads) can be shown
//! to make none while the control thread may make a few per request.
#![allow(unsafe_code)] // `GlobalAlloc` is an unsafe trait; both methods only add counting around the system's

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator: the system's, with a limit and a count.
pub(crate) struct Heap {
    limit: AtomicUsize,
    current: AtomicUsize,
    peak: AtomicUsize,
}

/// What the heap holds, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapUse {
    pub(crate) limit: usize,
    pub(crate) current: usize,
    pub(crate) peak: usize,
}

#[global_allocator]
static HEAP: Heap = Heap {
    limit: AtomicUsize::new(crate::limits::COMMAND_HEAP_BYTES),
    current: AtomicUsize::new(0),
    peak: AtomicUsize::new(0),
};

thread_local! {
    /// Allocations of this thread. Constant-initialised and without destructor: reading it allocates nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Sets the limit. What is held already stays.
pub(crate) fn set_limit(bytes: usize) {
    HEAP.limit.store(bytes, Relaxed);
}

/// What the heap holds now.
pub(crate) fn in_use() -> HeapUse {
    HeapUse {
        limit: HEAP.limit.load(Relaxed),
        current: HEAP.current.load(Relaxed),
        peak: HEAP.peak.load(Relaxed),
    }
}

/// Allocations this thread has made since it began.
pub(crate) fn allocations_of_this_thread() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

impl Heap {
    /// Takes `bytes` from the budget, or says no.
    fn take(&self, bytes: usize) -> bool {
        let held = self.current.fetch_add(bytes, Relaxed) + bytes;
        if held > self.limit.load(Relaxed) {
            self.give_back(bytes);
            return false;
        }
        self.peak.fetch_max(held, Relaxed);
        // A thread that is being torn down has lost its counter; nothing of ours runs there.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        true
    }

    fn give_back(&self, bytes: usize) {
        self.current.fetch_sub(bytes, Relaxed);
    }
}

// SAFETY: memory comes from and goes back to `System` with the same layout; a null return is the documented
// way to refuse. `realloc` is the trait's default, which goes through these two.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.take(layout.size()) {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is passed on as it came.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() {
            self.give_back(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.give_back(layout.size());
        // SAFETY: `memory` came from `System.alloc` with this layout, above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Lets go of the program's own code and constants in memory: what start-up used is not used again, and what is comes back from
/// the file, page by page. Best effort: nothing depends on it but the resident size.
pub(crate) fn drop_code_pages() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
    for (start, end) in unchanging(&maps, &program.to_string_lossy()) {
        let start_at: *mut core::ffi::c_void = core::ptr::with_exposed_provenance_mut(start);
        // SAFETY: a private mapping of a file that was never written to: its pages are the file's, before and after.
        let _ = unsafe {
            rustix::mm::madvise(start_at, end.saturating_sub(start), rustix::mm::Advice::LinuxDontNeed)
        };
    }
}

/// The program's mappings whose pages are the file's: code, and what is only read. What the loader relocated is read-only too
/// by now, but not as it is in the file; it ends where the writable data begins.
fn unchanging(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let of_program = maps.lines().filter(|line| line.ends_with(program)).filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some((rest.get(..4)?, number(start)?, number(end)?))
    });
    let mappings: Vec<_> = of_program.collect();
    let writable = |at: usize| mappings.iter().any(|(access, start, _)| *access == "rw-p" && *start == at);
    mappings
        .iter()
        .filter(|(access, _, end)| *access == "r-xp" || *access == "r--p" && !writable(*end))
        .map(|(_, start, end)| (*start, *end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_wrote_is_kept() {
        let maps = "1000-2000 r--p 00000000 fd:01 7 /usr/bin/aegis\n\
                    2000-5000 r-xp 00001000 fd:01 7 /usr/bin/aegis\n\
                    5000-7000 r--p 00004000 fd:01 7 /usr/bin/aegis\n\
                    7000-8000 r--p 00006000 fd:01 7 /usr/bin/aegis\n\
                    8000-9000 rw-p 00007000 fd:01 7 /usr/bin/aegis\n\
                    9000-a000 rw-p 00000000 00:00 0 [heap]\n";
        let kept = [(0x1000, 0x2000), (0x2000, 0x5000), (0x5000, 0x7000)];
        assert_eq!(unchanging(maps, "/usr/bin/aegis"), kept);
        assert_eq!(unchanging(maps, "/usr/bin/other"), []);
    }

    #[test]
    fn counts_limits_and_refuses() {
        let heap =
            Heap { limit: AtomicUsize::new(1000), current: AtomicUsize::new(0), peak: AtomicUsize::new(0) };
        let before = allocations_of_this_thread();
        assert!(heap.take(600));
        assert!(!heap.take(600), "over the limit");
        assert!(heap.take(400), "a refusal takes nothing");
        heap.give_back(1000);
        assert_eq!(heap.current.load(Relaxed), 0);
        assert_eq!(heap.peak.load(Relaxed), 1000);
        assert_eq!(allocations_of_this_thread() - before, 2);
    }
}
