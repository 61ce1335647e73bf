//! Exports that change between the reading that verifies and the one that hands out events.

use std::ops::ControlFlow;

#[allow(clippy::wildcard_imports)] // the shared half of these tests
use super::*;
use crate::export::check::Checked;
use crate::export::evidence::{Evidence, Record, Sink};
use crate::outcome::Failure;

#[derive(Default)]
pub(super) struct Seen {
    taken: usize,
    pub(super) kept: usize,
}

impl Sink for Seen {
    fn take(&mut self, _record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        self.taken += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn commit(&mut self, _file: &Checked) -> Result<(), Failure> {
        self.kept = self.taken;
        Ok(())
    }
}

#[test]
fn nothing_is_kept_of_a_file_that_changed_meanwhile() {
    let stick = Stick::new();
    let good = items(&three_boots(), Request::from(1));
    let mut other = three_boots();
    other.boot(4, 2);
    let whole = good.concat();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for (what, bytes, taken) in [
        ("the same", whole.clone(), Some(21)),
        ("a flipped bit", flipped, None),
        ("cut off between items", good[..2].concat(), None),
        ("without its first item", good[1..].concat(), None),
        ("twice", [whole.clone(), whole.clone()].concat(), None),
        // Signed by the same device all the way through: only the hash tells.
        ("another export of the same ring", items(&other, Request::from(1)).concat(), None),
    ] {
        let path = stick.put("a", &whole);
        let report = check(std::slice::from_ref(&path));
        let evidence = Evidence::of(&report).expect("it verifies");
        stick.put("a", &bytes);
        let mut seen = Seen::default();
        let read = evidence.read("reading", &mut seen);
        assert_eq!(read.is_ok(), taken.is_some(), "{what}");
        assert_eq!(seen.kept, taken.unwrap_or(0), "{what}");
        if let Err(failure) = read {
            assert!(failure.is_refusal() && failure.message().contains("changed"), "{what}");
        }
    }
}
