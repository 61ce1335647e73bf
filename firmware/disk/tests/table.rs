//! The table on disks of every kind, with the power cut at every step. `sfdisk` is the witness.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]

mod common;

use aegis_disk::{Copies, Device, Error, Guid, Partition, Prepared, Wanted, prepare};
use common::{Disk, MIB, image, tool, written};
use proptest::prelude::*;

const RING: Guid = Guid::from_bytes([1; 16]);
const DATA: Guid = Guid::from_bytes([2; 16]);
const BOTH: Wanted = Wanted { ring: Some(RING), data: Some(DATA) };
const NOTHING: Wanted = Wanted { ring: None, data: None };
const SIZE: u64 = 80 * MIB;

fn partition(number: u32, start: u64, end: u64) -> Option<Partition> {
    Some(Partition { number, start: start * MIB, bytes: (end - start) * MIB })
}

/// What `sfdisk` says of it: start, size and name of each partition, in MiB.
fn by_sfdisk(disk: &Disk) -> Vec<(u64, u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    disk.to_file(&path);
    let path = path.to_str().unwrap();
    let said = tool("sfdisk", &["--verify", path], "");
    assert!(said.contains("No errors detected") || said.is_empty(), "{said}");
    let field = |line: &str, name: &str| {
        let rest = line.split(&format!("{name}=")).nth(1).unwrap();
        rest.split(',').next().unwrap().trim().trim_matches('"').to_owned()
    };
    let mib = |line: &str, name: &str| field(line, name).parse::<u64>().unwrap() / 2048;
    let dump = tool("sfdisk", &["--dump", path], "");
    dump.lines()
        .filter(|line| line.contains("name="))
        .map(|line| (mib(line, "start"), mib(line, "size"), field(line, "name")))
        .collect()
}

fn named(of: &[(u64, u64, &str)]) -> Vec<(u64, u64, String)> {
    of.iter().map(|(start, size, name)| (*start, *size, (*name).to_owned())).collect()
}

const IMAGE: [(u64, u64, &str); 3] = [(1, 2, "aegis-esp"), (3, 3, "aegis-root-a"), (6, 3, "aegis-root-b")];
const MADE: [(u64, u64, &str); 5] =
    [IMAGE[0], IMAGE[1], IMAGE[2], (9, 16, "aegis-ring"), (25, 54, "aegis-data")];

#[test]
fn an_image_on_a_larger_disk_gets_both_partitions() {
    let mut disk = written(SIZE);
    let prepared = prepare(&mut disk, 512, BOTH).unwrap();
    assert_eq!(
        prepared,
        Prepared {
            found: Copies::Short,
            ring: partition(4, 9, 25),
            data: partition(5, 25, 79),
            grown: None,
            no_room: false,
            in_table: [partition(4, 9, 25), partition(5, 25, 79)],
        }
    );
    assert_eq!(by_sfdisk(&disk), named(&MADE));

    // The next boot finds all of it, and writes nothing.
    let mut again = disk.fresh();
    let prepared = prepare(&mut again, 512, BOTH).unwrap();
    assert_eq!(
        (prepared.found, prepared.ring, prepared.data, prepared.grown),
        (Copies::Whole, None, None, None)
    );
    assert_eq!(again.steps, 0);

    // On a larger disk the data partition takes the rest.
    let mut larger = disk.fresh().resized(2 * SIZE);
    let prepared = prepare(&mut larger, 512, NOTHING).unwrap();
    assert_eq!((prepared.found, prepared.grown), (Copies::Short, partition(5, 25, 159)));
    assert_eq!(by_sfdisk(&larger)[4], (25, 134, "aegis-data".to_owned()));
}

#[test]
fn what_is_not_wanted_is_not_made_and_what_has_no_room_is_said() {
    let cases = [
        (SIZE, NOTHING, None, None, false),
        (SIZE, Wanted { ring: Some(RING), data: None }, partition(4, 9, 25), None, false),
        (SIZE, Wanted { ring: None, data: Some(DATA) }, None, partition(4, 9, 79), false),
        // 47 MiB are not enough for both.
        (57 * MIB, BOTH, None, None, true),
        (58 * MIB, BOTH, partition(4, 9, 25), partition(5, 25, 57), false),
        (10 * MIB, BOTH, None, None, true),
    ];
    for (bytes, wanted, ring, data, no_room) in cases {
        let mut disk = written(bytes);
        let prepared = prepare(&mut disk, 512, wanted).unwrap();
        assert_eq!(
            (prepared.ring, prepared.data, prepared.no_room),
            (ring, data, no_room),
            "{bytes} {wanted:?}"
        );
        assert_eq!(by_sfdisk(&disk)[..3], named(&IMAGE));
    }
}

