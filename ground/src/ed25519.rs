//! `aegisctl ed25519`: the signature check that device and office share, on bare bytes.

use aegis_cose::{PublicKey, public_key};
use clap::Subcommand;

use crate::hex;
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a signature (RFC 8032); exit 0 when it is good, 1 when not
    #[command(
        after_help = "Example:\n  aegisctl ed25519 verify --public d75a…511a --message '' --signature e556…100b"
    )]
    Verify {
        /// Public key, 64 hex digits
        #[arg(long, value_name = "HEX")]
        public: String,
        /// Message, hex digits; may be empty
        #[arg(long, value_name = "HEX")]
        message: String,
        /// Signature, 128 hex digits
        #[arg(long, value_name = "HEX")]
        signature: String,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Verify { public, message, signature } = command;
    let usage = |name: &'static str| move |why: String| Failure::usage(format!("--{name}: {why}"));
    let public: [u8; 32] = hex::array(&public).map_err(usage("public"))?;
    let message = hex::decode(&message).map_err(usage("message"))?;
    // A signature of another length is a bad signature, not wrong use.
    let signature = hex::decode(&signature).map_err(usage("signature"))?;
    let answer = match verify(public, &message, &signature) {
        Ok(()) => "good",
        Err(why) => why,
    };
    output::text(&format!("{answer}\n"))?;
    Ok(if answer == "good" { Status::Good } else { Status::Refused })
}

fn verify(public: [u8; 32], message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
    let key: PublicKey = public_key(&public).map_err(|_| "bad-key")?;
    let signature = aegis_cose::Signature::from_slice(signature).map_err(|_| "bad-signature")?;
    key.verify(message, &signature).map_err(|_| "bad-signature")
}

#[cfg(test)]
mod tests {
    use aegis_cose::{PublicKey, Signature};

    /// What `ed25519-compact` before 2.6.0 accepted, and what nothing above it would catch: a signature that anybody can
    /// write, under a key of small order. R = the neutral element and S = 0 satisfy the equation for every message under
    /// the neutral element, and for some under the others.
    #[test]
    fn a_forgery_under_a_small_order_key_is_no_signature() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let minus_one: [u8; 32] = std::array::from_fn(|at| match at {
            0 => 0xec,
            31 => 0x7f,
            _ => 0xff,
        });
        for public in [neutral, minus_one, [0; 32]] {
            for r in [neutral, public] {
                let mut forged = [0; 64];
                forged[..32].copy_from_slice(&r);
                let (key, forged) = (PublicKey::new(public), Signature::new(forged));
                for message in 0..16u8 {
                    assert!(key.verify([message], &forged).is_err(), "{public:02x?} {message}");
                    assert!(super::verify(public, &[message], forged.as_ref()) == Err("bad-key"));
                }
            }
        }
    }
}
