//! No stack is unwound here: a panic ends the program (`panic = "abort"`), whose tables for it were not kept (`no-unwinding.ld`) and
//! whose symbols were not either. Rust's library would bring a reader of such tables and of debugging information along all the
//! same, 290 KiB of it, to find nothing. It asks by these names (Itanium C++ ABI: Exception Handling, 1.2); being answered here,
//! it goes without. What a panic says of itself, message and line, stays.
#![expect(unsafe_code, reason = "the names that Rust's library asks by are the linker's")]

use core::ffi::c_void;

/// `_URC_END_OF_STACK`
const END_OF_STACK: i32 = 5;

/// Visits no frame.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _argument: *mut c_void) -> i32 {
    END_OF_STACK
}

/// After a landing pad; there are none.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_exception: *mut c_void) -> ! {
    std::process::abort()
}

/// What is asked of a frame that is visited, or landed in. There is none.
macro_rules! of_no_frame {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(_frame: *mut c_void $(, $argument: *mut c_void)*) -> *mut c_void {
            core::ptr::null_mut()
        }
    )*};
}

of_no_frame! {
    _Unwind_GetDataRelBase();
    _Unwind_GetIP();
    _Unwind_GetIPInfo(_before);
    _Unwind_GetLanguageSpecificData();
    _Unwind_GetRegionStart();
    _Unwind_GetTextRelBase();
    _Unwind_SetGR(_register, _value);
    _Unwind_SetIP(_value);
}
