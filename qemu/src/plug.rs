//! Sticks that come and go while the guest runs.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits;
use crate::stick::{Stick, Throttle};
use crate::vm::Vm;

/// One stick in one port, from its plugging to its unplugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StickId(pub(crate) usize);

impl StickId {
    /// Its name in QEMU, as device and (when it was plugged later) as block node.
    pub(crate) fn device(self) -> String {
        format!("stick{}", self.0)
    }
}

/// The drive of the stick that is there from the start.
pub(crate) const FIRST_DRIVE: &str = "stick";

/// What a guest has read from and written to a stick, bytes, since it was plugged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read by the guest.
    pub read: u64,
    /// Written by the guest.
    pub written: u64,
}

/// A stick that is or was in a port; its number in [`Vm`]'s list is its id.
#[derive(Clone, Debug)]
pub(crate) struct Plugged {
    pub(crate) image: PathBuf,
    pub(crate) read_only: bool,
    /// Made here, so that it can be read back here.
    pub(crate) made: bool,
    /// Still in its port.
    pub(crate) present: bool,
}

impl Vm {
    /// The stick that was in its port when the guest was started.
    pub fn stick(&self) -> Option<StickId> {
        self.started_with_stick().then_some(StickId(0))
    }

    /// The image of a stick. It can be looked at once the stick is out, and plugged in again by [`Stick::image`]; one
    /// that was made for this guest is gone with it.
    ///
    /// # Panics
    /// When `id` is of another guest.
    pub fn stick_path(&self, id: StickId) -> &Path {
        &self.sticks[id.0].image
    }

    /// Plugs a stick in. The guest hears of it within its own time: wait for what it says. Three have a port of their
    /// own; for more QEMU puts in a hub.
    ///
    /// # Errors
    /// As [`Stick::make`]; [`Error::Host`] when QEMU refuses (the image is in use) or the guest has ended.
    pub fn plug(&mut self, stick: &Stick) -> Result<StickId, Error> {
        stick.check()?;
        let id = StickId(self.sticks.len());
        let device = id.device();
        let image = stick.prepare(self.folder().join(format!("{device}.img")))?;
        let read_only = stick.is_read_only(&image);
        let Some(path) = image.to_str() else {
            return Err(Error::usage(format!("{}: is not text; mend: rename it", image.display())));
        };
        self.qmp.execute(
            "blockdev-add",
            &json!({
                "driver": "raw",
                "node-name": device,
                "read-only": read_only,
                "file": { "driver": "file", "filename": path },
            }),
        )?;
        let add = json!({
            "driver": "usb-storage", "bus": "usb.0", "drive": device, "removable": true, "id": device,
        });
        if let Err(error) = self.qmp.execute("device_add", &add) {
            // So that the image is free again, and can be tried again.
            let _ = self.qmp.execute("blockdev-del", &json!({ "node-name": device }));
            return Err(error);
        }
        self.sticks.push(Plugged { image, read_only, made: stick.is_made(), present: true });
        if stick.throttled() != Throttle::default() {
            self.throttle(id, stick.throttled())?;
        }
        Ok(id)
    }

    /// Pulls a stick out, whatever the guest is doing with it. When this returns the guest can't reach it any more
    /// and its image is closed.
    ///
    /// # Errors
    /// [`Error::Host`] when it is out already, QEMU refuses or the guest has ended.
    pub fn unplug(&mut self, id: StickId) -> Result<(), Error> {
        let device = id.device();
        self.qmp.execute("device_del", &json!({ "id": device }))?;
        self.qmp.wait_event("DEVICE_DELETED", |data| data["device"] == device)?;
        if let Some(stick) = self.sticks.get_mut(id.0) {
            stick.present = false;
        }
        // Neither is let go of at once: a drive of the command line by QEMU itself, a block node by our word.
        let until = Instant::now() + limits::QMP_ANSWER;
        loop {
            let held = if self.stick() == Some(id) {
                let all = self.qmp.execute("query-block", &json!({}))?;
                find(&all, |entry| entry["device"] == FIRST_DRIVE)
                    .map(|_| Error::Host(format!("QEMU: holds on to {device}")))
            } else {
                self.qmp.execute("blockdev-del", &json!({ "node-name": device })).err()
            };
            match held {
                None => return Ok(()),
                Some(error) if Instant::now() > until => return Err(error),
                Some(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Makes a stick that is plugged in slower or faster, from now on.
    ///
    /// # Errors
    /// [`Error::Host`] when it is out, QEMU refuses or the guest has ended.
    pub fn throttle(&mut self, id: StickId, throttle: Throttle) -> Result<(), Error> {
        let device = self.qom_path(id)?;
        let limits = json!({
            "id": device, "bps": 0, "bps_rd": throttle.read, "bps_wr": throttle.write,
            "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.qmp.execute("block_set_io_throttle", &limits).map(drop)
    }

    /// What the guest has read from and written to a stick that is plugged in.
    ///
    /// # Errors
    /// [`Error::Host`] when it is out or the guest has ended.
    pub fn stick_traffic(&mut self, id: StickId) -> Result<Traffic, Error> {
        let device = self.qom_path(id)?;
        let all = self.qmp.execute("query-blockstats", &json!({}))?;
        let stats = find(&all, |entry| entry["qdev"] == device.as_str())
            .map(|entry| &entry["stats"])
            .ok_or_else(|| Error::Host(format!("QEMU: no figures of {device}")))?;
        let number = |name: &str| stats[name].as_u64().unwrap_or(0);
        Ok(Traffic { read: number("rd_bytes"), written: number("wr_bytes") })
    }

    /// Waits until the guest's traffic with a stick fits. False when the guest ended or its time ran out first.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Host`] when the stick is out.
    pub fn wait_traffic(&mut self, id: StickId, fits: impl Fn(Traffic) -> bool) -> Result<bool, Error> {
        loop {
            match self.stick_traffic(id) {
                Ok(traffic) if fits(traffic) => return Ok(true),
                Ok(_) => {}
                Err(_) if self.is_over() => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.is_over() {
                return Ok(false);
            }
            self.run_for(Duration::from_millis(10))?;
        }
    }

    /// The path of the disk that is inside a stick, which QEMU's block commands want.
    fn qom_path(&mut self, id: StickId) -> Result<String, Error> {
        let prefix = format!("/machine/peripheral/{}/", id.device());
        let all = self.qmp.execute("query-block", &json!({}))?;
        find(&all, |entry| entry["qdev"].as_str().is_some_and(|path| path.starts_with(&prefix)))
            .and_then(|entry| Some(entry["qdev"].as_str()?.to_owned()))
            .ok_or_else(|| Error::Host(format!("{}: is not plugged in", id.device())))
    }
}

fn find(all: &Value, fits: impl Fn(&&Value) -> bool) -> Option<&Value> {
    all.as_array()?.iter().find(fits)
}
