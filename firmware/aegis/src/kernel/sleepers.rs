//! When a rule set that is idle may be refilled. The kernel's own wait knows nothing of programs that may sleep: they count
//! themselves while they decide, in one of two halves. In a room of its own: `tests/models` goes through every interleaving.

/// Returns when nobody decides any more who began before. `turn` has those who come from now on go to the other half, and says
/// which one they leave; `deciding` says how many are in a half; `rest` passes some time, or gives up.
///
/// Twice, since one may have read which half it is and not have entered it yet. While they decide they do not sleep: it takes
/// as long as they are kept off the processor.
pub(super) fn wait<B, E>(
    turn: impl Fn() -> (usize, B),
    deciding: impl Fn(usize) -> u64,
    rest: impl Fn(&B) -> Result<(), E>,
) -> Result<(), E> {
    for _ in 0..2 {
        let (left, begun) = turn();
        while deciding(left) != 0 {
            rest(&begun)?;
        }
    }
    Ok(())
}
