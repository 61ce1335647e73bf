//! Every bound of reading exports: what a report may grow to, whatever is in the files.

/// Problems and notes listed, each; more are counted.
pub(crate) const PROBLEMS: usize = 1_000;
/// Groups of denials listed; denials outside them are counted as `others`.
pub(crate) const DENIALS: usize = 10_000;
/// Boots kept in the books; a device that claims more is a problem.
pub(crate) const BOOTS: usize = 65_536;
/// Rows of a list in a person's report; what is beyond is counted, and in the JSON report.
pub(crate) const REPORT_ROWS: usize = 200;
/// `gap` events listed; more are counted.
pub(crate) const GAPS_TOLD: usize = 1_000;
/// Files in one verification.
pub(crate) const FILES: usize = 100_000;
/// Longest expression of a query, bytes.
pub(crate) const EXPRESSION_BYTES: usize = 4_096;
/// Deepest nesting of one.
pub(crate) const EXPRESSION_DEPTH: usize = 64;
/// Rows of a Parquet row group, and bytes of text in them: whichever is reached first ends it.
pub(crate) const ROW_GROUP_ROWS: usize = 32_768;
pub(crate) const ROW_GROUP_BYTES: usize = 12 << 20;
/// Exports named in the footer of a Parquet file; more are counted.
pub(crate) const EXPORTS_NAMED: usize = 1_000;
/// Bytes sent to PostgreSQL by one `COPY`.
pub(crate) const COPY_BYTES: usize = 1 << 20;
/// Most partitions of a PostgreSQL table, one a month; events outside them go into the default one.
pub(crate) const PARTITIONS: usize = 600;
/// Months since 1970-01 from which on there are no partitions: 2200-01.
pub(crate) const PARTITION_MONTHS_END: i64 = 230 * 12;
/// Devices with a timeline of their own on a page; the others are counted.
pub(crate) const PAGE_DEVICES: usize = 24;
/// Columns of a timeline.
pub(crate) const PAGE_COLUMNS: usize = 180;
/// Different names of one sort (rules, paths, …) counted at a time, and shown.
pub(crate) const PAGE_NAMES: usize = 4_096;
pub(crate) const PAGE_TOP: usize = 12;
/// Rows of a table on a page, open and in all; what is beyond is counted.
pub(crate) const PAGE_OPEN_ROWS: usize = 24;
pub(crate) const PAGE_ROWS: usize = 200;
/// Show progress when there is more than this to read, bytes.
pub(crate) const PROGRESS_BYTES: u64 = 32 << 20;
/// Certificates of sealing keys kept of one file; a ring has one, and one more for each time its chain began anew.
pub(crate) const CERTIFICATES: usize = 64;
/// Most segments of a ring without events between two with events whose Merkle roots are still recomputed.
pub(crate) const EMPTY_SEGMENTS: u64 = 4_096;
/// Checkpoints of a ring that are remembered, to hold a file that has them again against them.
pub(crate) const EPOCHS: usize = 65_536;
