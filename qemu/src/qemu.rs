//! QEMU's command line, and its start.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::arch::Arch;
use crate::console;
use crate::error::Error;
use crate::machine::{DiskBus, Machine, Prepared, Start, Watchdog};
use crate::nbd;
use crate::plug::{FIRST_DRIVE, StickId};
use crate::tool;
use crate::tpm::Tpm;

/// `ACCEL`: software emulation unless the user says otherwise; KVM may exist and hang.
pub(crate) fn accelerator(arch: Arch) -> Result<[&'static str; 4], Error> {
    match std::env::var("ACCEL").as_deref() {
        Err(_) | Ok("" | "tcg") => Ok(["-accel", "tcg", "-cpu", arch.emulated_cpu()]),
        Ok("kvm") => Ok(["-accel", "kvm", "-cpu", "host"]),
        Ok(other) => {
            Err(Error::usage(format!("ACCEL={other}: unknown accelerator; mend: tcg (default) or kvm")))
        }
    }
}

/// A value inside one of QEMU's comma-separated options.
fn escaped(prefix: &str, path: &Path, suffix: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = prefix.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    bytes.extend(suffix.as_bytes());
    OsString::from_vec(bytes)
}

/// QEMU's arguments. Read-only disks are locked shared, so that several guests may have one image.
fn arguments(machine: &Machine, prepared: &Prepared) -> Result<Vec<OsString>, Error> {
    let mut all: Vec<OsString> = Vec::new();
    all.extend(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"].map(OsString::from));
    let accelerator = accelerator(machine.arch)?;
    all.extend(["-smp", if machine.counted { "1" } else { "2" }].map(OsString::from));
    if machine.counted {
        if accelerator.contains(&"kvm") {
            return Err(Error::usage("ACCEL=kvm: a processor does not count its instructions; mend: tcg"));
        }
        // `sleep=off` would let hours pass while a disk is waited for.
        all.extend(["-icount", "shift=0"].map(OsString::from));
    }
    all.extend(accelerator.map(OsString::from));
    all.extend(["-m".into(), format!("{}M", machine.memory_mib).into()]);
    all.extend(start_arguments(machine, prepared));
    if machine.watchdog == Watchdog::Armed && machine.arch == Arch::X86_64 {
        all.extend(["-global", "ICH9-LPC.noreboot=false"].map(OsString::from));
    }
    if let Some(seconds) = machine.clock {
        // By the guest's own time: of the host's clock QEMU 7.2 holds the offset in 32 bits.
        all.extend(["-rtc".into(), format!("base={},clock=vm", civil(seconds)).into()]);
    }
    // Both are socket pairs that QEMU inherits: the monitor on its stdin, the console on its stdout.
    all.extend(
        ["-chardev", "socket,id=monitor,fd=0", "-mon", "chardev=monitor,mode=control"].map(OsString::from),
    );
    all.extend(["-chardev", "socket,id=console,fd=1", "-serial", "chardev:console"].map(OsString::from));
    all.extend(["-device", "virtio-rng-pci"].map(OsString::from));

    // A flush of the guest is an fsync here. What QEMU got is with the host when QEMU is killed, flushed or not; it is not
    // where a power cut is to lose it: then the disk is ours.
    let written = |name| prepared.disks.iter().find(|(disk, _)| *disk == name).map(|(_, path)| path);
    let disks = ["system", "ring", "data", "workload"].map(|name| match (name, written(name)) {
        (_, Some(path)) => (name, Some(path), "off"),
        ("system", None) => (name, Some(&prepared.image.system), "on"),
        (_, None) => (name, prepared.workload.as_ref().filter(|_| name == "workload"), "on"),
    });
    for (name, path, read_only) in disks {
        let Some(path) = path else { continue };
        let mut options = format!(",if=none,format=raw,cache=writeback,id={name},readonly={read_only}");
        match prepared.sockets().into_iter().find(|(disk, _)| *disk == name) {
            // docs/devel/blkdebug.txt
            None if name == "ring" && machine.ring_fails => {
                options
                    .push_str(",file.driver=blkdebug,file.image.driver=file,file.inject-error.0.event=none");
                options.push_str(",file.inject-error.0.iotype=write,file.inject-error.0.errno=5");
                all.extend(["-drive".into(), escaped("file.image.filename=", path, &options)]);
            }
            None => all.extend(["-drive".into(), escaped("file=", path, &options)]),
            Some((_, socket)) => {
                options.push_str(",file.driver=nbd,file.server.type=unix,file.export=disk");
                all.extend(["-drive".into(), escaped("file.server.path=", &socket, &options)]);
            }
        }
        let is_first = name == "system" && matches!(prepared.start, Start::Firmware(_));
        let bus = if is_first { machine.disk_bus } else { DiskBus::Virtio };
        let mut device = match bus {
            DiskBus::Virtio => format!("virtio-blk-pci,drive={name},serial=aegis-{name}"),
            DiskBus::Nvme => format!("nvme,drive={name},serial=aegis-{name}"),
            DiskBus::Sata => format!("ide-hd,bus=ide.0,drive={name},serial=aegis-{name}"),
        };
        if is_first {
            device.push_str(",bootindex=0");
        }
        all.extend(["-device".into(), device.into()]);
    }
    if let Some(tpm) = &prepared.tpm {
        all.extend(["-chardev".into(), escaped("socket,id=tpm,path=", tpm.socket(), "")]);
        all.extend(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device"].map(OsString::from));
        all.push(format!("{},tpmdev=tpm0", machine.arch.tpm()).into());
    }
    if let Some((here, there)) = machine.network {
        let mut options = format!("user,id=site,restrict=on,hostfwd=tcp:127.0.0.1:{here}-10.0.2.15:{there}");
        if let Some(here) = machine.collector {
            // A process for each connection: without one, what ends here is one connection for all.
            let _ = write!(options, ",guestfwd=tcp:10.0.2.20:9444-cmd:socat - TCP:127.0.0.1:{here}");
        }
        all.extend([
            "-netdev".into(),
            options.into(),
            "-device".into(),
            "virtio-net-pci,netdev=site,romfile=".into(),
        ]);
    }
    all.extend(["-device", "qemu-xhci,id=usb"].map(OsString::from));
    if let Some(stick) = &prepared.stick {
        let mut options = format!(",if=none,format=raw,cache=writeback,id={FIRST_DRIVE}");
        if stick.read_only {
            options.push_str(",readonly=on");
        }
        for (way, speed) in [("read", stick.throttle.read), ("write", stick.throttle.write)] {
            if speed != 0 {
                let _ = write!(options, ",throttling.bps-{way}={speed}");
            }
        }
        all.extend(["-drive".into(), escaped("file=", &stick.image, &options)]);
        let device = StickId(0).device();
        let device = format!("usb-storage,bus=usb.0,drive={FIRST_DRIVE},removable=on,id={device}");
        all.extend(["-device".into(), device.into()]);
    }

    all.extend(["-device", "virtio-serial-pci"].map(OsString::from));
    for name in ["stdout", "stderr", "exit"] {
        let path = machine.out.join(name);
        all.extend(["-chardev".into(), escaped(&format!("file,id={name},path="), &path, "")]);
        all.extend(["-device".into(), format!("virtserialport,chardev={name},name=aegis.{name}").into()]);
    }
    Ok(all)
}

/// What runs first: a kernel, or a firmware that finds one.
fn start_arguments(machine: &Machine, prepared: &Prepared) -> Vec<OsString> {
    let mut all = Vec::new();
    match &prepared.start {
        Start::Kernel(command_line) => {
            all.extend(["-machine", machine.arch.machine(), "-kernel"].map(OsString::from));
            all.push(prepared.image.kernel.clone().into());
            if let Some(initramfs) = &prepared.image.initramfs {
                all.extend(["-initrd".into(), initramfs.clone().into()]);
            }
            all.extend(["-append".into(), command_line.into()]);
        }
        Start::Firmware(firmware) => {
            all.extend(["-machine", machine.arch.firmware_machine()].map(OsString::from));
            if machine.arch == Arch::X86_64 {
                all.extend(["-global", "driver=cfi.pflash01,property=secure,value=on"].map(OsString::from));
            }
            let parts = [(&firmware.code, "on"), (&firmware.variables, "off")];
            for (unit, (path, read_only)) in parts.into_iter().enumerate() {
                let options = format!(",if=pflash,format=raw,unit={unit},readonly={read_only}");
                all.extend(["-drive".into(), escaped("file=", path, &options)]);
            }
        }
    }
    all
}

/// A time as QEMU's `-rtc` wants it, UTC. Days to date: H. Hinnant, "chrono-compatible low-level date algorithms".
fn civil(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, eras of 400 years in the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A QEMU that was started, and our ends of its lines.
pub(crate) struct Started {
    pub(crate) child: Child,
    /// The thread that started it lives until this is dropped.
    pub(crate) thread: Sender<()>,
    pub(crate) lines: Receiver<String>,
    pub(crate) console: UnixStream,
    pub(crate) monitor: UnixStream,
}

/// Starts QEMU. A thread of its own starts it and reads its console to the end: where there is `setpriv`, the
/// kernel kills QEMU when that thread dies, so a killed harness leaves no guest behind.
pub(crate) fn start(machine: &Machine, prepared: &Prepared) -> Result<Started, Error> {
    let log_path = machine.out.join("console.log");
    let log = File::create(&log_path).map_err(|error| Error::io("create", &log_path, &error))?;
    let own_words = prepared.folder.path().join("qemu.log");
    let words = File::create(&own_words).map_err(|error| Error::io("create", &own_words, &error))?;

    if let Some(power) = &prepared.power {
        for (disk, (name, socket)) in prepared.sockets().into_iter().enumerate() {
            nbd::serve(power, disk, &socket)
                .map_err(|error| Error::Host(format!("{name}: {}: {error}", socket.display())))?;
        }
    }
    let qemu = machine.arch.qemu();
    let found = tool::command(qemu).arg("--version").stdout(Stdio::null()).status();
    found.map_err(|error| tool::spawn_error(qemu, &error))?;
    let mut command = if Path::new("/usr/bin/setpriv").exists() {
        let mut command = tool::command("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", qemu]);
        command
    } else {
        tool::command(qemu)
    };
    command.args(arguments(machine, prepared)?);
    let pair = || UnixStream::pair().map_err(|error| Error::Host(format!("a socket pair: {error}")));
    let ((monitor, its_monitor), (console, its_console)) = (pair()?, pair()?);
    let output = console.try_clone().map_err(|error| Error::Host(format!("the console: {error}")))?;
    // Its own process group: Ctrl-C is ours to answer.
    command
        .stdin(OwnedFd::from(its_monitor))
        .stdout(OwnedFd::from(its_console))
        .stderr(words)
        .process_group(0);

    let (thread, over) = channel();
    let tpm = prepared.tpm.clone().map(|tpm| (tpm, prepared.folder.path().join("tpm.log")));
    let (child, lines) = spawn(qemu, command, tpm, output, log, over)?;
    Ok(Started { child, thread, lines, console, monitor })
}

/// `over` holds the thread until its other end is dropped.
fn spawn(
    qemu: &'static str,
    mut command: Command,
    tpm: Option<(Tpm, PathBuf)>,
    output: impl Read + Send + 'static,
    log: File,
    over: Receiver<()>,
) -> Result<(Child, Receiver<String>), Error> {
    let (child_to, child_from) = channel();
    let (line_to, lines) = channel();
    thread::spawn(move || {
        // It has power as long as this thread lives.
        let powered = tpm.map(|(tpm, words)| tpm.start(&words)).transpose();
        let spawned = powered.and_then(|powered| {
            let child = command.spawn().map_err(|error| tool::spawn_error(qemu, &error))?;
            Ok((child, powered))
        });
        // It holds QEMU's ends of the lines: the console ends when QEMU alone has them.
        drop(command);
        let (child, _powered) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let _ = child_to.send(Err(error));
                return;
            }
        };
        if let Err(unsent) = child_to.send(Ok(child)) {
            if let Ok(mut child) = unsent.0 {
                let _ = child.kill();
            }
            return;
        }
        // Nobody listening any more is no reason to stop reading: the guest would wait for its console.
        console::copy(output, log, |line| drop(line_to.send(line)));
        drop(line_to);
        // The console ends before QEMU does, which is still flushing its disks: our end would be its death.
        let _ = over.recv();
    });
    let child =
        child_from.recv().map_err(|_| Error::Host(format!("{qemu}: the thread that starts it ended")))?;
    Ok((child?, lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let option = escaped("file=", Path::new("/a,b"), ",id=x");
        assert_eq!(option, OsString::from("file=/a,,b,id=x"));
    }

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_798_761_599, "2026-12-31T23:59:59"),
            (1_798_761_600, "2027-01-01T00:00:00"),
            (limits::CLOCK_MAX, "2099-12-31T23:59:59"),
        ] {
            assert_eq!(civil(seconds), date);
        }
    }
}
