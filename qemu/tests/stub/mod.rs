//! Guests of some eighty bytes of machine code.
#![allow(dead_code, reason = "each test program uses what it needs")]

/// What a stub guest does after its words.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Resets the machine.
    Off,
    /// Sleeps for ever.
    Hang,
    /// Says what is typed at COM1, a carriage return as a line feed, up to a `!`; then it resets the machine.
    Echo,
}

/// A Multiboot (0.6.96, section 3.1) kernel that writes `words` to COM1.
pub(crate) fn stub_kernel(words: &str, then: Then) -> Vec<u8> {
    const BASE: u32 = 0x10_0000;
    const MAGIC: u32 = 0x1BAD_B002;
    const FLAGS: u32 = 1 << 16;
    let header = [MAGIC, FLAGS, 0u32.wrapping_sub(MAGIC).wrapping_sub(FLAGS), BASE, BASE, 0, 0, BASE + 32];
    let end: &[u8] = match then {
        Then::Off => &[0xB0, 0xFE, 0xE6, 0x64, 0xFA, 0xF4, 0xEB, 0xFD], // out 0x64, 0xfe: reset
        Then::Hang => &[0xFA, 0xF4, 0xEB, 0xFD],                        // cli; hlt; jmp
        #[rustfmt::skip]
        Then::Echo => &[
            0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF7, // next: mov dx, 0x3fd; in al, dx; test al, 1; jz next
            0x66, 0xB2, 0xF8, 0xEC, 0x88, 0xC4, // mov dl, 0xf8; in al, dx; mov ah, al
            0x80, 0xFC, 0x0D, 0x75, 0x02, 0xB4, 0x0A, // cmp ah, 13; jne busy; mov ah, 10
            0x66, 0xB2, 0xFD, 0xEC, 0xA8, 0x20, 0x74, 0xF8, // busy: mov dl, 0xfd; in al, dx; test al, 0x20; jz busy
            0x66, 0xB2, 0xF8, 0x88, 0xE0, 0xEE, // mov dl, 0xf8; mov al, ah; out dx, al
            0x3C, 0x21, 0x75, 0xD8, // cmp al, '!'; jne next
            0xB0, 0xFE, 0xE6, 0x64, 0xFA, 0xF4, 0xEB, 0xFD,
        ],
    };
    let text = BASE + 32 + 29 + end.len() as u32;
    let mut kernel: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    kernel.push(0xBE); // mov esi, text
    kernel.extend(text.to_le_bytes());
    kernel.extend([
        0xAC, 0x88, 0xC4, 0x84, 0xC0, 0x74, 0x11, // next: lodsb; mov ah, al; test al, al; jz end
        0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20, 0x74,
        0xF7, // busy: mov dx, 0x3fd; in al, dx; test al, 0x20; jz busy
        0x66, 0xB2, 0xF8, 0x88, 0xE0, 0xEE, // mov dl, 0xf8; mov al, ah; out dx, al
        0xEB, 0xE8, // jmp next
    ]);
    kernel.extend(end);
    kernel.extend(words.as_bytes());
    kernel.push(0);
    kernel
}
