//! `aegisctl break-glass`: tokens that break the glass of one device, for one boot, for a while.

use std::io::Read;
use std::path::{Path, PathBuf};

use aegis_bundle::limits::{ARMOR_LINES, TOKEN_BYTES, TOKEN_REASON_BYTES, TOKEN_SECONDS};
use aegis_bundle::{Root, Token, armor, open_token, unarmor};
use aegis_keys::{Document, KeyRole};
use clap::Subcommand;
use serde_json::json;

use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::roots::{MaybeRootArgs, RootArgs};
use crate::{bundle, describe, files, hex, keys, output, time};

/// Longest that a token may ask for.
const SECONDS: i64 = TOKEN_SECONDS as i64;
const MINUTES: i64 = SECONDS / 60;
/// Longest text form that is read, bytes: every line as long as it may be, and as much again in blanks.
const ARMOR_BYTES: usize = ARMOR_LINES * 128;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token: for one device, one boot, one time; nothing is denied while it lasts
    #[command(after_help = MAKE_HELP)]
    Make(Box<MakeArgs>),
    /// Show a token, from its file or from the lines typed at a console
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
}

const MAKE_HELP: &str = "\
Examples:
  aegisctl break-glass make --root root.cbor \\
      --device 00112233445566778899aabbccddeeff --challenge 5f2c…9e01 \\
      --sequence 1 --minutes 60 --reason 'pump 3 does not start' \\
      --key break-glass-1.key --out token.cbor --armor

The device shows its id, boot id, challenge and the last sequence that it took
(`aegis break-glass`): the next token's is one more. The token goes by stick
(`stick prepare --token`), or as the lines of --armor, pasted or typed at the
console. More signatures are added with `keys sign token.cbor`.";

const SHOW_HELP: &str = "\
Examples:
  aegisctl break-glass show token.cbor --root root.cbor
  aegisctl break-glass show token.cbor --armor
  aegisctl break-glass show - < typed.txt";

#[derive(clap::Args)]
pub(crate) struct MakeArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The device's id, 32 hex digits
    #[arg(long, value_name = "ID", value_parser = bundle::device)]
    device: [u8; 16],
    /// The device's boot id, as `/proc/sys/kernel/random/boot_id` has it
    #[arg(long, value_name = "HEX", value_parser = sixteen, required_unless_present = "challenge")]
    boot_id: Option<[u8; 16]>,
    /// The challenge that the device shows
    #[arg(long, value_name = "HEX", value_parser = sixteen, conflicts_with = "boot_id")]
    challenge: Option<[u8; 16]>,
    /// One more than that of the last token that the device took (it shows that), from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    /// How long the glass stays broken at most, minutes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MINUTES), required_unless_present = "seconds")]
    minutes: Option<u32>,
    /// The same in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SECONDS), conflicts_with = "minutes")]
    seconds: Option<u32>,
    /// Why: it is shown on the device and kept in its events
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Secret break-glass key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    /// When it was made. Default: now
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    created: Option<u64>,
    /// Where to write the token; replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the lines to paste or type at the device's console, once enough keys signed
    #[arg(long, conflicts_with = "json")]
    armor: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// Token file, or a file of its lines; - for stdin
    file: PathBuf,
    #[command(flatten)]
    root: MaybeRootArgs,
    /// Print the lines to paste or type at the device's console, and nothing else
    #[arg(long, conflicts_with = "json")]
    armor: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// 16 bytes, with or without the dashes of a UUID or the spaces of a console.
fn sixteen(text: &str) -> Result<[u8; 16], String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    hex::array(&digits)
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Make(args) => make(&args),
        Command::Show(args) => show(&args),
    }
}

