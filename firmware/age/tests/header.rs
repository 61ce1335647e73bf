//! Headers and keys as text: one form, and nothing else.

mod common;

use aegis_age::header::{Header, HeaderError};
use aegis_age::limits::HEADER_BYTES;
use aegis_age::{AgeError, FileKey, Identity, Recipient, TextError, VERSION};
use common::{decrypt, identity};

/// A file with these stanzas and a MAC that fits, if `key` is the file key.
fn file(stanzas: &str, key: [u8; 16]) -> Vec<u8> {
    use base64ct::{Base64Unpadded, Encoding};
    let key = FileKey::new(key);
    let signed = format!("{VERSION}{stanzas}---");
    let mac = Base64Unpadded::encode_string(&key.mac(signed.as_bytes()));
    let mut bytes = format!("{signed} {mac}\n").into_bytes();
    bytes.extend([5; 16]);
    let mut plain = *b"evidence";
    let tag = key.stream(&[5; 16]).seal(&mut plain, true);
    bytes.extend(plain);
    bytes.extend(tag);
    bytes
}

/// The stanza of a file for identity 1, as the writer makes it.
fn own_stanza() -> String {
    let file = common::encrypt(&[identity(1).recipient()], b"", 1);
    let text = String::from_utf8_lossy(&file).into_owned();
    let from = VERSION.len();
    text[from..text.find("---").expect("an end")].to_owned()
}

#[test]
fn headers_have_one_form() {
    let line43 = "A".repeat(43);
    let line64 = "A".repeat(64);
    for (stanzas, expected) in [
        // Kinds that are not known are passed over, as rage's grease must be.
        (format!("-> grease\n{line43}\n"), Err(AgeError::NoMatch)),
        (format!("-> a-grease b c d\n{line64}\n\n"), Err(AgeError::NoMatch)),
        (format!("-> ssh-rsa x\n{line64}\n{line64}\n{line43}\n"), Err(AgeError::NoMatch)),
        (format!("-> scrypt x 1\n{line43}\n"), Err(AgeError::Passphrase)),
        (
            format!("-> scrypt x 1\n{line43}\n-> grease\n\n"),
            Err(AgeError::Header("a passphrase beside another recipient")),
        ),
        (String::new(), Err(AgeError::Header("it has no recipient"))),
        (format!("->\n{line43}\n"), Err(AgeError::Header("it has no recipient"))),
        (format!("-> \n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> a  b\n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> a b \n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> a\tb\n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> \u{e4}\n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> a\r\n{line43}\n"), Err(AgeError::Header("the first line of a recipient"))),
        (format!("-> a\n{line43}=\n"), Err(AgeError::Header("the file key of a recipient"))),
        // A body ends with a line that is not full; an empty one if need be.
        (format!("-> a\n{line64}\n"), Err(AgeError::Header("the file key of a recipient"))),
        (format!("-> a\n{line64}A\n"), Err(AgeError::Header("the file key of a recipient"))),
        (format!("-> a\n{line43}\n{line43}\n"), Err(AgeError::Header("its MAC"))),
        // Bits behind the last byte.
        (format!("-> a\n{}B\n", "A".repeat(42)), Err(AgeError::Header("the file key of a recipient"))),
        // Of our kind, and not as it must be.
        (format!("-> X25519 {line43}\nAAAA\n"), Err(AgeError::Header("an X25519 recipient"))),
        (format!("-> X25519 {line43} x\n{line43}\n"), Err(AgeError::Header("an X25519 recipient"))),
        (format!("-> X25519 AAAA\n{line43}\n"), Err(AgeError::Header("an X25519 recipient"))),
        (format!("-> X25519\n{line43}\n"), Err(AgeError::Header("an X25519 recipient"))),
        // A share of small order: with it everybody would have the key.
        (
            format!("-> X25519 {line43}\n{line43}\n"),
            Err(AgeError::Header("the share of an X25519 recipient")),
        ),
        (format!("-> x25519 {line43}\n{line43}\n"), Err(AgeError::NoMatch)),
        // The file key fits; the MAC is by another.
        (own_stanza(), Err(AgeError::HeaderChanged)),
        (format!("{}-> X25519 AAAA\n{line43}\n", own_stanza()), Err(AgeError::Header("an X25519 recipient"))),
        (format!("-> grease\n\n{}", own_stanza()), Err(AgeError::HeaderChanged)),
    ] {
        assert_eq!(decrypt(&file(&stanzas, [3; 16]), &[identity(1)]), expected, "{stanzas:?}");
    }
}

