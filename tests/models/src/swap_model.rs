//! A policy is put in force beside programs that decide: each decides by one policy, whole.

use std::sync::Arc;

use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use loom::thread;

use crate::kernel::wait;

/// The control page and the two sets, a set being two words that belong together.
struct Page {
    active: AtomicU32,
    half: AtomicU32,
    deciding: [AtomicU64; 2],
    sets: [[AtomicU64; 2]; 2],
}

impl Page {
    fn new() -> Self {
        let word = || AtomicU64::new(0);
        Self {
            active: AtomicU32::new(0),
            half: AtomicU32::new(0),
            deciding: [word(), word()],
            sets: [[word(), word()], [word(), word()]],
        }
    }

    /// As `bprm_check_hash` of `probes/bpf/exec.bpf.h` and `read_control` of `record.bpf.h`. What is atomic there is a full
    /// barrier; loom has that by fences. Returns the policy that it decided by.
    fn decide(&self) -> u64 {
        let half = self.half.load(SeqCst) as usize & 1;
        self.deciding[half].fetch_add(1, SeqCst);
        fence(SeqCst);
        let set = &self.sets[self.active.load(SeqCst) as usize & 1];
        let (first, second) = (set[0].load(Relaxed), set[1].load(Relaxed));
        assert_eq!(first, second, "decided by half a policy");
        fence(SeqCst);
        self.deciding[half].fetch_sub(1, SeqCst);
        first
    }

    /// As `put_in_force` of `firmware/aegis/src/kernel/apply.rs`: who may still decide by the idle set is waited for, then it is
    /// filled, then one store puts it in force.
    fn apply(&self, policy: u64) {
        let turn = || {
            let left = self.half.fetch_xor(1, SeqCst) as usize & 1;
            fence(SeqCst);
            (left, ())
        };
        let deciding = |half: usize| {
            fence(SeqCst);
            self.deciding[half].load(SeqCst)
        };
        let rest = |(): &()| {
            thread::yield_now();
            Ok::<(), ()>(())
        };
        wait(turn, deciding, rest).expect("it never gives up");
        let idle = 1 - (self.active.load(SeqCst) as usize & 1);
        for word in &self.sets[idle] {
            word.store(policy, Relaxed);
        }
        self.active.store(idle as u32, SeqCst);
        fence(SeqCst);
    }
}

/// Two policies one after the other: the second fills the set that was in force when the programs began.
#[test]
fn nobody_decides_by_half_a_policy_and_none_by_an_older_one_than_before() {
    let mut model = loom::model::Builder::new();
    // Of the interleavings those with so many involuntary switches; with all of them it does not come to an end.
    model.preemption_bound = Some(if std::env::var_os("AEGIS_MODELS").is_some() { 4 } else { 3 });
    model.check(|| {
        let page = Arc::new(Page::new());
        let decider = thread::spawn({
            let page = Arc::clone(&page);
            move || {
                let first = page.decide();
                let second = page.decide();
                assert!(first <= second, "decided by {second} after {first}");
            }
        });
        page.apply(1);
        page.apply(2);
        decider.join().expect("no panic");
        assert_eq!(page.decide(), 2);
    });
}
