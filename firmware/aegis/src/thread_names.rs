//! A thread's name, for Rust's library, which asks by the name `pthread_setname_np`. musl's own writes the path of another thread's name
//! by snprintf(3), and with that come 9 KiB of printing, floats among them, that nothing else here needs. A thread names itself only.
#![expect(unsafe_code, reason = "the name that Rust's library asks by is the linker's")]

use core::ffi::{c_char, c_int};

/// As prctl(2) takes it: cut after 15 bytes.
///
/// # Safety
/// `name` ends with NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(thread: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: it takes nothing, and can't fail.
    if thread != unsafe { libc::pthread_self() } {
        return libc::ENOSYS;
    }
    // SAFETY: the kernel reads up to NUL, at most 16 bytes; the caller's promise is passed on.
    if unsafe { libc::prctl(libc::PR_SET_NAME, name) } == 0 { 0 } else { libc::EINVAL }
}