#[test]
fn what_was_lost_from_the_table_is_made_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = written(SIZE);
    prepare(&mut disk, 512, BOTH).unwrap();
    for (number, wanted, made) in [("4", BOTH, (9, 16)), ("5", BOTH, (25, 54))] {
        let path = folder.path().join("disk");
        disk.to_file(&path);
        tool(
            "sfdisk",
            &["--quiet", "--no-reread", "--no-tell-kernel", "--delete", path.to_str().unwrap(), number],
            "",
        );
        let mut without = Disk::from_file(&path, SIZE);
        let prepared = prepare(&mut without, 512, wanted).unwrap();
        let partition = prepared.ring.or(prepared.data).unwrap();
        assert_eq!((partition.start / MIB, partition.bytes / MIB), made);
        assert_eq!(by_sfdisk(&without), named(&MADE));
    }
}

#[test]
fn what_lay_there_before_is_wiped_before_the_table_names_it() {
    let mut disk = written(SIZE);
    for mib in 9..80 {
        disk.write(mib * MIB, b"AEGISRNG, once").unwrap();
        disk.write(mib * MIB - 4096, b"AEGISRNG, once").unwrap();
        disk.write(mib * MIB + MIB / 4 - 4096, b"AEGISRNG, once").unwrap();
    }
    let mut disk = disk.fresh();
    let prepared = prepare(&mut disk, 512, BOTH).unwrap();
    for Partition { start, bytes, .. } in prepared.in_table.into_iter().flatten() {
        for at in [start, start + MIB / 4 - 4096, start + bytes - 4096, start + bytes - MIB / 4] {
            let mut read = [7; 4096];
            disk.read(at, &mut read).unwrap();
            assert_eq!(read, [0; 4096], "{at}");
        }
    }
}

/// Whatever one copy is like, the other counts, and the damaged one is written anew.
#[test]
fn a_damaged_copy_is_mended_from_the_other() {
    let mut whole = written(SIZE);
    prepare(&mut whole, 512, BOTH).unwrap();
    let whole = whole.fresh();
    let last = SIZE - 512;
    for (spoilt, found) in [
        (512, Copies::SecondOnly),
        (512 + 56, Copies::SecondOnly),
        (1024 + 40, Copies::SecondOnly),
        (1024 + 128 * 100, Copies::SecondOnly),
        (last, Copies::FirstOnly),
        (last + 24, Copies::FirstOnly),
        (last - 32 * 512 + 60, Copies::FirstOnly),
    ] {
        let mut disk = whole.fresh();
        disk.spoil(spoilt);
        let prepared = prepare(&mut disk, 512, BOTH).unwrap();
        assert_eq!((prepared.found, prepared.ring, prepared.data), (found, None, None), "{spoilt}");
        assert_eq!(disk.differs(&whole), [], "{spoilt}");
    }
    // Of an image on a larger disk, too.
    let mut disk = written(SIZE);
    disk.spoil(10 * MIB - 512);
    assert_eq!(prepare(&mut disk, 512, BOTH).unwrap().found, Copies::FirstOnly);
    // Where the old one was is in the ring's partition now.
    assert_eq!(disk.differs(&whole), [10 * MIB / 512 - 1]);
}

#[test]
fn a_disk_without_a_table_is_not_touched() {
    let mut whole = written(SIZE);
    prepare(&mut whole, 512, BOTH).unwrap();
    let mut neither = whole.fresh();
    neither.spoil(512);
    neither.spoil(SIZE - 512);
    let mut unfinished = written(SIZE);
    unfinished.spoil(1024);
    for (name, disk, block) in [
        ("neither copy", neither, 512),
        ("a damaged image", unfinished, 512),
        ("blank", Disk::new(SIZE), 512),
        ("tiny", Disk::new(4096), 512),
        ("nothing", Disk::new(0), 512),
        ("cut off", written(SIZE).resized(6 * MIB), 512),
        ("of other blocks", written(SIZE), 4096),
        ("of no blocks", written(SIZE), 0),
        ("of odd blocks", written(SIZE), 520),
    ] {
        let mut disk = disk;
        assert_eq!(prepare(&mut disk, block, BOTH), Err(Error::NoTable), "{name}");
        assert_eq!(disk.steps, 0, "{name}");
    }
}

#[test]
fn a_disk_that_can_t_be_read_is_not_touched() {
    for at in [512, 1024, SIZE - 512] {
        let mut disk = written(SIZE);
        disk.unreadable = Some(at);
        assert_eq!(prepare(&mut disk, 512, BOTH), Err(Error::Device("unreadable")));
        assert_eq!(disk.steps, 0, "{at}");
    }
}

