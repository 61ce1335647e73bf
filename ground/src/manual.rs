//! `aegisctl completions` and `aegisctl man`: what shells complete and `man` shows, from the commands themselves; of the device's
//! program, which holds neither, from the table that it is made from.

mod device;

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
  aegisctl completions fish > ~/.config/fish/completions/aegisctl.fish
  aegisctl completions bash --of aegis > aegis.bash";

pub(crate) const MAN: &str = "\
Examples:
  aegisctl man /usr/local/share/man/man1
  aegisctl man man && man man/aegis-doctor.8

Pages of aegisctl and of the device's aegis. The directory is made if it is not there; pages that are there already are replaced.
Exit codes: 0 written, 2 it can't be.";

#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Known,

    /// Of which program
    #[arg(long, value_enum, value_name = "PROGRAM", default_value = "aegisctl")]
    of: Program,
}

/// The programs that completions are made for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Program {
    /// The office's
    Aegisctl,
    /// The device's
    Aegis,
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
    /// Where to write the pages: a directory, which is made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, own: Command) -> Outcome {
    let mut command = if args.of == Program::Aegis { device::command() } else { own };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(Shell::from(args.shell), &mut command, name, &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Status::Good)
}

pub(crate) fn man(args: &ManArgs, own: Command) -> Outcome {
    std::fs::create_dir_all(&args.directory)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.directory.display())))?;
    let mut pages = 0;
    // Sections: programs; system administration.
    for (mut command, section) in [(own, "1"), (device::command(), "8")] {
        // Puts the names of the commands above into those below.
        command.build();
        pages += self::pages(&args.directory, &command, section)?;
    }
    output::text(&format!("{}: {}\n", args.directory.display(), crate::policy::counted(pages, "page")))?;
    Ok(Status::Good)
}

/// Writes the page of a command and of all below it; how many.
fn pages(directory: &Path, command: &Command, section: &str) -> Result<usize, Failure> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-");
    let file = directory.join(format!("{name}.{section}"));
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(&name)
        .section(section)
        .render(&mut page)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    files::write(&file, &page, 0o644, true)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.map(|below| pages(directory, below, section)).try_fold(1, |sum, pages| Ok(sum + pages?))
}
