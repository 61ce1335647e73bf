//! The one door to bpf(2) and to shared pages.
#![allow(unsafe_code)] // bpf(2) takes pointers in a union, and pages shared with the kernel come from mmap: no safe crate does either

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Commands of bpf(2), `include/uapi/linux/bpf.h`.
mod command {
    pub(super) const MAP_CREATE: i32 = 0;
    pub(super) const MAP_LOOKUP_ELEM: i32 = 1;
    pub(super) const MAP_UPDATE_ELEM: i32 = 2;
    pub(super) const MAP_DELETE_ELEM: i32 = 3;
    pub(super) const MAP_GET_NEXT_KEY: i32 = 4;
    pub(super) const OBJ_GET: i32 = 7;
    pub(super) const PROG_TEST_RUN: i32 = 10;
    pub(super) const OBJ_GET_INFO_BY_FD: i32 = 15;
    pub(super) const MAP_LOOKUP_BATCH: i32 = 24;
    pub(super) const MAP_UPDATE_BATCH: i32 = 26;
}

/// Commands of bpf(2) for who looks, and tells an event: nothing is loaded, attached, pinned or created by them.
pub(crate) const LOOKING: &[u32] = &[
    command::MAP_LOOKUP_ELEM as u32,
    command::MAP_UPDATE_ELEM as u32,
    command::MAP_GET_NEXT_KEY as u32,
    command::OBJ_GET as u32,
    command::PROG_TEST_RUN as u32,
    command::OBJ_GET_INFO_BY_FD as u32,
    command::MAP_LOOKUP_BATCH as u32,
];

/// `union bpf_attr`, as long as any command here needs; what is not set is zero.
#[repr(C, align(8))]
struct Attributes([u8; 80]);

impl Attributes {
    const fn new() -> Self {
        Self([0; 80])
    }

