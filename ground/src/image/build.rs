//! `aegisctl image build`.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::{IMAGE_BLOCK_BYTES, IMAGE_BOOT_BYTES, IMAGE_BYTES, IMAGE_ROOT_BYTES};
use aegis_bundle::{ImageManifest, Root, Selectors, Version, hash};
use aegis_keys::{Document, SecretFile};
use serde_json::json;

use super::{examine, office};
use crate::bundle::{ARCHITECTURES, device, group, version};
use crate::offer::{comment, content, encoded, epoch_of, selector, signatures, trusting};
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::roots::MaybeRootArgs;
use crate::{describe, files, hex, keys, output, time};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel image (UKI, signed) for slot a
    #[arg(long, value_name = "FILE")]
    boot_a: PathBuf,
    /// Kernel image (UKI, signed) for slot b
    #[arg(long, value_name = "FILE")]
    boot_b: PathBuf,
    /// Root file system, followed by its dm-verity tree
    #[arg(long, value_name = "FILE")]
    root_fs: PathBuf,
    /// The architecture that it is for
    #[arg(long, value_name = "ARCH", value_parser = ARCHITECTURES)]
    arch: String,
    /// Secret image key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true, num_args = 1..)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    #[command(flatten)]
    root: MaybeRootArgs,
    /// Sequence: that of the kernel images, one more than that of the last image
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    /// Epoch: that of the root metadata of the devices. Default: that of --root, else 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epoch: Option<u64>,
    /// Only for this device (32 hex digits); once per device. Default: any
    #[arg(long = "device", value_name = "ID", value_parser = device)]
    devices: Vec<[u8; 16]>,
    /// Only for devices in this group; once per group. Default: any
    #[arg(long = "group", value_name = "NAME", value_parser = group)]
    groups: Vec<String>,
    /// Only by agents of at least this version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    min_agent: Option<Version>,
    /// When it was made, for reproducible images. Default: now
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    created: Option<u64>,
    /// For people who inspect the image
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Where to write the image; replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let parts = [&args.boot_a, &args.boot_b, &args.root_fs];
    let inputs = args.keys.iter().chain(parts).chain(args.root.files());
    files::keep_inputs(&args.out, inputs.map(PathBuf::as_path))?;
    let root = args.root.read()?;
    let epoch = epoch_of(args.epoch, root.as_ref())?;
    let boot = [kernel(&args.boot_a, "a", epoch, args)?, kernel(&args.boot_b, "b", epoch, args)?];
    let root_fs = root_file_system(&args.root_fs)?;
    let manifest = manifest(args, &boot, &root_fs, epoch)?;
    let encoded = encoded(|out| manifest.encode(out))?;
    let keys = read_keys(&args.keys, &args.passphrases)?;
    let contents = [&boot[0][..], &boot[1], &root_fs].concat();
    let mut document = Document::of_image(encoded, contents);
    keys::add_signatures(&mut document, &keys, &args.keys, &root.iter().collect::<Vec<_>>())?;
    let image = document
        .to_bytes()
        .ok_or_else(|| Failure::refused(format!("the image would be longer than {IMAGE_BYTES} bytes")))?;
    as_a_device_would(&image, &manifest, &keys)?;
    files::write(&args.out, &image, 0o644, true)?;
    report(args, &manifest, &document, &image, root.as_ref())
}

/// A kernel image that is one, and says of itself what the image will say of it: a device that boots into another number
/// than it was told would take that for a failed trial.
fn kernel(path: &Path, slot: &str, epoch: u64, args: &Args) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path, IMAGE_BOOT_BYTES as usize)?;
    let refused = |why: &str| Failure::refused(format!("{}: {why}", path.display()));
    if !bytes.starts_with(b"MZ") || bytes.len() < 4096 {
        return Err(refused("not a kernel image; name the UKI of the slot"));
    }
    let image = format!("aegis.image={epoch}.{}", args.sequence);
    for wanted in [format!("aegis.slot={slot}"), image] {
        if !holds_word(&bytes, wanted.as_bytes()) {
            return Err(refused(&format!(
                "its command line has no {wanted}; name the UKI that was made for it"
            )));
        }
    }
    Ok(bytes)
}

