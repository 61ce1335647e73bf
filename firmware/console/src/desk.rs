//! What runs beside the screen: who is asked next, who is heard, what is known from it.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::app::{Answer, Ask};
use crate::child::{Follow, Job, small_file};
use crate::known::{Asked, Known};
use crate::limits;
use crate::load::Measured;
use crate::model::{Image, Line, Policy, Status, Verdict};

/// What is asked again and again, and how old an answer may be.
const ROUND: [(Ask, core::time::Duration); 4] = [
    (Ask::Status, limits::STATUS_AGE),
    (Ask::Health, limits::HEALTH_AGE),
    (Ask::Policy, limits::POLICY_AGE),
    (Ask::Image, limits::IMAGE_AGE),
];
/// Kinds of events that tell what came by stick, and what was decided of it.
const DECISIONS: [&str; 5] = ["stick", "policy", "root", "image", "break-glass"];

/// What is looked at besides what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// State, health, denials, sticks.
    State,
    /// What workloads take, every so many seconds.
    Load(u16),
}

/// Events that are followed.
struct Trail {
    follow: Option<Follow>,
    /// The sequence from which on.
    next: u64,
    back: u64,
    /// Not before.
    again: Option<Instant>,
}

impl Trail {
    const fn new(back: u64) -> Self {
        Self { follow: None, next: 0, back, again: None }
    }
}

/// Something that a person has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// What he asked was answered.
    Answered(Ask, Answer),
    /// Metrics came: when, s.
    Measured(f64, Measured),
    /// Something that is shown may be another.
    Changed,
}

/// Children, and what is known from them.
pub(crate) struct Desk {
    program: PathBuf,
    pub(crate) known: Known,
    begun: Instant,
    /// When each of [`ROUND`] was asked last, and the metrics.
    asked: [Option<Instant>; ROUND.len()],
    measured: Option<Instant>,
    started: Option<Instant>,
    looking: Option<Job<Ask>>,
    acting: Option<Job<Ask>>,
    denials: Trail,
    decisions: Trail,
    /// Nothing is asked.
    asleep: bool,
}

impl Desk {
    /// `program`: the agent's.
    pub(crate) fn new(program: &Path) -> Self {
        let known = Known {
            variant: small_file("/etc/aegis/variant")
                .map(|text| crate::text::plain(&text, 16))
                .unwrap_or_default(),
            boot: small_file("/proc/sys/kernel/random/boot_id").unwrap_or_default().replace('-', ""),
            ..Known::default()
        };
        Self {
            program: program.to_owned(),
            known,
            begun: Instant::now(),
            asked: [None; ROUND.len()],
            measured: None,
            started: None,
            looking: None,
            acting: None,
            denials: Trail::new(limits::DENIALS_BACK),
            decisions: Trail::new(limits::DECISIONS_BACK),
            asleep: false,
        }
    }

