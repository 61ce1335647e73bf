//! One file, from a ring that is a file.
#![allow(clippy::unwrap_used)]

use aegis_ring::{FormatOptions, Options as RingOptions, Ring};

use super::*;

const EVENTS: u64 = 2000;

/// A ring with some events.
fn made(directory: &Path) -> PathBuf {
    let path = directory.join("ring");
    std::fs::File::create(&path).unwrap().set_len(4 << 20).unwrap();
    let device = || RingDevice::open(Some(&path), true).unwrap();
    let shape = FormatOptions { ring_id: [7; 16], bytes: device().bytes(), segment_bytes: 0 };
    aegis_ring::format(device(), &shape).unwrap();
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let mut ring = Ring::open_with(device(), [1; 16], &mut scratch, RingOptions::default()).unwrap();
    for number in 0..EVENTS {
        ring.append(&[number as u8; 200]).unwrap();
    }
    ring.seal().unwrap();
    path
}

fn plan(options: &Options, next: u64) -> Plan<'_> {
    Plan {
        options,
        identity: Identity::of([3; 32]),
        cursor: Cursor { ring: [7; 16], next, epoch: 0 },
        created: Created { boot: [1; 16], boottime: 5, clock: 9, clock_trusted: false },
        certificate: None,
        policy: None,
        recipients: Vec::new(),
    }
}

/// A stick so slow that there is time for one item only: each turn takes it further, and nothing is left out.
#[test]
fn a_slow_stick_gets_a_part_and_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, to) = (Some(made(directory.path())), directory.path().join("out"));
    std::fs::create_dir(&to).unwrap();
    let options = Options { to, ring, until: Some(Instant::now()), ..Options::default() };
    let (mut next, mut files) = (1, 0);
    while next <= EVENTS {
        let Ok(exported) = plan(&options, next).attempt(u64::MAX) else { panic!("refused at {next}") };
        assert!(exported.first == next && exported.resume > next, "{next}: {}", exported.resume);
        assert_eq!(exported.events, exported.resume - next);
        match &exported.left {
            Some(left) => {
                assert_eq!(
                    (left.late, left.events, left.from),
                    (true, EVENTS + 1 - exported.resume, exported.resume)
                );
                assert!(left.to_string().starts_with("too slow: "), "{left}");
            }
            None => assert_eq!((exported.ending, exported.resume), (Ending::Complete, EVENTS + 1)),
        }
        assert!(exported.path.exists() && exported.damage.is_none());
        (next, files) = (exported.resume, files + 1);
    }
    assert!(files > 1, "one file has it all");
    // With time enough it is one.
    let whole = Options { until: None, ..options };
    let Ok(exported) = plan(&whole, 1).attempt(u64::MAX) else { panic!("refused") };
    assert!(exported.left.is_none() && exported.events == EVENTS && !exported.late);
}

/// From no room for a manifest to room for all: what is written is whole, what is not is left, and nothing is between.
#[test]
fn a_full_stick_at_every_size() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, to) = (Some(made(directory.path())), directory.path().join("out"));
    std::fs::create_dir(&to).unwrap();
    let options = Options { to: to.clone(), ring, ..Options::default() };
    let recipient = aegis_age::Identity::from_random(&[9; 32]).unwrap().recipient();
    for recipients in [vec![], vec![recipient]] {
        let mut complete = 0;
        for space in (0..=16_384).step_by(512).chain((16_384..700_000).step_by(40_000)) {
            let plan = Plan { recipients: recipients.clone(), ..plan(&options, 1) };
            let Ok(exported) = plan.attempt(space) else {
                assert!(space < 2 * bounds::MANIFEST_BYTES as u64 + 200, "{space} is refused");
                continue;
            };
            let length = std::fs::metadata(&exported.path).unwrap().len();
            assert!(length <= space, "{length} in {space}");
            let left = exported.left.as_ref().map_or(0, |left| left.events);
            assert_eq!(exported.events + left, EVENTS, "in {space}");
            assert_eq!(exported.resume, exported.events + 1);
            complete += u32::from(left == 0);
            std::fs::remove_file(&exported.path).unwrap();
        }
        assert!(complete > 0);
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0, "a file that was not finished is there");
    }
}