#[test]
fn the_power_may_go_at_any_step() {
    let made = {
        let mut disk = written(SIZE);
        prepare(&mut disk, 512, BOTH).unwrap();
        disk.fresh()
    };
    let spoilt = |at| {
        let mut disk = made.fresh();
        disk.spoil(at);
        disk
    };
    let (mut points, mut disks) = (0, 0);
    for (name, before, bytes) in [
        ("first boot", written(SIZE), SIZE),
        ("first boot, over an older device", made.fresh().overlaid(&written(10 * MIB)), SIZE),
        ("a larger disk", made.fresh().resized(2 * SIZE), 2 * SIZE),
        ("first copy damaged", spoilt(512), SIZE),
        ("second copy damaged", spoilt(SIZE - 512), SIZE),
    ] {
        let before = before.resized(bytes);
        let after = {
            let mut disk = before.fresh();
            prepare(&mut disk, 512, BOTH).unwrap();
            disk
        };
        let was = before.fresh();
        for cut in 0..=after.steps {
            let mut disk = before.fresh();
            disk.cut = Some(cut);
            let done = prepare(&mut disk, 512, BOTH);
            assert!(done.is_ok() || cut < after.steps, "{name}");
            points += 1;
            for mut left in disk.survivors(12) {
                disks += 1;
                // What the table named before, it names now: the kernel, which knows the old one or the new one, starts.
                let looked = prepare(&mut left.fresh(), 512, NOTHING);
                assert!(looked.is_ok(), "{name}, cut {cut}: {looked:?}");
                prepare(&mut left, 512, BOTH).unwrap();
                let (left, after, was) =
                    (by_entries(&mut left), by_entries(&mut after.fresh()), by_entries(&mut was.fresh()));
                assert_eq!(left, after, "{name}, cut {cut}");
                assert!(after.iter().zip(&was).all(|(new, old)| new == old
                    || old.iter().all(|byte| *byte == 0)
                    || new[..40] == old[..40]));
            }
        }
    }
    println!("{points} cut points, {disks} disks");
}

impl Disk {
    /// With the first sectors of another one: an image that was written over what was there.
    fn overlaid(mut self, image: &Self) -> Self {
        let mut bytes = vec![0; image.bytes() as usize];
        image.fresh().read(0, &mut bytes).unwrap();
        self.write(0, &bytes).unwrap();
        self.fresh()
    }
}

/// The entries of the first copy, as they are.
fn by_entries(disk: &mut Disk) -> Vec<Vec<u8>> {
    let mut bytes = [0; 128 * 128];
    disk.read(1024, &mut bytes).unwrap();
    bytes.chunks(128).map(<[u8]>::to_vec).collect()
}

#[test]
fn blocks_of_4096_bytes_are_as_good() {
    let mut disk = Disk::new(SIZE);
    // A table of 4096-byte blocks, made of the other one: by its own writer, as sfdisk needs a device for that.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    image(&path);
    let small = Disk::from_file(&path, 10 * MIB);
    let mut header = [0; 92];
    small.fresh().read(512, &mut header).unwrap();
    for (at, value) in [(32, SIZE / 4096 - 1), (40, 6), (48, SIZE / 4096 - 6), (72, 2)] {
        header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let entries = vec![0; 128 * 128];
    put_sums(&mut header, &entries);
    disk.write(4096, &header).unwrap();
    disk.write(8192, &entries).unwrap();
    let mut disk = disk.fresh();
    let prepared = prepare(&mut disk, 4096, BOTH).unwrap();
    assert_eq!(
        (prepared.found, prepared.ring, prepared.data),
        (Copies::FirstOnly, partition(1, 1, 17), partition(2, 17, 79))
    );
    assert_eq!(prepare(&mut disk.fresh(), 4096, BOTH).unwrap().found, Copies::Whole);
}

fn put_sums(header: &mut [u8; 92], entries: &[u8]) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    header[88..].copy_from_slice(&crc.checksum(entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc.checksum(&header[..]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Numbers of any kind under sums that hold: no panic, and nothing is written outside the disk (the disk sees to that).
    #[test]
    fn headers_are_hostile(
        changes in prop::collection::vec((8usize..92, prop::sample::select(vec![0u64, 1, 2, 33, 34, 2048, 20_479, 163_839, 163_840, u64::MAX, u64::MAX / 512, 1 << 55])), 0..4),
        entries in prop::collection::vec((0usize..128, 0u64..200_000, 0u64..200_000), 0..6),
        second in any::<bool>(),
    ) {
        let mut disk = written(SIZE);
        let (mut header, mut array) = ([0; 92], vec![0; 128 * 128]);
        disk.read(512, &mut header).unwrap();
        disk.read(1024, &mut array).unwrap();
        for (slot, start, end) in entries {
            array[slot * 128..slot * 128 + 16].fill(7);
            array[slot * 128 + 32..slot * 128 + 40].copy_from_slice(&start.to_le_bytes());
            array[slot * 128 + 40..slot * 128 + 48].copy_from_slice(&end.to_le_bytes());
        }
        for (at, value) in changes {
            let end = (at + 8).min(92);
            header[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        put_sums(&mut header, &array);
        let place = if second { SIZE - 512 } else { 512 };
        disk.write(place, &header).unwrap();
        disk.write(if second { place - 32 * 512 } else { 1024 }, &array).unwrap();
        let mut disk = disk.fresh();
        if prepare(&mut disk, 512, BOTH).is_ok() {
            prop_assert_eq!(prepare(&mut disk.fresh(), 512, BOTH).unwrap().found, Copies::Whole);
        }
    }
}