    /// What a person asks. One at a time: who asks again is not heard.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<(), String> {
        if ask == Ask::Metrics {
            self.measured = None;
            return Ok(());
        }
        let started = Job::start(ask, &self.program, ask.words(), ask.limit(), ask.is_log());
        self.acting = Some(started.map_err(|error| format!("{}: {error}", self.program.display()))?);
        Ok(())
    }

    /// Nothing is asked any more, and nobody followed; or again. What is known is asked anew then.
    pub(crate) fn sleep(&mut self, asleep: bool) {
        if self.asleep == asleep {
            return;
        }
        self.asleep = asleep;
        if asleep {
            self.stop_following();
            self.looking = None;
        } else {
            self.refresh();
        }
    }

    /// Everything is asked anew.
    pub(crate) fn refresh(&mut self) {
        self.asked = [None; ROUND.len()];
        self.measured = None;
    }

    /// Nobody is followed: another command has the terminal.
    pub(crate) fn stop_following(&mut self) {
        for trail in [&mut self.denials, &mut self.decisions] {
            trail.follow = None;
            trail.again = None;
        }
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let jobs = [&self.looking, &self.acting].into_iter().flatten().flat_map(Job::fds);
        let trails = [&self.denials, &self.decisions].into_iter().filter_map(|trail| trail.follow.as_ref());
        jobs.chain(trails.flat_map(Follow::fds)).collect()
    }

    /// When to look at the latest.
    pub(crate) fn due(&self, watch: Watch, now: Instant) -> Option<Instant> {
        let jobs = [&self.looking, &self.acting].into_iter().flatten().map(|job| job.due(now));
        let mut due: Vec<Instant> = jobs.collect();
        if !self.asleep {
            due.extend([self.denials.again, self.decisions.again].into_iter().flatten());
            if self.looking.is_none() {
                due.extend(self.next(watch, now).map(|(_, at)| at));
            }
        }
        due.into_iter().min()
    }

    /// What is asked next, and when.
    fn next(&self, watch: Watch, now: Instant) -> Option<(Ask, Instant)> {
        let age = |last: Option<Instant>, age| last.map_or(now, |last| last + age);
        let mut all: Vec<(Ask, Instant)> =
            ROUND.iter().zip(self.asked).map(|((ask, most), last)| (*ask, age(last, *most))).collect();
        if let Watch::Load(seconds) = watch {
            // Of the state only what the bar above says.
            all.truncate(1);
            all.push((Ask::Metrics, age(self.measured, core::time::Duration::from_secs(seconds.into()))));
        }
        // Of several the one that waits longest; at the very first all come one after the other.
        let first = all.iter().any(|(ask, _)| self.never(*ask));
        let (ask, at) = all.into_iter().min_by_key(|(ask, at)| (!self.never(*ask), *at))?;
        let rest = if first { None } else { self.started.map(|started| started + limits::REST) };
        Some((ask, rest.map_or(at, |rest| at.max(rest))))
    }

    fn never(&self, ask: Ask) -> bool {
        match ROUND.iter().position(|(one, _)| *one == ask) {
            Some(at) => self.asked[at].is_none(),
            None => self.measured.is_none(),
        }
    }

    /// Hears what came, starts what is due.
    pub(crate) fn turn(&mut self, watch: Watch, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(job) = &mut self.looking
            && let Some(answer) = job.look(now)
        {
            let ask = job.what;
            self.looking = None;
            news.push(self.hear(ask, &answer));
        }
        if let Some(job) = &mut self.acting
            && let Some(answer) = job.look(now)
        {
            let ask = job.what;
            self.acting = None;
            // It may have changed what is known.
            self.refresh();
            news.push(News::Answered(ask, answer));
        }
        if self.follow(watch, now) {
            news.push(News::Changed);
        }
        if !self.asleep && self.looking.is_none() {
            self.begin(watch, now);
        }
        news
    }

    fn begin(&mut self, watch: Watch, now: Instant) {
        let Some((ask, _)) = self.next(watch, now).filter(|(_, at)| *at <= now) else { return };
        self.started = Some(now);
        match ROUND.iter().position(|(one, _)| *one == ask) {
            Some(at) => self.asked[at] = Some(now),
            None => self.measured = Some(now),
        }
        match Job::start(ask, &self.program, ask.words(), ask.limit(), ask.is_log()) {
            Ok(job) => self.looking = Some(job),
            Err(error) => {
                let err = format!("{}: {error}", self.program.display()).into_bytes();
                self.hear(ask, &Answer { err, ..Answer::default() });
            }
        }
    }

    fn hear(&mut self, ask: Ask, answer: &Answer) -> News {
        let known = &mut self.known;
        known.uptime = uptime();
        match ask {
            Ask::Status => known.status = Asked::of(answer.object(), Status::of),
            Ask::Health => known.health = Asked::of(answer.object(), Verdict::of),
            Ask::Policy => known.policy = Asked::of(answer.object(), Policy::of),
            Ask::Image => known.image = Asked::of(answer.object(), Image::of),
            Ask::Metrics => {
                return News::Measured(self.begun.elapsed().as_secs_f64(), Measured::of(&answer.out));
            }
            _ => {}
        }
        News::Changed
    }

    /// Children that follow events: started once the agent says how far its ring is, and again when they ended.
    fn follow(&mut self, watch: Watch, now: Instant) -> bool {
        let ready = self.known.status.known().filter(|status| status.phase == "ready");
        let last = ready.map(|status| (status.ring.first, status.ring.last));
        let wanted = watch == Watch::State && !self.asleep;
        let (known, program) = (&mut self.known, &self.program);
        let mut changed = false;
        for (trail, terms) in [
            (&mut self.denials, vec!["verdict=denied".to_owned()]),
            (&mut self.decisions, DECISIONS.iter().map(|kind| format!("kind={kind}")).collect()),
        ] {
            if let Some(follow) = &mut trail.follow {
                let next = &mut trail.next;
                let over = follow.look(|bytes| {
                    if let Some(line) = Line::of(bytes) {
                        if let Line::Event(event) = &line {
                            *next = (*next).max(event.sequence.saturating_add(1));
                        }
                        known.hear(&line);
                        changed = true;
                    }
                });
                if let Some(why) = over {
                    trail.follow = None;
                    trail.again = Some(now + limits::FOLLOW_AGAIN);
                    known.unfollowed = Some(why);
                    changed = true;
                }
                continue;
            }
            let Some((first, last)) = last.filter(|_| wanted && trail.again.is_none_or(|again| again <= now))
            else {
                continue;
            };
            let since = trail.next.max(last.saturating_sub(trail.back)).max(first).max(1);
            let mut words: Vec<String> = ["events", "--follow", "--json"].map(str::to_owned).into();
            for term in terms.into_iter().chain([format!("since={since}")]) {
                words.extend(["--filter".to_owned(), term]);
            }
            match Follow::start(program, &words) {
                Ok(follow) => {
                    trail.follow = Some(follow);
                    trail.again = None;
                    known.unfollowed = None;
                }
                Err(error) => {
                    trail.again = Some(now + limits::FOLLOW_AGAIN);
                    known.unfollowed = Some(error.to_string());
                }
            }
        }
        changed
    }
}