    fn u32(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn fd(self, offset: usize, fd: BorrowedFd<'_>) -> Self {
        self.u32(offset, fd.as_raw_fd().cast_unsigned())
    }

    fn u64(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn pointer<T: ?Sized>(self, offset: usize, pointer: *const T) -> Self {
        self.u64(offset, pointer.cast::<u8>().expose_provenance() as u64)
    }

    /// # Safety
    /// Every pointer in the attributes must be valid for what the command does with it.
    unsafe fn call(&mut self, command: i32) -> io::Result<i32> {
        // SAFETY: the attributes are readable and writable for their length; their pointers are the caller's promise.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut self.0, self.0.len()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
    }

    /// # Safety
    /// As [`Attributes::call`], for a command that returns a new file descriptor.
    unsafe fn open(&mut self, command: i32) -> io::Result<OwnedFd> {
        // SAFETY: passed on to the caller.
        let fd = unsafe { self.call(command)? };
        // SAFETY: the kernel just made this descriptor for us; nobody else has it. It is close-on-exec.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Opens the object pinned at `path`.
pub(super) fn obj_get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    unsafe { Attributes::new().pointer(0, path.as_ptr()).open(command::OBJ_GET) }
}

/// What the kernel says of a map: `struct bpf_map_info` begins with type, id, `key_size`, `value_size`, `max_entries`.
pub(super) fn map_shape(fd: BorrowedFd<'_>) -> io::Result<[usize; 3]> {
    let mut info = [0u32; 5];
    object_info(fd, info.as_mut_bytes())?;
    Ok([info[2] as usize, info[3] as usize, info[4] as usize])
}

/// How full a map is that fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) used: u32,
    pub(super) most: u32,
}

/// How full the map is; `None` of one that is as long as it is (an array, a ring buffer), or makes room by itself. While others
/// change it, about so.
pub(super) fn fill(map: OwnedFd) -> io::Result<Option<Fill>> {
    const HASH: u32 = 1;
    const LPM_TRIE: u32 = 11;
    let mut info = [0u32; 5];
    object_info(map.as_fd(), info.as_mut_bytes())?;
    let [kind, _, key, value, most] = info;
    if !matches!(kind, HASH | LPM_TRIE) {
        return Ok(None);
    }
    let map = Bulk { fd: map, key: key as usize, value: value as usize };
    Ok(Some(Fill { used: map.count(most)?, most }))
}

/// What the kernel counts of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Invocations that it skipped because the same program was running on that CPU already.
    pub(super) missed: u64,
    /// Instructions that its verifier went through; 0 before 5.16.
    pub(super) verified: u32,
    /// Invocations, and the time that they took, ns: while `kernel.bpf_stats_enabled` is 1.
    pub(super) runs: u64,
    pub(super) run_nanos: u64,
}

/// `struct bpf_prog_info.run_time_ns` (5.1) is at byte 192, `run_cnt` behind it, then `recursion_misses` (5.12) and
/// `verified_insns` (5.16).
pub(super) fn counts(fd: BorrowedFd<'_>) -> io::Result<Counts> {
    let mut info = [0u64; 28];
    object_info(fd, info.as_mut_bytes())?;
    Ok(Counts { missed: info[26], verified: info[27] as u32, runs: info[25], run_nanos: info[24] })
}

fn object_info(fd: BorrowedFd<'_>, out: &mut [u8]) -> io::Result<()> {
    let length = u32::try_from(out.len()).map_err(io::Error::other)?;
    let mut attributes = Attributes::new().fd(0, fd).u32(4, length).pointer(8, out.as_mut_ptr());
    // SAFETY: the kernel writes at most `length` bytes to `out`. All pointers inside the info are zero on the way in.
    unsafe { attributes.call(command::OBJ_GET_INFO_BY_FD) }.map(drop)
}

/// Entries that the hash map or trie pinned at `path` has, and can have. Whoever changes it meanwhile may make the count differ.
pub(super) fn occupancy(path: &Path) -> io::Result<[u64; 2]> {
    let fill = fill(obj_get(path)?)?.ok_or(io::ErrorKind::InvalidData)?;
    Ok([fill.used, fill.most].map(u64::from))
}

/// A pinned hash or array map.
pub(super) struct Map<K, V> {
    fd: OwnedFd,
    types: PhantomData<(K, V)>,
}

impl<K, V> Map<K, V>
where
    K: IntoBytes + FromBytes + Immutable,
    V: IntoBytes + FromBytes + Immutable,
{
    /// Opens the map pinned at `path`; refuses one whose keys and values have other sizes.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = obj_get(path)?;
        let [key_size, value_size, _] = map_shape(fd.as_fd())?;
        if key_size != size_of::<K>() || value_size != size_of::<V>() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the map has another layout"));
        }
        Ok(Self { fd, types: PhantomData })
    }

    fn element<T: ?Sized>(&self, key: *const K, value: *const T) -> Attributes {
        Attributes::new().fd(0, self.fd.as_fd()).pointer(8, key).pointer(16, value)
    }

    /// Reads one element; `None` when there is none.
    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::new_zeroed();
        // SAFETY: `open` compared both sizes; any bytes are a `V`.
        absent_is_none(unsafe { self.element(key, &raw mut value).call(command::MAP_LOOKUP_ELEM) })
            .map(|found| found.map(|()| value))
    }

    /// Writes one element, new or not.
    pub(super) fn set(&self, key: &K, value: &V) -> io::Result<()> {
        // SAFETY: `open` compared both sizes; the kernel only reads.
        unsafe { self.element(key, value).call(command::MAP_UPDATE_ELEM) }.map(drop)
    }

    /// Removes one element; false when there was none.
    pub(super) fn remove(&self, key: &K) -> io::Result<bool> {
        // SAFETY: `open` compared the size; the kernel only reads.
        absent_is_none(unsafe { self.element(key, ptr::null::<u8>()).call(command::MAP_DELETE_ELEM) })
            .map(|found| found.is_some())
    }

    /// All keys. Whoever changes the map meanwhile may make it miss some: hold the lock.
    pub(super) fn keys(&self) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = K::new_zeroed();
            let last = keys.last().map_or(ptr::null(), ptr::from_ref);
            // SAFETY: `open` compared the size; any bytes are a `K`.
            match absent_is_none(unsafe {
                self.element(last, &raw mut next).call(command::MAP_GET_NEXT_KEY)
            })? {
                Some(()) => keys.push(next),
                None => return Ok(keys),
            }
        }
    }
}

