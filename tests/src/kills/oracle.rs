//! What must hold of a device whose power is cut: acked ⊆ recovered ⊆ submitted, order kept, nothing missing.
//!
//! - *acked ⊆ recovered*: every sequence up to the one that the agent had called acknowledged is in the evidence.
//! - *recovered ⊆ submitted*: no file that the workload had not said it would open is in it.
//! - *order kept*: sequences rise by one over all boots; the numbers of the opens rise by one within a boot. Where some are missing
//!   in between the kernel had no room for them, and the boot counts them as lost, at least those that were lost long before the cut.
//! - *the loss window*: from the first open that was lost to the last that was said.
//! - *the cut is told*: the boot after a cut calls the one before it unclean, and has a gap record of the cut, of a place that
//!   is not before what was acknowledged.
//! - Whatever `aegisctl export verify` verifies, over all exports: signatures, chain, checkpoints, gaps, books.

use std::path::PathBuf;

use aegis_qemu::{Cut, Run};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Plan;

/// Losses are told after a second; with the agent's own time for it, hundredths of a second.
const LOSS_DUE: u64 = 300;

/// What a boot's workload said until the power was cut.
#[derive(Debug, Serialize, Deserialize)]
pub struct Boot {
    plan: Plan,
    /// None when it was cut before its workload began.
    id: Option<String>,
    /// When it said of each file that it would open it, hundredths of a second since boot.
    said: Vec<u64>,
    acked: u64,
    /// Writes of ring and data disk that were not flushed: kept, torn, dropped.
    unflushed: [[u64; 3]; 2],
}

/// What the evidence has of the boot that it is at.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    id: String,
    opens: u64,
    /// Opens that were left out on the way, the first of them that is not accounted for yet, and what the boot counts as lost.
    missing: u64,
    first_missing: Option<u64>,
    losses: u64,
    /// The boot before was cut, and this one must say so; the last sequence acknowledged by then.
    after_cut: Option<u64>,
    /// It came to its end, or to its workload: what is said first has been said.
    begun: bool,
}

/// What became of one kill.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kill {
    /// How it was planned.
    pub plan: Plan,
    /// Opens that the workload had said; of those, in the evidence.
    pub submitted: u64,
    /// In the evidence.
    pub recovered: u64,
    /// The last sequence that the agent had acknowledged.
    pub acked: u64,
    /// The last one of it, or before it, in the evidence.
    pub last: u64,
    /// From the first open that was lost to the last that was said, ms.
    pub window_ms: u64,
    /// Writes of ring and data disk that were not flushed: kept, torn, dropped.
    pub unflushed: [[u64; 3]; 2],
}

/// What is known of a device between two kills.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Oracle {
    /// Boots that were cut.
    pub boots: u64,
    /// Every export, in order.
    pub exports: Vec<PathBuf>,
    /// The kills of which the evidence has come out.
    pub kills: Vec<Kill>,
    /// Events in the evidence.
    pub events: u64,
    /// Cut, and their evidence is still to come, or to be complete.
    pub(super) waiting: Vec<Boot>,
    seen: Option<Seen>,
    last: u64,
    /// The last sequence of the boots before the one that is seen.
    ended: u64,
    acked: u64,
    /// Cuts that the last gap record counted.
    cuts: u64,
}

impl Boot {
    /// What the cut run left.
    pub(super) fn read(plan: Plan, run: &Run) -> Result<Self, String> {
        let stdout = run.stdout().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&stdout);
        let disk = |at: usize| {
            run.cut.get(at).map_or([0; 3], |Cut { kept, torn, dropped }| [*kept, *torn, *dropped])
        };
        let unflushed = [0, 1].map(disk);
        let mut boot = Self { plan, id: None, said: Vec::new(), acked: 0, unflushed };
        // The last line may be half a line.
        for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
            if let Some(id) = line.strip_prefix("boot ") {
                boot.id = Some(id.replace('-', ""));
            } else if let Some((number, uptime)) =
                line.strip_prefix("n ").and_then(|line| line.split_once(' '))
            {
                if number.parse() != Ok(boot.said.len()) {
                    return Err(format!("the workload said {line:?} after {} files", boot.said.len()));
                }
                let uptime = uptime.replace('.', "").parse();
                boot.said.push(uptime.map_err(|_| format!("the workload said {line:?}"))?);
            } else if line.contains("acked_sequence") {
                let digits: String = line.chars().filter(char::is_ascii_digit).collect();
                boot.acked = digits.parse().map_err(|_| format!("the agent said {line:?}"))?;
            } else {
                return Err(format!("the workload said {line:?}"));
            }
        }
        Ok(boot)
    }
}

