//! `aegisctl image`: build, sign, inspect and verify images of the system.

mod build;
mod inspect;
mod verify;

use aegis_bundle::{AcceptedImage, ImageContext, ImageState, Reason, Refusal, Root, hash, open_image};
use aegis_keys::Kind;
use clap::Subcommand;

use crate::keys::{SignArgs, sign_document};
use crate::outcome::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Put kernel images and root file system together, write their manifest, sign it
    #[command(after_help = BUILD_HELP)]
    Build(Box<build::Args>),
    /// Add a signature to an image
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Show what an image says of itself; nothing is verified
    #[command(after_help = "Example:\n  aegisctl image inspect site.aegis-image --json")]
    Inspect(inspect::Args),
    /// Decide as a device would, by the code that a device runs; exit 0 accepted, 1 refused
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Args),
}

const BUILD_HELP: &str = "\
Example:
  aegisctl image build --boot-a aegis-a.efi --boot-b aegis-b.efi --root-fs root.verity \\
      --arch x86_64 --root root.cbor --key image-1.key --sequence 8 --out site.aegis-image

boot-a and boot-b are the same kernel, each signed with the command line of its slot;
root-fs is the squashfs followed by its dm-verity tree. The sequence is the one that the
kernel images say of themselves (aegis.image=EPOCH.SEQUENCE).
With --root, the keys must be the root's, its epoch is taken, and signatures that
are missing are named.";

const SIGN_HELP: &str = "\
Example:
  aegisctl image sign site.aegis-image --root root.cbor --key /media/b/image-2.key

Shows what is signed and asks.";

const VERIFY_HELP: &str = "\
Examples:
  aegisctl image verify site.aegis-image --root dev-keys/root.cbor
  aegisctl image verify site.aegis-image --root root.cbor --state trust.a \\
      --running 1.7 --arch x86_64 --json

--json prints one object: accepted, code, detail.";

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Build(args) => build::run(&args),
        Command::Sign(args) => sign_document(&args, Some(Kind::Image)),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

/// Who asks at the office: any device that trusts this root.
pub(crate) fn office(root: &Root) -> ImageContext<'_> {
    ImageContext {
        root,
        device: None,
        architecture: None,
        agent: None,
        groups: None,
        state: ImageState::default(),
        running: None,
        insist: false,
    }
}

/// Decides about a whole image, contents included, as a device does.
pub(crate) fn examine<'a>(bytes: &'a [u8], context: &ImageContext<'_>) -> Result<AcceptedImage<'a>, Refusal> {
    let accepted = open_image(bytes, bytes.len() as u64, context)?;
    let (epoch, sequence) = accepted.manifest.rank();
    let mut rest = &bytes[accepted.contents_at as usize..];
    for (_, file) in accepted.manifest.files() {
        // The lengths add up: that is looked at when it is opened.
        let (content, after) = rest.split_at(file.length as usize);
        if hash(content) != file.hash {
            return Err(Refusal { reason: Reason::ContentHash, epoch, sequence });
        }
        rest = after;
    }
    Ok(accepted)
}