/// The word is in there, and ends there.
fn holds_word(bytes: &[u8], word: &[u8]) -> bool {
    let ends = |at: usize| matches!(bytes.get(at + word.len()), None | Some(b' ' | b'\n' | 0));
    memchr_all(bytes, word).any(ends)
}

fn memchr_all<'a>(bytes: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(word.len()).enumerate().filter(move |(_, window)| *window == word).map(|(at, _)| at)
}

fn root_file_system(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path, IMAGE_ROOT_BYTES as usize)?;
    let whole = !bytes.is_empty() && (bytes.len() as u64).is_multiple_of(IMAGE_BLOCK_BYTES);
    if !whole || !bytes.starts_with(b"hsqs") {
        let name = path.display();
        return Err(Failure::refused(format!(
            "{name}: not a squashfs and its dm-verity tree, in whole blocks of {IMAGE_BLOCK_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

fn manifest<'a>(
    args: &'a Args,
    boot: &[Vec<u8>; 2],
    root_fs: &[u8],
    epoch: u64,
) -> Result<ImageManifest<'a>, Failure> {
    Ok(ImageManifest {
        epoch,
        sequence: args.sequence,
        created: args.created.unwrap_or_else(time::now),
        selectors: Selectors {
            devices: selector("--device", args.devices.clone())?,
            architecture: &args.arch,
            agent: args.min_agent,
            groups: selector("--group", args.groups.iter().map(String::as_str).collect())?,
        },
        boot: [content(&boot[0]), content(&boot[1])],
        root: content(root_fs),
        comment: comment(&args.comment)?,
    })
}

/// What is written is what a device takes that trusts all of these keys.
fn as_a_device_would(image: &[u8], manifest: &ImageManifest<'_>, keys: &[SecretFile]) -> Result<(), Failure> {
    let root = trusting(keys, manifest.epoch);
    examine(image, &office(&root))
        .map(drop)
        .map_err(|refusal| Failure::refused(format!("the new image does not open: {refusal}")))
}

fn report(
    args: &Args,
    manifest: &ImageManifest<'_>,
    document: &Document,
    image: &[u8],
    root: Option<&Root>,
) -> Outcome {
    let role = root.and_then(|root| root.image.as_ref());
    if args.json {
        let standing = role.map(|role| document.standing(role)).transpose().map_err(Failure::refused)?;
        let mut value = describe::image_json(manifest);
        value["file"] = args.out.display().to_string().into();
        value["sha256"] = hex::encode(&hash(image)).into();
        value["manifest_sha256"] = hex::encode(&describe::signed_hash(document)).into();
        value["signatures"] = json!(standing.as_ref().map(describe::standing_json));
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let (epoch, sequence) = manifest.rank();
    let mut lines = vec![format!(
        "{}: image, epoch {epoch}, sequence {sequence}, sha256 {}",
        args.out.display(),
        hex::encode(&hash(image))
    )];
    if let Some(role) = role {
        lines.extend(signatures(document, role, "image sign", &args.out)?);
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

#[cfg(test)]
mod tests {
    use super::holds_word;

    #[test]
    fn a_word_ends_where_it_ends() {
        assert!(holds_word(b"x aegis.image=1.2 y", b"aegis.image=1.2"));
        assert!(holds_word(b"x aegis.image=1.2\n", b"aegis.image=1.2"));
        assert!(holds_word(b"aegis.image=1.2", b"aegis.image=1.2"));
        assert!(!holds_word(b"aegis.image=1.23 z", b"aegis.image=1.2"));
        assert!(holds_word(b"aegis.image=1.23 aegis.image=1.2\0", b"aegis.image=1.2"));
    }
}