/// Elements that are read or written at once. A bucket of a hash map has to fit, or the kernel says ENOSPC.
const BATCH: usize = 4096;
/// The same where they are only counted, by who has little memory.
const COUNTED: usize = 512;

/// Keys and values as they lie in memory.
pub(super) type Elements = BTreeMap<Vec<u8>, Vec<u8>>;

/// A hash map or trie, many elements at a time, whatever they are.
pub(super) struct Bulk {
    fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Bulk {
    /// Opens the map pinned at `path`; refuses one whose keys and values have other sizes.
    pub(super) fn open(path: &Path, key: usize, value: usize) -> io::Result<Self> {
        let fd = obj_get(path)?;
        let [key_size, value_size, _] = map_shape(fd.as_fd())?;
        if key_size != key || value_size != value {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the map has another layout"));
        }
        Ok(Self { fd, key, value })
    }

    fn element(&self, key: *const u8, value: *const u8) -> Attributes {
        Attributes::new().fd(0, self.fd.as_fd()).pointer(8, key).pointer(16, value)
    }

    fn batch(&self, keys: *const u8, values: *const u8, count: usize) -> Attributes {
        Attributes::new().pointer(16, keys).pointer(24, values).u32(32, count as u32).fd(36, self.fd.as_fd())
    }

    /// All elements. Whoever changes the map meanwhile may make it miss some: hold the lock.
    pub(super) fn all(&self) -> io::Result<Elements> {
        match self.all_at_once() {
            Err(error) if is_unsupported(&error) => self.one_by_one(),
            other => other,
        }
    }

    fn all_at_once(&self) -> io::Result<Elements> {
        let mut found = Elements::new();
        self.by_batches(BATCH, &mut |keys, values| {
            let elements = keys.chunks_exact(self.key).zip(values.chunks_exact(self.value));
            found.extend(elements.map(|(key, value)| (key.to_vec(), value.to_vec())));
        })?;
        Ok(found)
    }

    /// How many elements there are, of a map of at most so many. One call of the kernel for each of 65,536 rules would take seconds
    /// on a slow processor.
    fn count(&self, most: u32) -> io::Result<u32> {
        let mut found = 0;
        let all = self.by_batches(COUNTED, &mut |keys, _| found += keys.len() / self.key);
        match all {
            Err(error) if is_unsupported(&error) || error.raw_os_error() == Some(libc::ENOSPC) => {
                found = 0;
                self.by_keys(most as usize, &mut |_| {
                    found += 1;
                    Ok(())
                })?;
            }
            all => all?,
        }
        Ok(u32::try_from(found).unwrap_or(most).min(most))
    }

    /// `BPF_MAP_LOOKUP_BATCH`, since 5.6: keys and values of at most so many elements at a time.
    fn by_batches(&self, most: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut keys = vec![0; self.key * most];
        let mut values = vec![0; self.value * most];
        // Where the kernel goes on: of a hash map four bytes, of a trie a key.
        let mut position = vec![0u8; self.key.max(8)];
        let mut begun = false;
        loop {
            let from = if begun { position.as_ptr() } else { ptr::null() };
            let mut attributes = self
                .batch(keys.as_mut_ptr(), values.as_mut_ptr(), most)
                .pointer(0, from)
                .pointer(8, position.as_mut_ptr());
            // SAFETY: both buffers have room for `most` elements of the sizes that the kernel said; `position` has room for
            // what any map puts there.
            let last = match unsafe { attributes.call(command::MAP_LOOKUP_BATCH) } {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) => return Err(error),
            };
            let mut count = [0; 4];
            count.copy_from_slice(&attributes.0[32..36]);
            let count = (u32::from_ne_bytes(count) as usize).min(most);
            see(&keys[..self.key * count], &values[..self.value * count]);
            if last {
                return Ok(());
            }
            begun = true;
        }
    }