/// The number of the file that an event is the opening of, if it is one of the numbered.
fn number(event: &Value) -> Option<u64> {
    if event["kind"] != "open" || event["workload"] != "demo" {
        return None;
    }
    event["path"].as_str()?.strip_prefix("/scratch/n/")?.parse().ok()
}

/// What `aegisctl export verify --json` said of exports: whole, or not good enough.
pub(crate) fn verified(report: &Value) -> Result<(), String> {
    if report["whole"] != true {
        return Err(format!("the exports do not verify: {}", report["problems"]));
    }
    if report["seals"] != "good" {
        return Err(format!("the seals: {}", report["seals"]));
    }
    Ok(())
}

impl Oracle {
    /// The events of one export.
    pub(super) fn take(&mut self, events: &[Value]) -> Result<(), String> {
        for event in events {
            let sequence = event["sequence"].as_u64().ok_or("an event without a sequence")?;
            // What an export had that was cut before the device knew that it was out comes again.
            if sequence <= self.last {
                continue;
            }
            if sequence != self.last + 1 {
                return Err(format!("after sequence {} comes {sequence}", self.last));
            }
            self.event(event)?;
            self.last = sequence;
            self.events += 1;
        }
        Ok(())
    }

    fn event(&mut self, event: &Value) -> Result<(), String> {
        let id = event["boot_id"].as_str().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|seen| seen.id != id) {
            let before = self.seen.take();
            // Everything of the boots before is in front of this. A boot whose id is not known was cut before its workload
            // began.
            let at = |id: &str| self.waiting.iter().position(|boot| boot.id.as_deref() == Some(id));
            let over = at(id).or_else(|| Some(at(&before.as_ref()?.id)? + 1)).unwrap_or(0);
            let over = self.waiting.drain(..over).collect();
            self.judge(over, before.as_ref())?;
            if before.is_some() && event["kind"] == "start" && event["clean"] != false {
                return Err(format!("sequence {}: calls the cut before it clean", event["sequence"]));
            }
            self.ended = self.last;
            let after_cut = before.is_some().then_some(self.acked);
            self.seen = Some(Seen { id: id.to_owned(), after_cut, ..Seen::default() });
        }
        if event["kind"] == "gap" {
            return self.gap(event);
        }
        let Some(seen) = &mut self.seen else { return Ok(()) };
        if event["kind"] == "loss" {
            seen.losses += event["count"].as_u64().unwrap_or(0);
            seen.first_missing = seen.first_missing.filter(|_| seen.losses < seen.missing);
        }
        if let Some(number) = number(event) {
            let Some(missing) = number.checked_sub(seen.opens) else {
                return Err(format!("open {number} comes after {} in boot {id}", seen.opens));
            };
            if missing > 0 {
                seen.missing += missing;
                seen.first_missing.get_or_insert(seen.opens);
            }
            seen.opens = number + 1;
        }
        seen.begun |= event["kind"] == "stop" || event["workload"] == "demo";
        if seen.begun && seen.after_cut.is_some() {
            return Err(format!("boot {id} does not tell of the cut before it"));
        }
        Ok(())
    }

    /// A gap record: nothing but cuts is to be told here.
    fn gap(&mut self, event: &Value) -> Result<(), String> {
        let number = |name: &str| event[name].as_u64().unwrap_or(0);
        let (first, cuts) = (number("first"), number("total"));
        let acked = self.seen.as_mut().and_then(|seen| seen.after_cut.take());
        let known = acked.is_some_and(|acked| acked < first) && first == self.ended + 1;
        if event["cause"] != "cut" || !known || cuts <= self.cuts || cuts > self.boots {
            return Err(format!("after {} cuts, {} acknowledged: {event}", self.cuts, self.acked));
        }
        self.cuts = cuts;
        Ok(())
    }

    /// All of these boots' evidence has come out; `seen` is the last of it.
    fn judge(&mut self, boots: Vec<Boot>, seen: Option<&Seen>) -> Result<(), String> {
        for boot in boots {
            let its = seen.filter(|seen| boot.id.as_deref() == Some(&seen.id));
            let (submitted, recovered) = (boot.said.len() as u64, its.map_or(0, |seen| seen.opens));
            let which = format!("the kill {:?}", boot.plan);
            self.acked = self.acked.max(boot.acked);
            if boot.acked > self.last {
                return Err(format!("{which}: acknowledged up to {}, recovered {}", boot.acked, self.last));
            }
            if recovered > submitted {
                return Err(format!("{which}: {recovered} opens, {submitted} were said"));
            }
            let first_missing = its.and_then(|seen| boot.said.get(seen.first_missing? as usize));
            if first_missing.is_some_and(|first| boot.said.last() > Some(&(first + LOSS_DUE))) {
                return Err(format!(
                    "{which}: opens are missing in between, and not counted as lost: {its:?}"
                ));
            }
            let first_lost = boot.said.get(recovered as usize).zip(boot.said.last());
            let window_ms = first_lost.map_or(0, |(first, last)| (last - first) * 10);
            self.kills.push(Kill {
                plan: boot.plan,
                submitted,
                recovered: recovered - its.map_or(0, |seen| seen.missing),
                acked: boot.acked,
                last: self.last,
                window_ms,
                unflushed: boot.unflushed,
            });
        }
        Ok(())
    }

    /// No more evidence comes.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let (boots, seen) = (std::mem::take(&mut self.waiting), self.seen.take());
        self.judge(boots, seen.as_ref())?;
        if self.kills.len() as u64 != self.boots {
            return Err(format!("{} kills, and evidence of {}", self.boots, self.kills.len()));
        }
        Ok(())
    }

    /// The longest loss window with `sync = "window"`, ms. The other makes the agent so slow that events wait in the kernel.
    pub fn longest_window_ms(&self) -> u64 {
        self.kills.iter().filter(|kill| !kill.plan.each).map(|kill| kill.window_ms).max().unwrap_or(0)
    }

    /// The last kill that is known of, for people.
    pub(super) fn last_line(&self) -> String {
        self.kills.last().map_or_else(
            || "no evidence yet".to_owned(),
            |kill| {
                format!(
                    "of kill {}: {} opens said, {} recovered, {} ms lost, acked {} of {}",
                    kill.plan.number + 1,
                    kill.submitted,
                    kill.recovered,
                    kill.window_ms,
                    kill.acked,
                    kill.last
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIRST: &str = "aa";
    const SECOND: &str = "bb";

    /// A boot that said four opens, a tenth of a second apart, and had this acknowledged.
    fn cut(id: &str, acked: u64) -> Boot {
        let plan = Plan::new(1, 0);
        Boot { plan, id: Some(id.into()), said: vec![100, 110, 120, 130], acked, unflushed: [[0; 3]; 2] }
    }

    fn event(sequence: u64, boot: &str, kind: &str, more: &Value) -> Value {
        let mut event = json!({ "sequence": sequence, "boot_id": boot, "kind": kind });
        let fields = event.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        event
    }

    fn start(sequence: u64, boot: &str, clean: bool) -> Value {
        event(sequence, boot, "start", &json!({ "clean": clean }))
    }

    fn open(sequence: u64, boot: &str, number: u64) -> Value {
        let path = format!("/scratch/n/{number}");
        event(sequence, boot, "open", &json!({ "workload": "demo", "path": path }))
    }

    fn gap(sequence: u64, boot: &str, first: u64) -> Value {
        let gap = json!({ "cause": "cut", "first": first, "last": first - 1, "total": 1 });
        event(sequence, boot, "gap", &gap)
    }

    /// A first boot that is cut with two of its opens on disk, and a second one that comes to its end.
    fn good() -> Vec<Value> {
        vec![
            start(1, FIRST, false),
            open(2, FIRST, 0),
            open(3, FIRST, 1),
            start(4, SECOND, false),
            gap(5, SECOND, 4),
            event(6, SECOND, "stop", &json!({})),
        ]
    }

    fn judged(boot: Boot, events: &[Value]) -> Result<Oracle, String> {
        let mut oracle = Oracle { boots: 1, waiting: vec![boot], ..Oracle::default() };
        oracle.take(events)?;
        oracle.finish()?;
        Ok(oracle)
    }

    #[test]
    fn what_is_as_it_should_be_passes_and_is_measured() {
        let oracle = judged(cut(FIRST, 3), &good()).expect("good");
        let kill = &oracle.kills[0];
        assert_eq!((kill.submitted, kill.recovered, kill.acked, kill.last), (4, 2, 3, 3));
        assert_eq!((oracle.longest_window_ms(), oracle.events), (100, 6));
        // Evidence that comes twice counts once.
        let mut oracle = Oracle { boots: 1, waiting: vec![cut(FIRST, 3)], ..Oracle::default() };
        oracle.take(&good()[..3]).expect("good");
        oracle.take(&good()).expect("good");
        assert_eq!(oracle.events, 6);
    }

    #[test]
    fn whatever_is_not_is_found() {
        let changed = |at: usize, event: Value| {
            let mut events = good();
            events[at] = event;
            events
        };
        let without = |at: usize| {
            let mut events = good();
            events.remove(at);
            for (sequence, event) in (1..).zip(&mut events) {
                event["sequence"] = sequence.into();
            }
            events
        };
        let mut hole = good();
        hole.remove(1);
        let cases = [
            ("acknowledged and gone", cut(FIRST, 4), good(), "acknowledged up to 4, recovered 3"),
            ("never said", cut(FIRST, 3), changed(2, open(3, FIRST, 9)), "10 opens, 4 were said"),
            ("not in order", cut(FIRST, 3), changed(2, open(3, FIRST, 0)), "open 0 comes after 1"),
            ("a sequence is missing", cut(FIRST, 3), hole, "after sequence 1 comes 3"),
            ("called clean", cut(FIRST, 3), changed(3, start(4, SECOND, true)), "clean"),
            ("the cut is not told", cut(FIRST, 2), without(4), "does not tell of the cut"),
            ("told of another place", cut(FIRST, 3), changed(4, gap(5, SECOND, 3)), "\"first\":3"),
            ("no evidence of the boot at all", cut("cc", 9), good(), "acknowledged up to 9"),
        ];
        for (name, boot, events, part) in cases {
            let error = judged(boot, &events).expect_err(name);
            assert!(error.contains(part), "{name}: {error}");
        }
    }

    #[test]
    fn opens_that_are_missing_long_before_the_cut_must_be_counted_as_lost() {
        let mut boot = cut(FIRST, 3);
        boot.said = vec![100, 110, 120, 130 + LOSS_DUE];
        let lost = |counted: bool| {
            let mut events = good();
            events[1] = open(2, FIRST, 2);
            let what =
                if counted { event(3, FIRST, "loss", &json!({ "count": 2 })) } else { open(3, FIRST, 3) };
            events[2] = what;
            events
        };
        let again = || Boot { said: boot.said.clone(), ..cut(FIRST, 3) };
        assert_eq!(judged(again(), &lost(true)).expect("counted").kills[0].recovered, 1);
        let error = judged(again(), &lost(false)).expect_err("in silence");
        assert!(error.contains("not counted as lost"), "{error}");
    }
}