/// Seconds since the start, those asleep included.
fn uptime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    /// An hour of asking, without children: what would be started, and when.
    fn hour(watch: Watch) -> Vec<(Ask, Duration)> {
        let mut desk = Desk::new(Path::new("/nowhere/at/all"));
        let begun = Instant::now();
        let (mut now, mut all) = (begun, Vec::new());
        while let Some((ask, at)) = desk.next(watch, now) {
            now = now.max(at);
            if now > begun + Duration::from_hours(1) {
                break;
            }
            all.push((ask, now - begun));
            desk.started = Some(now);
            match ROUND.iter().position(|(one, _)| *one == ask) {
                Some(at) => desk.asked[at] = Some(now),
                None => desk.measured = Some(now),
            }
        }
        all
    }

    #[test]
    fn no_more_is_asked_than_is_promised() {
        let all = hour(Watch::State);
        let first: Vec<Ask> = all.iter().take(4).map(|(ask, _)| *ask).collect();
        assert_eq!(
            first,
            [Ask::Status, Ask::Health, Ask::Policy, Ask::Image],
            "at first all, one after the other"
        );
        for pair in all[3..].windows(2) {
            assert!(pair[1].1 >= pair[0].1 + limits::REST, "{pair:?}");
        }
        for (ask, age) in ROUND {
            let count = all.iter().filter(|(one, _)| *one == ask).count() as u64;
            let most = 3600 / age.as_secs() + 1;
            assert!(count <= most && count + 2 + most / 2 >= most, "{ask:?}: {count} of {most}");
        }
        let top = hour(Watch::Load(60));
        assert!(top.iter().all(|(ask, _)| matches!(ask, Ask::Status | Ask::Metrics)));
        let looks = top.iter().filter(|(ask, _)| *ask == Ask::Metrics).count();
        assert!((58..=61).contains(&looks), "{looks}");
    }

    /// Who is asleep asks nothing; who wakes asks all of it anew.
    #[test]
    fn asleep_nothing_is_asked() {
        let mut desk = Desk::new(Path::new("/nowhere/at/all"));
        let now = Instant::now();
        desk.sleep(true);
        assert!(desk.turn(Watch::State, now).is_empty() && desk.known.status == Asked::NotYet);
        assert_eq!(desk.due(Watch::State, now), None);
        desk.sleep(false);
        assert_eq!(desk.due(Watch::State, now), Some(now));
        desk.turn(Watch::State, now);
        assert!(matches!(&desk.known.status, Asked::Failed(why) if why.contains("/nowhere/at/all")));
    }
}