    /// Of this kind of map, or on this kernel, only so.
    fn one_by_one(&self) -> io::Result<Elements> {
        let mut found = Elements::new();
        self.by_keys(usize::MAX, &mut |key| {
            let mut value = vec![0; self.value];
            // SAFETY: as long as a key and a value.
            let there =
                unsafe { self.element(key.as_ptr(), value.as_mut_ptr()).call(command::MAP_LOOKUP_ELEM) };
            if absent_is_none(there)?.is_some() {
                found.insert(key.to_vec(), value);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// At most so many keys: of a map that changes the kernel may begin again.
    fn by_keys(&self, most: usize, see: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut last, mut next) = (vec![0; self.key], vec![0; self.key]);
        for number in 0..most {
            let after = if number == 0 { ptr::null() } else { last.as_ptr() };
            // SAFETY: both are as long as a key; a null pointer asks for the first one.
            let more = unsafe { self.element(after, next.as_mut_ptr()).call(command::MAP_GET_NEXT_KEY) };
            if absent_is_none(more)?.is_none() {
                break;
            }
            see(&next)?;
            std::mem::swap(&mut last, &mut next);
        }
        Ok(())
    }

    /// Writes elements, new or not: many at once where the kernel can (`BPF_MAP_UPDATE_BATCH`, since 5.6).
    pub(super) fn set(&self, elements: &[(&[u8], &[u8])]) -> io::Result<()> {
        for part in elements.chunks(BATCH) {
            let keys: Vec<u8> = part.iter().flat_map(|(key, _)| key.iter().copied()).collect();
            let values: Vec<u8> = part.iter().flat_map(|(_, value)| value.iter().copied()).collect();
            if keys.len() != self.key * part.len() || values.len() != self.value * part.len() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            // SAFETY: both buffers hold as many elements as is said, as just counted; the kernel reads.
            match unsafe {
                self.batch(keys.as_ptr(), values.as_ptr(), part.len()).call(command::MAP_UPDATE_BATCH)
            } {
                Ok(_) => {}
                Err(error) if is_unsupported(&error) => {
                    for (key, value) in part {
                        // SAFETY: as long as a key and a value, as just counted; the kernel reads.
                        unsafe { self.element(key.as_ptr(), value.as_ptr()).call(command::MAP_UPDATE_ELEM)? };
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes an element that [`Bulk::all`] found.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<()> {
        if key.len() != self.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: as long as a key; the kernel reads.
        absent_is_none(unsafe { self.element(key.as_ptr(), ptr::null()).call(command::MAP_DELETE_ELEM) })
            .map(drop)
    }
}

/// This kind of map, or this kernel, has no such command.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOTSUPP | libc::EINVAL | libc::EOPNOTSUPP))
}

/// `include/linux/errno.h`: what a map without an operation answers.
const ENOTSUPP: i32 = 524;

fn absent_is_none(result: io::Result<i32>) -> io::Result<Option<()>> {
    match result {
        Ok(_) => Ok(Some(())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs a raw tracepoint program once, without arguments; returns what it returned.
pub(super) fn prog_test_run(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut attributes = Attributes::new().fd(0, fd);
    // SAFETY: no pointers.
    unsafe { attributes.call(command::PROG_TEST_RUN)? };
    let [.., a, b, c, d] = attributes.0[..8] else { return Err(io::ErrorKind::InvalidData.into()) };
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Waits until every BPF program that was running when this was called has ended, so that none still works with what
/// it read before.
///
/// The kernel promises it for updates of a map of maps (`kernel/bpf/syscall.c:maybe_wait_bpf_programs`, since 4.20);
/// membarrier(2) would not do: on one CPU it does not wait.
pub(super) fn wait_for_programs() -> io::Result<()> {
    match update_map_of_maps() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            lift_memlock()?;
            update_map_of_maps()
        }
        done => done,
    }
}

/// Before 5.11 the memory of maps counts as locked, and of that a process is commonly granted 64 KiB
/// (`kernel/bpf/syscall.c:bpf_charge_memlock`). Who gives up `CAP_SYS_RESOURCE` does this first.
pub(crate) fn lift_memlock() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?)
}

fn update_map_of_maps() -> io::Result<()> {
    const ARRAY: u32 = 2;
    const ARRAY_OF_MAPS: u32 = 12;
    let create = |map_type: u32| Attributes::new().u32(0, map_type).u32(4, 4).u32(8, 4).u32(12, 1);
    // SAFETY: no pointers.
    let inner = unsafe { create(ARRAY).open(command::MAP_CREATE)? };
    // SAFETY: no pointers.
    let outer = unsafe { create(ARRAY_OF_MAPS).fd(20, inner.as_fd()).open(command::MAP_CREATE)? };
    let (key, value) = (0u32, inner.as_raw_fd());
    let mut attributes =
        Attributes::new().fd(0, outer.as_fd()).pointer(8, &raw const key).pointer(16, &raw const value);
    // SAFETY: key and value of the map made above are 4 bytes each; the kernel only reads.
    unsafe { attributes.call(command::MAP_UPDATE_ELEM) }.map(drop)
}

/// An array shared with the kernel by mmap. `T` is made of atomics or never changes.
pub(super) struct Shared<T: 'static> {
    start: NonNull<T>,
    count: usize,
    bytes: usize,
}

// SAFETY: a shared reference is all that is ever handed out, and `T: Sync` allows that from any thread.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T: FromBytes + Sync> Shared<T> {
    /// The elements of the mmapable array map pinned at `path`. Without `writable`, a store through an atomic ends the
    /// process: the pages are read-only.
    pub(super) fn array(path: &Path, writable: bool) -> io::Result<Self> {
        let fd = obj_get(path)?;
        let [_, value_size, max_entries] = map_shape(fd.as_fd())?;
        if value_size != size_of::<T>() || !value_size.is_multiple_of(8) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the map has another layout"));
        }
        // SAFETY: elements of an array map lie `value_size` rounded up to 8 apart, from the first page on; the kernel
        // and other processes write whole aligned words, and names only while nobody relies on them.
        unsafe { Self::map(fd.as_fd(), 0, max_entries, writable) }
    }

    /// The front of the only element of the mmapable array map pinned at `path`, whatever is behind it. Read-only.
    pub(super) fn front(path: &Path) -> io::Result<Self> {
        let fd = obj_get(path)?;
        let [_, value_size, max_entries] = map_shape(fd.as_fd())?;
        if value_size < size_of::<T>() || max_entries == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the map has another layout"));
        }
        // SAFETY: as in `array`; the element is at least as long as a `T`, and only one `T` is mapped.
        unsafe { Self::map(fd.as_fd(), 0, 1, false) }
    }

    /// # Safety
    /// The map behind the descriptor has `count` elements laid out as `T` at `offset`, and whoever else writes to them does so
    /// as `T` expects. The mapping holds the map.
    pub(super) unsafe fn map(
        fd: BorrowedFd<'_>,
        offset: usize,
        count: usize,
        writable: bool,
    ) -> io::Result<Self> {
        let page_size = rustix::param::page_size();
        let length = count.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::InvalidInput)?;
        let bytes = length.max(1).next_multiple_of(page_size);
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, offset as u64)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, count, bytes })
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: mapped until drop, page aligned, `count` elements long, any bytes are a `T` (`FromBytes` in `map`);
        // concurrent writers keep to what `map` asks of them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and no reference outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
