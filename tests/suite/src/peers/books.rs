//! What a side wrote, counted: a record names a call when its line has all the words that are said of the kind.

use super::KINDS;
use crate::scenario::Stop;

/// The words of each kind.
pub(super) struct Lines(Vec<Vec<String>>);

impl Lines {
    /// As a peer's file `lines` has them: a line for each kind, its name first (`tests/peers/README.md`).
    pub(super) fn parse(text: &str) -> Result<Self, Stop> {
        let of = |kind: &&str| {
            let line = text.lines().find_map(|line| line.strip_prefix(*kind)?.strip_prefix(' '));
            let words: Vec<String> = line.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            if words.is_empty() { Err(Stop::Broken(format!("lines: nothing of {kind}"))) } else { Ok(words) }
        };
        KINDS.iter().map(of).collect::<Result<_, _>>().map(Self)
    }

    /// Adds a text's records to the counts of each kind.
    pub(super) fn count(&self, text: &str, counts: &mut [u64; KINDS.len()]) {
        for line in text.lines() {
            for (count, words) in counts.iter_mut().zip(&self.0) {
                *count += u64::from(words.iter().all(|word| line.contains(word.as_str())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &str, text: &str) -> [u64; 3] {
        let mut counts = [0; 3];
        Lines::parse(lines).expect("words").count(text, &mut counts);
        counts
    }

    #[test]
    fn a_record_is_counted_once_and_by_all_its_words() {
        let audit = include_str!("../../../peers/auditd/lines");
        let text = "type=SYSCALL msg=audit(1.2:3): syscall=257 comm=\"peers\" key=\"open\"\n\
            type=PATH msg=audit(1.2:3): item=0 name=\"/scratch/peers/opened\" nametype=NORMAL\n\
            type=PATH msg=audit(1.2:4): item=0 name=\"/scratch/peers/other\" nametype=NORMAL\n\
            type=EXECVE msg=audit(1.2:5): argc=1 a0=\"/workload/noop\"\n\
            type=PATH msg=audit(1.2:5): item=0 name=\"/workload/noop\"\n\
            type=SOCKADDR msg=audit(1.2:6): saddr=0200 SADDR={ saddr_fam=inet laddr=127.0.0.1 lport=47319 }\n";
        assert_eq!(counted(audit, text), [1, 1, 1]);
        let trace = include_str!("../../../peers/bpftrace/lines");
        let text = "7 open 12 peers /scratch/peers/opened\n7 exec 12 peers /workload/noop\n\
            7 connect 12 peers 127.0.0.1:47319\n7 open 12 peers /workload/plan\nLost 7 events\n";
        assert_eq!(counted(trace, text), [1, 1, 1]);
    }

    #[test]
    fn a_kind_without_words_is_refused() {
        assert!(Lines::parse("open a\nexec b\n").is_err());
        assert!(Lines::parse("open a\nexec b\nconnect \n").is_err());
    }
}
