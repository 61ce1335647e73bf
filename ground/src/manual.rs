//! `aegisctl completions` and `aegisctl man`: what shells complete and `man` shows, from the commands themselves.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_complete::aot::generate;
use clap_mangen::Man;

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

pub(crate) const COMPLETIONS: &str = "\
Examples:
  aegisctl completions bash > /etc/bash_completion.d/aegisctl
  aegisctl completions zsh > /usr/local/share/zsh/site-functions/_aegisctl
  aegisctl completions fish > ~/.config/fish/completions/aegisctl.fish";

pub(crate) const MAN: &str = "\
Examples:
  aegisctl man /usr/local/share/man/man1
  aegisctl man man && man man/aegisctl-policy-learn.1

Pages that are there already are replaced.
Exit codes: 0 written, 2 the directory is not there, or can't be written.";

#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Known,
}

/// The shells that are known.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl From<Known> for Shell {
    fn from(known: Known) -> Self {
        match known {
            Known::Bash => Self::Bash,
            Known::Zsh => Self::Zsh,
            Known::Fish => Self::Fish,
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct ManArgs {
    /// Where to write the pages: a directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Outcome {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(Shell::from(args.shell), &mut command, name, &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Status::Good)
}

pub(crate) fn man(args: &ManArgs, mut command: Command) -> Outcome {
    if !args.directory.is_dir() {
        return Err(Failure::usage(format!("{}: not a directory; make it first", args.directory.display())));
    }
    // Puts the names of the commands above into those below.
    command.build();
    let pages = pages(&args.directory, &command)?;
    output::text(&format!("{}: {}\n", args.directory.display(), crate::policy::counted(pages, "page")))?;
    Ok(Status::Good)
}

/// Writes the page of a command and of all below it; how many.
fn pages(directory: &Path, command: &Command) -> Result<usize, Failure> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-");
    let file = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(&name)
        .render(&mut page)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    files::write(&file, &page, 0o644, true)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.map(|below| pages(directory, below)).try_fold(1, |sum, pages| Ok(sum + pages?))
}
