//! A keeper of the real program on this machine, a plant's authority by the commands of `docs/site.md`, and clients.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aegis_bundle::limits::SITE_BYTES;
use aegis_bundle::{Collector, Site};
use aegis_site::offer::Offer;

pub(crate) const DEVICE: [u8; 16] = [0xab; 16];
pub(crate) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What stands in for the agent's program: it prints what lies beside it, and notes what it was asked.
const AGENT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>asked
case "$*" in
    metrics) cat metrics ;;
    "health --json --live") echo '{"phase":"running","verdict":"live"}' ;;
    "health --json --ready") echo '{"findings":[{"code":"x"}],"verdict":"not-ready"}'; exit 1 ;;
    "health --json --stats") exit 1 ;;
    "health --json") echo '{"findings":[],"verdict":"healthy"}' ;;
    "events --cbor"*) begin=${4#since=}; [ "$begin" -ge 100000 ] || begin=100000; tail -c +$(((begin - 100000) * 28 + 1)) items ;;
    events*) seq "${4#since=}" 25000 | sed 's/.*/{"sequence":&,"kind":"open","path":"\/some\/path\/of\/a\/workload\/that\/is\/no\/short\/one"}/' ;;
    "status --json") echo "{\"ring\":{\"acked_sequence\":$(cat last)}}" ;;
    "export --to "*)
        begin=$5 end=$7 first=$(cat first) last=$(cat last)
        [ ! -e written ] || last=$(cat written)
        [ "$begin" -ge "$first" ] || begin=$first
        [ "$end" -le "$last" ] || end=$last
        name=export-abababab-07070707-$begin-$end.cbor
        seq "$begin" "$end" | sed 's/$/ and so much more of it that an export is no short one, as events are not: some have a path, others arguments/' >"$3/$name"
        echo "{\"file\":\"$3/$name\",\"ring\":\"$(cat ring)\",\"events\":$((end - begin + 1)),\"resume\":$((end + 1))}" ;;
    *) exit 2 ;;
esac
"#;

/// Of the ring that it has: its id, in hex.
pub(crate) const RING: &str = "07070707070707070707070707070707";

/// Of the contract's form; what a device says is looked at in the guest.
const METRICS: &str =
    "# HELP aegis_agent_up 1: the agent answers.\n# TYPE aegis_agent_up gauge\naegis_agent_up 1\n";

/// Items of the sequences 100,000 to 124,999, as `docs/formats/events.cddl` has them; each of 28 bytes.
fn items() -> Vec<u8> {
    (100_000..125_000_u32)
        .flat_map(|sequence| {
            [&b"\x83\x1a"[..], &sequence.to_be_bytes(), b"\x50", &[7; 16], b"\x44\xa1\x00\xff\x0a"].concat()
        })
        .collect()
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    keeper: Option<Child>,
    pub(crate) port: u16,
    collector: Option<SocketAddr>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
    }
}

/// A port that nobody has, and that no client's connection takes meanwhile: below those that the kernel gives out.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 10_000 + std::process::id() % 20_000;
    loop {
        let port = 10_000 + (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % 20_000;
        let port = u16::try_from(port).expect("below 30,000");
        if TcpListener::bind((HOST, port)).is_ok() {
            return port;
        }
    }
}

/// The document's blocks of this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = include_str!("../../../../docs/site.md");
    let begin = format!("```{language}\n");
    text.split(&begin)
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block.to_owned())
        .collect()
}

