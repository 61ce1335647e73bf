//! `aegisctl`: the office side of the air gap. Keys, policy, bundles, sticks, receipts, exports.

mod break_glass;
mod bundle;
mod config;
mod describe;
mod ed25519;
mod export;
mod files;
mod hex;
mod identity;
mod image;
mod keys;
mod manual;
mod offer;
mod outcome;
mod output;
mod passphrase;
mod policy;
mod receipt;
mod roots;
mod stick;
mod terminal;
mod time;
mod workload;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use outcome::Failure;

/// The office side of the air gap: keys, policy, bundles, sticks, receipts, exports.
#[derive(Parser)]
#[command(name = "aegisctl", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  aegisctl keys init --out ceremony
  aegisctl policy lint policy.toml
  aegisctl bundle build --policy policy.toml --root root.cbor \\
      --key policy-1.key --sequence 1 --out site.aegis
  aegisctl bundle verify site.aegis --root root.cbor
  aegisctl stick prepare --to /media/stick --root root.cbor --bundle site.aegis
  aegisctl stick collect /media/stick --into evidence
  aegisctl export verify export.cbor
  aegisctl completions bash > /etc/bash_completion.d/aegisctl
  aegisctl man /usr/local/share/man/man1

Exit codes: 0 good, 1 refused or unhealthy, 2 wrong use or a file that can't be read or written.";

#[derive(Subcommand)]
enum Command {
    /// Hold the key ceremony; rotate, revoke, sign, check
    #[command(subcommand)]
    Keys(keys::Command),
    /// Write, check, test, compare and try policy
    #[command(subcommand)]
    Policy(policy::Command),
    /// Build, sign, inspect, verify and compare bundles
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Build, sign, inspect and verify images of the system, which devices take by stick
    #[command(subcommand)]
    Image(image::Command),
    /// Build, sign, inspect and verify workloads, which devices take by stick and run
    #[command(subcommand)]
    Workload(workload::Command),
    /// Write and check configurations of devices
    #[command(subcommand)]
    Config(config::Command),
    /// Make and show the tokens that break a device's glass
    #[command(subcommand)]
    BreakGlass(break_glass::Command),
    /// Prepare sticks for devices, collect what devices left on them
    #[command(subcommand)]
    Stick(stick::Command),
    /// Read exports that came back on a stick
    Export(export::ExportArgs),
    /// Read receipts that came back on a stick
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Ed25519 itself, by the code that the device runs
    #[command(subcommand)]
    Ed25519(ed25519::Command),
    /// Print completions for a shell
    #[command(after_help = manual::COMPLETIONS)]
    Completions(manual::CompletionsArgs),
    /// Write man pages: one of aegisctl, one of each of its commands
    #[command(after_help = manual::MAN)]
    Man(manual::ManArgs),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        // Help and version are asked for; what is missing or unknown is an error of one line like any other.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return outcome::finish(Err(Failure::usage("a command is missing; see --help")));
        }
        Err(error) => return outcome::finish(Err(wrong_use(&error))),
    };
    outcome::finish(match command {
        Command::Keys(command) => keys::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Bundle(command) => bundle::run(command),
        Command::Image(command) => image::run(command),
        Command::Workload(command) => workload::run(command),
        Command::Config(command) => config::run(command),
        Command::BreakGlass(command) => break_glass::run(command),
        Command::Stick(command) => stick::run(command),
        Command::Export(args) => export::run(args),
        Command::Receipt(command) => receipt::run(command),
        Command::Ed25519(command) => ed25519::run(command),
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::man(&args, Cli::command()),
    })
}

/// clap's message without its usage paragraph.
fn wrong_use(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\nUsage:").next().unwrap_or(text);
    let text = text.split("\nFor more information").next().unwrap_or(text);
    Failure::usage(format!("{}\nsee --help", text.trim().replace(":\n  ", ": ")))
}
