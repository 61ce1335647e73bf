//! System start: mounts, own storage, the probes, the stick. Every step says what it does; none can stop the boot.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, netlink, sendto, socket_with};
use rustix::system::{RebootCommand, reboot, sethostname};

use crate::children::{Children, Kind, aegis};
use crate::command_line::CommandLine;
use crate::console::{self, say};
use crate::{End, SITE, STATE, devices, end, limits, mounts, watchdog};

/// What the rest of the boot has to know.
pub(crate) struct Started {
    /// Probes and policy are there, whole or not.
    pub(crate) loaded: bool,
    /// `/data` is on a disk.
    pub(crate) storage: bool,
}

/// Before anything else runs.
///
/// # Errors
/// The end was asked for meanwhile.
pub(crate) fn run(children: &mut Children, line: &CommandLine) -> Result<Started, End> {
    console::make_sane();
    // Three keys end in order what they would else cut.
    let _ = reboot(RebootCommand::CadOff);
    say("mounting kernel file systems");
    mounts::kernel();
    host();
    cgroups();
    firmware(line);
    if devices::line("/etc/aegis/variant").as_deref() != Some("production") {
        say("DEBUG IMAGE: it has a shell and tools, and is none for the field");
    }
    let modules = devices::line("/sys/kernel/security/lsm").unwrap_or_default();
    say(&format!("security modules: {modules}"));
    watchdog::start();
    children.listen();
    root();

    let storage = storage(children)?;
    mounts::self_test();
    mounts::scratch();

    if storage {
        // Before the policy is taken: their paths lead somewhere when it looks them up.
        let code = children.run(limits::WORKLOADS, &mut aegis(&["workload", "mount"]))?;
        if code != 0 {
            say(&format!("WORKLOADS NOT MOUNTED, or not all (exit {code})"));
        }
    }
    say("loading probes and policy");
    let code = children.run(limits::COMMAND, &mut aegis(&["load"]))?;
    match code {
        0 => say("probes and policy are in place"),
        1 => say("DEGRADED: less is in force than the policy asks for"),
        _ => {
            say(&format!("LOAD FAILED (exit {code}): no workload will be started"));
            mark("load.failed", &code.to_string());
        }
    }
    stick(children, line)?;
    let loaded = code <= 1;
    if loaded {
        children.keep(Kind::Agent { trace: line.has("aegis.trace") });
    }
    children.keep(Kind::Alerts);
    children.keep(Kind::Stick);
    // Key and certificate are in own storage.
    if loaded && storage && Path::new(SITE).exists() {
        children.keep(Kind::Site);
    }
    let shell = line.has("aegis.shell") && Path::new("/bin/sh").exists();
    children.keep(if shell { Kind::Shell } else { Kind::Console });
    Ok(Started { loaded, storage })
}

/// A file that says something of this boot to others.
fn mark(name: &str, text: &str) {
    let path = Path::new(STATE).join(name);
    if let Err(error) = fs::write(&path, format!("{text}\n")) {
        say(&format!("{}: {error}", path.display()));
    }
}

/// Its name, the kernel's settings, the loopback device.
fn host() {
    if let Err(error) = sethostname(b"aegis") {
        say(&format!("hostname: {error}"));
    }
    let settings = devices::read("/etc/sysctl.conf", limits::FILE_BYTES).unwrap_or_default();
    for (name, value) in settings.lines().filter_map(setting) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        // One that this kernel does not know is passed over.
        if let Err(error) = mounts::write(&path, value)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            say(&format!("sysctl {name}: {error}"));
        }
    }
    if let Err(error) = raise_loopback() {
        say(&format!("loopback device: {error}"));
    }
}

/// `NAME = VALUE`; a comment is none.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    (plain && !name.is_empty()).then_some((name, value.trim()))
}

/// `RTM_NEWLINK` of the first interface, with `IFF_UP` (rtnetlink(7), `linux/rtnetlink.h`).
fn raise_loopback() -> rustix::io::Result<()> {
    let mut message = [0u8; 32];
    message[..4].copy_from_slice(&32u32.to_ne_bytes()); // nlmsg_len
    message[4..6].copy_from_slice(&16u16.to_ne_bytes()); // nlmsg_type: RTM_NEWLINK
    message[6..8].copy_from_slice(&1u16.to_ne_bytes()); // nlmsg_flags: NLM_F_REQUEST
    message[20..24].copy_from_slice(&1i32.to_ne_bytes()); // ifi_index: lo is always the first
    message[24..28].copy_from_slice(&1u32.to_ne_bytes()); // ifi_flags: IFF_UP
    message[28..32].copy_from_slice(&1u32.to_ne_bytes()); // ifi_change: IFF_UP
    // The protocol that is none: NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(socket, &message, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0)).map(drop)
}

/// Workloads have a place of their own, with the controllers that they are bounded by.
fn cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let workloads = Path::new(end::WORKLOADS);
    if let Err(error) = fs::create_dir_all(workloads) {
        say(&format!("{}: {error}", workloads.display()));
    }
    let there = devices::line(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in
        there.split_whitespace().filter(|name| matches!(*name, "cpu" | "memory" | "pids" | "io"))
    {
        for group in [root, workloads] {
            if let Err(error) = mounts::write(group.join("cgroup.subtree_control"), &format!("+{controller}"))
            {
                say(&format!("cgroup {controller}: {error}"));
            }
        }
    }
}