impl World {
    /// A device without a certificate, and the office's authority and clients.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let world = Self { folder, keeper: None, port, collector: None };
        for name in ["run", "state"] {
            fs::create_dir(world.at(name)).expect("made");
        }
        fs::write(world.at("agent"), AGENT).expect("written");
        fs::set_permissions(world.at("agent"), fs::Permissions::from_mode(0o755)).expect("a program");
        fs::write(world.at("metrics"), METRICS).expect("written");
        fs::write(world.at("items"), items()).expect("written");
        world.shell(&blocks("sh")[0]);
        world.offer(&[], 6000);
        world
    }

    /// One whose device has its certificate, and listens.
    pub(crate) fn listening(requests_per_minute: u32) -> Self {
        Self::listening_at(1_700_000_000, requests_per_minute)
    }

    /// As [`Self::listening`], on a device that knows that it is this late at least.
    pub(crate) fn listening_at(time: u64, requests_per_minute: u32) -> Self {
        let mut world = Self::new();
        world.keep();
        world.wait_for("down no-certificate");
        world.sign();
        let device = world.der("device.crt");
        world.offer_at(time, &[&[&device]], requests_per_minute);
        world.wait_for("up listening");
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shell(&self, script: &str) -> String {
        let output =
            Command::new("sh").arg("-ec").arg(script).current_dir(&self.folder).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The commands of the document for clients, with this world's address in place of the document's.
    pub(crate) fn plant(&self) -> Vec<String> {
        let here = format!("{HOST}:{}", self.port);
        let block = blocks("sh")[2].replace("192.0.2.10:9443", &here);
        block.lines().filter(|line| line.starts_with("curl ")).map(|line| self.shell(line)).collect()
    }

    /// Prometheus' configuration as the document has it, but for the address and how often it asks.
    pub(crate) fn prometheus(&self) -> String {
        let here = format!("{HOST}:{}", self.port);
        blocks("yaml")[0]
            .replace("192.0.2.10:9443", &here)
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
    }

    /// The office signs the device's request.
    pub(crate) fn sign(&self) {
        fs::copy(self.at("state/request.csr"), self.at("site-DEVICE.csr")).expect("a request");
        let said = self.shell(&blocks("sh")[1]);
        let id: String = DEVICE.iter().fold(String::new(), |id, byte| id + &format!("{byte:02x}"));
        assert!(said.contains(&format!("aegis-{id}")), "{said}");
    }

    pub(crate) fn der(&self, file: &str) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.args(["x509", "-outform", "DER", "-in"]).arg(self.at(file));
        command.output().expect("openssl").stdout
    }

    /// A policy that brings these chains is in force.
    pub(crate) fn offer(&self, chains: &[&[&[u8]]], rate: u32) {
        self.offer_at(1_700_000_000, chains, rate);
    }

    /// As [`Self::offer`], by a device that knows that it is this late at least.
    pub(crate) fn offer_at(&self, time: u64, chains: &[&[&[u8]]], rate: u32) {
        let authority = self.der("ca.crt");
        let collector = self.collector.map(|address| Collector {
            address: address.ip(),
            port: address.port(),
            name: "collector.plant",
            path: "/aegis/",
            authorities: [authority.as_slice()].into_iter().collect(),
        });
        let site = Site {
            interface: "lo",
            address: HOST,
            prefix: 8,
            gateway: None,
            port: self.port,
            names: ["edge-7.plant"].into_iter().collect(),
            authorities: [authority.as_slice()].into_iter().collect(),
            chains: chains.iter().map(|chain| chain.iter().copied().collect()).collect(),
            viewers: ["prometheus.plant"].into_iter().collect(),
            operators: ["analyst.plant"].into_iter().collect(),
            rate,
            collector,
        };
        let mut section = vec![0; SITE_BYTES];
        let length = site.encode(&mut section).expect("a possible section");
        let offer = Offer::new(time, &DEVICE, &section[..length]).expect("an offer");
        fs::write(self.at("offer.new"), offer.bytes()).expect("written");
        fs::rename(self.at("offer.new"), self.at("offer")).expect("in its place");
    }

    /// One whose device has its certificate, listens, and pushes what its ring has, which is up to this sequence, to a collector that is
    /// not there yet: at this address.
    pub(crate) fn pushing(last: u64) -> (Self, SocketAddr) {
        let mut world = Self::new();
        for (name, text) in [("first", "1"), ("last", &last.to_string()), ("ring", RING)] {
            fs::write(world.at(name), text).expect("written");
        }
        world.shell(&blocks("sh")[3]);
        world.keep();
        world.wait_for("down no-certificate");
        world.sign();
        let address = SocketAddr::new(HOST, free_port());
        world.collector = Some(address);
        let device = world.der("device.crt");
        world.offer(&[&[&device]], 6000);
        world.wait_for("up listening");
        (world, address)
    }

    /// The keeper is ended, as by a power cut, and another one begins.
    pub(crate) fn keep_anew(&mut self) {
        let mut keeper = self.keeper.take().expect("it runs");
        keeper.kill().and_then(|()| keeper.wait()).expect("it ends");
        fs::remove_file(self.at("run/site")).expect("told");
        self.keep();
        self.wait_for("up listening");
    }

    pub(crate) fn keep(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.at("log")).expect("a log");
        // The image's, when that is to be measured.
        let program =
            std::env::var_os("AEGIS_SITE").unwrap_or_else(|| env!("CARGO_BIN_EXE_aegis-site").into());
        let mut command = Command::new(program);
        command.args(["keep", "--no-card", "--hurry", "150"]).current_dir("/");
        for (option, name) in
            [("--section", "offer"), ("--agent", "agent"), ("--state", "state"), ("--run", "run")]
        {
            command.arg(option).arg(self.at(name));
        }
        self.keeper = Some(command.stdin(Stdio::null()).stderr(log).spawn().expect("the program"));
    }

    pub(crate) fn told(&self) -> String {
        fs::read_to_string(self.at("run/site")).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, what: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.told().starts_with(what) {
            assert!(Instant::now() < end, "no {what}: {}\n{}", self.told(), self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// curl, with these words, as this client; from another address of this machine, so that it is no neighbour of who attacks.
    pub(crate) fn curl(&self, client: Option<&str>, words: &[&str], path: &str) -> Output {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--interface",
            "127.0.0.3",
            "--cacert",
        ]);
        command.arg(self.at("ca.crt")).args(words);
        if let Some(client) = client {
            command.arg("--cert").arg(self.at(&format!("{client}.crt")));
            command.arg("--key").arg(self.at(&format!("{client}.key")));
        }
        command
            .arg(format!("https://{HOST}:{}{path}", self.port))
            .output()
            .expect("curl is there (make deps)")
    }

    /// Status and body.
    pub(crate) fn get(&self, client: &str, path: &str) -> (u16, String) {
        let output = self.curl(Some(client), &["--write-out", "\n%{http_code}"], path);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap_or_default();
        let status = status.parse().unwrap_or_default();
        assert!(status > 0, "{path}: {}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
        (status, body.to_owned())
    }

    /// How often the agent was asked this.
    pub(crate) fn asked(&self, words: &str) -> usize {
        fs::read_to_string(self.at("asked")).unwrap_or_default().lines().filter(|line| *line == words).count()
    }

    /// The server's process.
    pub(crate) fn server(&self) -> PathBuf {
        self.process("serve")
    }

    /// The keeper's process of this word.
    pub(crate) fn process(&self, word: &str) -> PathBuf {
        let keeper = self.keeper.as_ref().expect("it runs").id();
        // Of each of its threads.
        let tasks = fs::read_dir(format!("/proc/{keeper}/task")).expect("its threads").flatten();
        let children: String =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
        let is_it = |pid: &&str| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
        };
        let found = children.split_whitespace().find(is_it).map(|pid| Path::new("/proc").join(pid));
        found.unwrap_or_else(|| panic!("no {word}: {}", self.log()))
    }

    /// A line of its status.
    pub(crate) fn status(&self, name: &str) -> String {
        let text = fs::read_to_string(self.server().join("status")).expect("its status");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Most that was resident, KiB, and descriptors that are open, where they may be counted.
    pub(crate) fn weight(&self) -> (u64, Option<usize>) {
        let peak = self.status("VmHWM").trim_end_matches(" kB").parse().expect("a number");
        (peak, fs::read_dir(self.server().join("fd")).ok().map(Iterator::count))
    }
}
