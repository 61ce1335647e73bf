//! Every bound of evaluation; those of an alert itself are in [`aegis_policy::limits`].

/// Series that are remembered from one look to the next, of all alerts. A power of two.
pub const SERIES: usize = 1024;
/// Places of the table that one series may be at.
pub const PLACES: usize = 16;
/// Parts of a time within which movements are summed.
pub const PARTS: usize = 16;
/// Longest text that says which series an alert is about, bytes. Of a longer one the end is left out.
pub const SERIES_BYTES: usize = 96;