#[test]
fn a_header_is_bounded() {
    let stanza = format!("-> grease\n{}\n", "A".repeat(43));
    let many = |count: usize| file(&stanza.repeat(count), [3; 16]);
    let fits = (HEADER_BYTES - VERSION.len() - 48) / stanza.len();
    assert_eq!(decrypt(&many(fits), &[identity(1)]), Err(AgeError::NoMatch));
    assert_eq!(decrypt(&many(fits + 1), &[identity(1)]), Err(AgeError::Header("it is too long")));
    let endless = [VERSION.as_bytes(), b"-> ", &vec![b'a'; 100_000]].concat();
    assert_eq!(decrypt(&endless, &[identity(1)]), Err(AgeError::Header("it is too long")));
    let whole = file(&stanza, [3; 16]);
    let header = Header::read(&whole).expect("a header");
    assert_eq!(header.length, whole.len() - 16 - 8 - 16);
    for length in 0..header.length {
        assert_eq!(Header::read(&whole[..length]), Err(HeaderError::Incomplete), "{length} bytes");
    }
    for other in [&b"age-encryption.org/v2\n"[..], b"AGE", b"\xd2\x84", b"age-encryption.org/v1\r\n"] {
        assert_eq!(Header::read(other), Err(HeaderError::Malformed("its version")));
    }
}

#[test]
fn keys_have_one_form() {
    let (secret, public) = (identity(9), identity(9).recipient());
    let identity_text = String::from_utf8(secret.to_text().to_vec()).expect("ASCII");
    let text = public.to_string();
    assert!(text.starts_with("age1") && identity_text.starts_with("AGE-SECRET-KEY-1"));
    assert_eq!(Recipient::parse(&text), Ok(public));
    assert_eq!(Identity::parse(&identity_text).expect("as it was written").recipient(), public);
    let as_recipient = |text: &str| Recipient::parse(text).err();
    assert_eq!(as_recipient(&text.to_uppercase()), Some(TextError::Mistyped));
    assert_eq!(Identity::parse(&identity_text.to_lowercase()).err(), Some(TextError::Mistyped));
    assert_eq!(as_recipient(&identity_text), Some(TextError::Kind));
    assert_eq!(Identity::parse(&text).err(), Some(TextError::Kind));
    for other in ["", "age", "age1", "ssh-ed25519 AAAA", "age1yubikey1q", " age1", "age-1"] {
        assert!(as_recipient(other).is_some(), "{other:?}");
    }
    for at in 0..text.len() {
        for letter in "qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio A".chars() {
            let mut other: Vec<char> = text.chars().collect();
            if std::mem::replace(&mut other[at], letter) != letter {
                let other: String = other.iter().collect();
                assert!(as_recipient(&other).is_some(), "{other}");
            }
        }
        let mut shorter = text.clone();
        shorter.remove(at);
        assert!(as_recipient(&shorter).is_some(), "{shorter}");
    }
    assert!(as_recipient(&format!("{text} ")).is_some() && as_recipient(&format!("{text}\n")).is_some());
    let shown = format!("{secret:?}");
    assert!(shown.contains("Recipient") && !shown.contains("[9, 9"), "{shown}");
}

/// Points of small order, and what is not reduced: whoever encrypts to such a one encrypts to everybody.
#[test]
fn weak_recipients_are_refused() {
    let mut order_8 = [0; 32];
    let digits = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    for (byte, pair) in order_8.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    }
    let mut one = [0; 32];
    one[0] = 1;
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    for weak in [[0; 32], one, order_8, prime] {
        let text =
            bech32::encode::<bech32::Bech32>(bech32::Hrp::parse_unchecked("age"), &weak).expect("short");
        assert_eq!(Recipient::parse(&text), Err(TextError::Weak), "{weak:?}");
    }
}

/// RFC 7748, 6.1, through the text form: Bob's private key gives his public key.
#[test]
fn the_curve_is_that_of_the_rfc() {
    let hex = |digits: &str| -> Vec<u8> {
        digits
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(str::from_utf8(two).expect("hex"), 16).expect("hex"))
            .collect()
    };
    let private = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let identity = Identity::from_random(private.as_slice().try_into().expect("32 bytes")).expect("a key");
    let text = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse_unchecked("age"), &public).expect("short");
    assert_eq!(identity.recipient().to_string(), text);
}
