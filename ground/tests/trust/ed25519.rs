//! Ed25519 on bare bytes.

use std::fmt::Write;
use std::process::Command;

use crate::Desk;

/// RFC 8032 section 7.1, tests 1, 2, 3 and SHA(abc), and what must never pass.
#[test]
fn ed25519_answers_by_exit_code() {
    let desk = Desk::new();
    let good = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];
    let verify = |public: &str, message: &str, signature: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
        command.args([
            "ed25519",
            "verify",
            "--public",
            public,
            "--message",
            message,
            "--signature",
            signature,
        ]);
        desk.finish(&mut command)
    };
    for (public, message, signature) in good {
        assert_eq!(verify(public, message, signature).0, 0, "{message}");
        let out = verify(public, &format!("{message}00"), signature);
        assert_eq!((out.0, out.1.as_str()), (1, "bad-signature\n"), "{message}");
        // S + L: the same signature in another form, which RFC 8032 refuses.
        assert_eq!(verify(public, message, &plus_order(signature)).0, 1, "{message}");
        assert_eq!(verify(public, message, &signature[2..]).0, 1);
    }
    // Every point of small order, in its canonical forms and others. Under such a key, R = the key and S = 0 satisfy the
    // equation for many messages or all: ed25519-compact before 2.6.0 said yes.
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for public in small {
        for r in [public, small[0]] {
            // Eight messages: whatever the order, the equation holds for one of them at least.
            for message in 0..8 {
                let forged = format!("{r}{}", "00".repeat(32));
                let (exit, out, _) = verify(public, &format!("{message:02x}"), &forged);
                assert_eq!((exit, out.as_str()), (1, "bad-key\n"), "{public} {r} {message}");
            }
        }
    }
}

/// The signature with the group's order added to S (both little-endian).
fn plus_order(signature: &str) -> String {
    // 2^252 + 27742317777372353535851937790883648493
    let mut order = [0u8; 32];
    order[..16].copy_from_slice(&[
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    ]);
    order[31] = 0x10;
    let (r, s) = signature.split_at(64);
    let mut out = r.to_owned();
    let mut carry = 0u16;
    for (at, add) in order.into_iter().enumerate() {
        let byte = u8::from_str_radix(&s[2 * at..2 * at + 2], 16).expect("hex");
        let sum = u16::from(byte) + u16::from(add) + carry;
        carry = sum >> 8;
        write!(out, "{:02x}", sum & 0xff).expect("a string takes it");
    }
    out
}