fn make(args: &MakeArgs) -> Outcome {
    files::keep_inputs(&args.out, args.keys.iter().chain(args.root.files()).map(PathBuf::as_path))?;
    if args.reason.is_empty()
        || args.reason.len() > TOKEN_REASON_BYTES
        || args.reason.chars().any(char::is_control)
    {
        return Err(Failure::usage(format!("--reason: 1 to {TOKEN_REASON_BYTES} bytes on one line")));
    }
    let root = args.root.read()?;
    let role = KeyRole::BreakGlass.of(&root).ok_or_else(|| {
        Failure::refused("the root has no break-glass role: nobody can (keys rotate --add-break-glass)")
    })?;
    let token = Token {
        device: args.device,
        sequence: args.sequence,
        bound: args.boot_id.or(args.challenge).unwrap_or_default(),
        seconds: args.seconds.or(args.minutes.map(|minutes| minutes * 60)).unwrap_or_default(),
        reason: &args.reason,
        created: args.created.unwrap_or_else(time::now),
    };
    let mut document = Document::of_token(&token).map_err(Failure::refused)?;
    let secrets = read_keys(&args.keys, &args.passphrases)?;
    keys::add_signatures(&mut document, &secrets, &args.keys, &[&root])?;
    let bytes = document.to_bytes().ok_or_else(|| {
        Failure::refused(format!("the token would be longer than {TOKEN_BYTES} bytes; take fewer keys"))
    })?;
    let standing = document.standing(role).map_err(Failure::refused)?;
    let complete = standing.wanting() == 0;
    if complete {
        // What is written is what the device takes.
        as_the_device_would(&bytes, &root)?;
    }
    files::write(&args.out, &bytes, 0o644, true)?;
    let out = args.out.display();
    if args.json {
        let mut value = describe::token_json(&token);
        value["file"] = out.to_string().into();
        value["complete"] = complete.into();
        value["signatures"] = describe::standing_json(&standing);
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = describe::token(&token);
    lines.push(format!("signatures     {}", describe::standing(&standing)));
    if complete {
        lines.push(format!("{out}: complete"));
    } else {
        lines.push(format!(
            "{out}: NOT complete; add signatures: aegisctl keys sign {out} --root … --key FILE"
        ));
    }
    if args.armor && complete {
        lines.push(String::new());
        lines.extend(armored(&bytes));
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

/// Device, boot and sequence are the token's own: those are for the device to judge.
fn as_the_device_would<'a>(bytes: &'a [u8], root: &Root) -> Result<Token<'a>, Failure> {
    let (token, _) = Token::unverified(bytes).map_err(Failure::refused)?;
    open_token(bytes, root, &token.device, &[token.bound], token.sequence - 1)
        .map_err(|error| Failure::refused(format!("{error} ({})", error.code())))
}

fn armored(bytes: &[u8]) -> impl Iterator<Item = String> {
    armor(bytes).map(|line| line.as_str().to_owned())
}

fn show(args: &ShowArgs) -> Outcome {
    let bytes = read(&args.file)?;
    let name = args.file.display();
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{name}: {why}"));
    let (token, message) = Token::unverified(&bytes)
        .map_err(|error| refused(&format!("{error} ({}); name a token or its lines", error.code())))?;
    if args.armor {
        output::text(&(armored(&bytes).collect::<Vec<_>>().join("\n") + "\n"))?;
        return Ok(Status::Good);
    }
    let root = args.root.read()?;
    let verdict = root.as_ref().map(|root| as_the_device_would(&bytes, root));
    let good = verdict.as_ref().is_none_or(Result::is_ok);
    if args.json {
        let mut value = describe::token_json(&token);
        value["signers"] =
            message.signers().map(|signer| hex::encode(&signer.kid)).collect::<Vec<_>>().into();
        value["verified"] = root.is_some().then_some(good).into();
        output::json(&json!(value))?;
        return Ok(if good { Status::Good } else { Status::Refused });
    }
    let mut lines = describe::token(&token);
    lines.push(match &verdict {
        None => "not verified; give --root".to_owned(),
        Some(Ok(_)) => "signed by enough keys of the root".to_owned(),
        Some(Err(failure)) => format!("NOT GOOD: {}", failure.message()),
    });
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(if good { Status::Good } else { Status::Refused })
}

/// A token's bytes, from its file or its text form.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(ARMOR_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(|error| Failure::usage(format!("stdin: {}", files::plain(&error))))?;
        bytes
    } else {
        files::read(file, ARMOR_BYTES)?
    };
    // COSE_Sign's tag; no line of text begins with it.
    if bytes.starts_with(&[0xd8]) {
        return Ok(bytes);
    }
    let refused = |line: usize, why: &dyn std::fmt::Display| {
        Failure::refused(format!("{}:{line}: {why}", file.display()))
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| refused(1, &"neither a token nor its lines"))?;
    let mut token = Vec::new();
    let mut number = 0u8;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        number = number.checked_add(1).ok_or_else(|| refused(at + 1, &"more lines than a token has"))?;
        let part =
            unarmor(number, line).map_err(|error| refused(at + 1, &format!("{error} ({})", error.code())))?;
        token.extend_from_slice(&part);
    }
    Ok(token)
}
