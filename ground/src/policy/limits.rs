//! Every bound of policy sources; those of a compiled policy are in [`aegis_policy::limits`].

/// Deepest nesting of includes; the policy itself is 0.
pub(crate) const INCLUDE_DEPTH: usize = 8;
/// Most files of one policy.
pub(crate) const FILES: usize = 64;
/// Most parameters of a template.
pub(crate) const PARAMETERS: usize = 32;
/// Longest word that is looked for among those that are known, bytes.
pub(crate) const SUGGESTED: usize = 128;
/// Most items that one item of a template becomes: the most that a rule could hold.
pub(crate) const ITEMS: usize = aegis_policy::limits::ENTRIES;
/// Longest item that a template makes, bytes: more than any path.
pub(crate) const ITEM_BYTES: usize = 1024;
/// Most items of lists that the templates of a policy make in all; a long one counts once for every 64 bytes.
pub(crate) const FILLED: usize = 1 << 20;
/// Width of a formatted line, columns.
pub(crate) const WIDTH: usize = 110;
/// Longest file of policy tests, bytes.
pub(crate) const TESTS_BYTES: usize = 1024 * 1024;
/// Most files of policy tests found below one directory, and how deep they are looked for.
pub(crate) const TEST_FILES: usize = 1_024;
pub(crate) const TEST_DEPTH: usize = 4;
/// Most rounds of `lint --fix`: each one mends all that does not touch each other.
pub(crate) const FIX_ROUNDS: usize = 64;
/// Most mends of a file that are tried one by one, when all at once can't be made.
pub(crate) const FIX_ALONE: usize = 256;
/// Most warnings of a file that are shown; how many more there are is said.
pub(crate) const FINDINGS: usize = 1_000;
/// Most questions, who decides, that lint asks for workloads that a rule leaves out.
pub(crate) const QUESTIONS: usize = 1 << 22;
/// Longest line that is shown whole, bytes; of a longer one as much is shown around the place.
pub(crate) const SHOWN: usize = 1_024;
/// Most words in a rule's list of operations: there are fewer.
pub(crate) const OPERATIONS: usize = 64;
/// Most accesses that a file of policy tests asks of: workloads x operations x things, summed over its cases.
pub(crate) const TEST_ACCESSES: usize = 1_000_000;
/// Changes shown to a person, unless all are asked for.
pub(crate) const CHANGES: usize = 200;
/// Most groups (workload, operation, from, to, rule) that `simulate` counts apart; more are counted together.
pub(crate) const GROUPS: usize = 16_384;
/// Examples of a change.
pub(crate) const EXAMPLES: usize = 3;
/// Most paths that `learn` keeps; accesses to others are counted.
pub(crate) const LEARNED: usize = aegis_policy::limits::ENTRIES;
/// Most names that may be those of scripts which `learn` keeps, and how many arguments of a program are looked at.
pub(crate) const SCRIPTS: usize = 16_384;
pub(crate) const SCRIPT_ARGUMENTS: usize = 3;
/// Most files by device and inode that `learn` tells apart.
pub(crate) const LEARNED_FILES: usize = 4 * LEARNED;
/// Most addresses that `learn` tells apart: as many as a rule can name.
pub(crate) const LEARNED_ADDRESSES: usize = aegis_policy::limits::PREFIXES;