/// What started the kernel, where that was a firmware.
fn firmware(line: &CommandLine) {
    if !mounts::firmware() {
        return;
    }
    let [slot, image] = ["aegis.slot", "aegis.image"].map(|name| line.asked(name).unwrap_or_default());
    say(&if secure_boot() {
        format!("firmware: UEFI, Secure Boot on; slot {slot}, image {image}")
    } else {
        format!(
            "firmware: UEFI, SECURE BOOT OFF: nobody vouches for the kernel and its command line; slot {slot}, image {image}"
        )
    });
}

/// A firmware started this kernel, and held nothing of it against keys.
pub fn secure_boot_is_off() -> bool {
    Path::new(mounts::FIRMWARE).is_dir() && !secure_boot()
}

/// The global variable `SecureBoot`: four bytes of attributes, then one (UEFI 2.10, 3.3). Of another vendor's anybody may make one.
fn secure_boot() -> bool {
    const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let mut bytes = [0; 5];
    File::open(SECURE_BOOT).and_then(|mut file| file.read_exact(&mut bytes)).is_ok() && bytes[4] == 1
}

/// A block of the root is held against the root hash whenever it is read; here each of them once, so that a change anywhere is
/// found before anything runs by it. The kernel starts the machine again at the first one that is wrong.
fn root() {
    if devices::line("/sys/block/dm-0/dm/name").as_deref() != Some("aegis-root") {
        say("ROOT NOT VERIFIED: this kernel was not told its root hash");
        return;
    }
    let why = match mounts::bounded(limits::ROOT, || read_all("/dev/dm-0")) {
        Some(Ok(())) => return say("root verified, every block"),
        Some(Err(error)) => error.to_string(),
        None => format!("no end after {} s", limits::ROOT.as_secs()),
    };
    say(&format!("ROOT NOT READABLE ({why}): starting again"));
    end::restart_now();
}

fn read_all(disk: &str) -> std::io::Result<()> {
    let (mut disk, mut piece) = (File::open(disk)?, vec![0; limits::PIECE]);
    loop {
        match disk.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The ring's and the data partition: found, mended, made where there are none. What was done is said, and told as events later.
fn storage(children: &mut Children) -> Result<bool, End> {
    let prepared = children.run(limits::COMMAND, &mut aegis(&["storage", "prepare"]))?;
    if prepared != 0 {
        say(&format!("storage: exit {prepared}"));
    }
    let device = devices::partition("aegis-data");
    let mounted = mounts::data(device.as_deref());
    match &device {
        Some(device) if mounted => say(&format!("own storage on {}", device.display())),
        // Policy, anti-rollback and the device's key are on it: without them nothing may run as if they were in force.
        _ => {
            let what = device
                .map_or("no partition labelled aegis-data".to_owned(), |device| device.display().to_string());
            say(&format!("NO OWN STORAGE ({what}): state in memory, no workload will be started"));
            mark("no-storage", "yes");
        }
    }
    // It takes the room that its partition has by now; one that could not be mounted is told.
    let settled = children.run(limits::COMMAND, &mut aegis(&["storage", "settle"]))?;
    if settled != 0 {
        say(&format!("storage: exit {settled}"));
    }
    Ok(mounted)
}

/// What a stick brings counts before anything else starts. One that was announced may still be settling on its bus. Its evidence
/// is not waited for: that goes out at the end, or when a stick is plugged in.
fn stick(children: &mut Children, line: &CommandLine) -> Result<(), End> {
    // A card reader says nothing of a card that is put in, unless it is asked: every 2 s. Not every kernel has the setting.
    let _ = mounts::write("/sys/module/block/parameters/events_dfl_poll_msecs", "2000");
    let settles = if line.asked("aegis.stick") == Some("1") { limits::STICK_SETTLES } else { 0 };
    let take = &mut aegis(&["stick", "take", "--no-export", "--wait", &settles.to_string()]);
    let code = children.run(limits::STICK, take)?;
    if code != 0 {
        say(&format!("stick: exit {code}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_names_and_values() {
        for (line, expected) in [
            ("kernel.kptr_restrict = 1", Some(("kernel.kptr_restrict", "1"))),
            ("net.core.bpf_jit_harden=2 ", Some(("net.core.bpf_jit_harden", "2"))),
            ("# Keys that a kernel does not know = are skipped.", None),
            ("../../etc/passwd = 1", None),
            ("", None),
            ("= 1", None),
        ] {
            assert_eq!(setting(line), expected, "{line}");
        }
    }

    /// Each line of the image's own.
    #[test]
    fn every_line_of_the_images_settings_is_understood() {
        let text = include_str!("../../../image/overlay/etc/sysctl.conf");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        assert!(lines.clone().count() > 5 && lines.clone().all(|line| setting(line).is_some()), "{text}");
    }
}
