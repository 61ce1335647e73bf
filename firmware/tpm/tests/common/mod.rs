//! A TPM to talk to, on a socket.
#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aegis_tpm::Transport;

/// A TPM's state, in a folder of its own.
pub(crate) struct Swtpm(tempfile::TempDir);

/// One that has power. It loses it when it is dropped.
pub(crate) struct Powered {
    child: Child,
    socket: UnixStream,
}

impl Swtpm {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn start(&mut self) -> Powered {
        let at = |name: &str| self.0.path().join(name).display().to_string();
        let _ = std::fs::remove_file(at("socket"));
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", at(""))])
            .args(["--server", &format!("type=unixio,path={}", at("socket"))])
            .stdin(Stdio::null())
            .spawn()
            .expect("swtpm (image/deps has it)");
        let end = Instant::now() + Duration::from_secs(30);
        let socket = loop {
            match UnixStream::connect(at("socket")) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Powered { child, socket }
    }
}

impl Powered {
    /// `TPM2_PCR_Extend` (part 3, 22.2) with SHA-256 of ones.
    #[allow(dead_code)]
    pub(crate) fn extend(&mut self, pcr: u8) {
        let mut command = vec![0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        command.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        command.extend([0, 0, 0, 1, 0, 0x0b]);
        command.extend([1; 32]);
        let length = (command.len() as u32).to_be_bytes();
        command[2..6].copy_from_slice(&length);
        let mut response = [0; 64];
        self.transact(&command, &mut response).unwrap();
        assert_eq!(response[6..10], [0; 4], "{response:?}");
    }
}

impl Transport for Powered {
    type Error = io::Error;

    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> io::Result<usize> {
        self.socket.write_all(command)?;
        self.socket.read_exact(&mut response[..10])?;
        let length = u32::from_be_bytes(response[2..6].try_into().unwrap()) as usize;
        self.socket.read_exact(response.get_mut(10..length).ok_or(io::ErrorKind::InvalidData)?)?;
        Ok(length)
    }
}

impl Drop for Powered {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
