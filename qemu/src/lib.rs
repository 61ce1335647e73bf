//! Boots an image with disks and sticks: the harness that policy authors, tests and `make run` share.
//!
//! `docs/harness.md` is its contract. The command line is `src/main.rs`; this library is the same in Rust, and more:
//! it can cut a guest's power and boot the same device again, plug sticks in and pull them, and type at the console.
//!
//! ```no_run
//! # fn main() -> Result<(), aegis_qemu::Error> {
//! use aegis_qemu::Machine;
//! let mut vm = Machine::new("out").workload("demo").policy("demo.toml").state("device").start()?;
//! vm.wait_ready()?;
//! let run = vm.cut_power()?;
//! let run = Machine::new("out2").workload("demo").state("device").run()?;
//! assert_eq!(run.mode(), Some("enforcing"));
//! # Ok(()) }
//! ```

mod arch;
mod check;
mod console;
mod disks;
mod error;
mod image;
pub mod limits;
mod machine;
mod nbd;
mod platter;
mod plug;
mod qemu;
mod qmp;
mod run;
mod stick;
mod tool;
mod tpm;
mod vm;

pub use arch::Arch;
pub use check::workload_name;
pub use error::{Error, one_line};
pub use image::{Kernel, aegisctl, build_image, image_folder, project_root};
pub use machine::{DiskBus, Machine, Progress, Watchdog, Watcher};
pub use platter::{Cache, Cut, Fault, Random};
pub use plug::{StickId, Traffic};
pub use run::{End, Run};
pub use stick::{Stick, StickFs, Throttle, stick_outputs};
pub use vm::{Place, Vm};
