//! The agent that runs on the appliance, and its small device-side commands. Under the name `init` it is the first process
//! (`aegis_init`).
//!
//! - [`kernel`]: probes, maps, cgroups: the one door to bpf(2).
//! - [`run`]: the long-lived agent.
//! - [`stick`]: sticks that are plugged in.
//! - [`image`]: the two slots of the system.
//! - [`workloads`]: workloads that come signed.
//! - [`config`]: the configuration in force.
//! - [`storage`]: own storage, partitions, the device's identity.
//! - [`tpm`]: what the TPM says and keeps.
//! - [`logs`]: what the programs say of their work.
//! - [`commands`]: what an operator or init calls.

mod cli;
mod commands;
mod config;
mod heap;
mod image;
mod json;
mod kernel;
mod limits;
mod logs;
#[cfg(target_env = "musl")]
mod no_unwinding;
mod outcome;
mod run;
mod stick;
mod storage;
#[cfg(target_env = "musl")]
mod thread_names;
mod tpm;
mod workloads;

use std::process::ExitCode;

use cli::Command;
use outcome::{Outcome, say};

fn main() -> ExitCode {
    if aegis_init::is_named(std::env::args_os().next().as_deref()) {
        return aegis_init::run();
    }
    logs::begin();
    match cli::parse().and_then(dispatch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logs::complain(format_args!("{failure}"));
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Help(help) => say(&help.to_string()),
        Command::Version => say(concat!("aegis ", env!("CARGO_PKG_VERSION"))),
        Command::ConfigCheck { file, json } => commands::config::check(file.as_deref(), json),
        Command::ConfigShow { json } => commands::config::show(json),
        Command::ConfigTemplate => commands::config::template(),
        Command::Doctor { json } => commands::doctor::run(json),
        Command::Console { top } => commands::console::run(top),
        Command::Events(options) => commands::events::run(&options),
        Command::Explain(options) => commands::explain::run(&options),
        Command::Health { view, json } => commands::health::run(view, json),
        Command::ImageSettle { wait } => commands::image::settle(wait),
        Command::ImageStatus { json } => commands::image::status(json),
        Command::ImageTake { file } => commands::image::apply(&file),
        Command::Load => commands::load::run(),
        Command::Logs { follow, json } => commands::logs::run(follow, json),
        Command::Metrics { out } => commands::metrics::run(out.as_deref()),
        Command::Probe { json } => commands::probe::run(json),
        Command::Site { section, json } => commands::site::run(section, json),
        Command::Run(options) => run::run(&options),
        Command::Status { json, wait } => commands::status::run(json, wait),
        Command::StickTake(options) => commands::stick::take(&options),
        Command::StickVerify { device, json } => commands::stick::verify::run(device.as_deref(), json),
        Command::StickWatch => stick::watch::run(),
        Command::StoragePrepare => commands::storage::prepare(),
        Command::StorageSettle => commands::storage::settle(),
        Command::StorageStatus { json } => commands::storage::status(json),
        Command::Support(options) => commands::support::run(&options),
        Command::BreakGlassApply { file } => commands::break_glass::apply(&file),
        Command::BreakGlassChallenge { json } => commands::break_glass::challenge(json),
        Command::BreakGlassConsole { once } => commands::break_glass::console::run(once),
        Command::BreakGlassMend => commands::break_glass::mend(),
        Command::BreakGlassStatus { json } => commands::break_glass::status(json),
        Command::PolicyApply { file, sha256 } => commands::policy::apply(&file, sha256),
        Command::PolicyHistory { json } => commands::policy_status::history(json),
        Command::PolicyRollback => commands::policy::rollback(),
        Command::PolicySettle => commands::settle::run(),
        Command::PolicyStatus { json } => commands::policy_status::status(json),
        Command::PolicyVerify { file, json } => commands::policy::verify(&file, json),
        Command::WorkloadList { json } => commands::workload::list(json),
        Command::WorkloadMount => commands::workload::mount(),
        Command::WorkloadRemove { name, data } => commands::workload::remove(&name, data),
        Command::WorkloadRun { name, command } => commands::workload::run(&name, &command),
        Command::WorkloadKeep { name } => commands::workload::keep(&name),
        Command::WorkloadTurn { turn, name } => commands::workload::turn(turn, &name),
        Command::WorkloadTake { file } => commands::workload::apply(&file),
        Command::WorkloadTell => commands::workload::tell(),
        Command::Export(options) => commands::export::run(&options),
    }
}
