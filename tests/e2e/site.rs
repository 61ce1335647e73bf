//! The site network, in a guest with a card: asked for by policy, certified by stick, read by curl from outside; and what that costs
//! the way of an event to the disk (`docs/site.md`). Most is held by `firmware/site/tests`, without a guest.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aegis_qemu::{Stick, StickFs, Vm};
use aegis_tests::Bench;

use super::export::{office_key, opened};

/// Events all the time, for as long as the test takes; once two more decisions on policies were kept, what goes out is for this recipient.
fn steady(recipient: &str) -> String {
    format!(
        "places() {{ stat -c %i:%s:%Z /data/aegis/history; }}
echo begun; were=$(places); n=0; taken=0
while :; do
    : </etc/hosts; sleep 0.05; n=$((n + 1))
    if [ $((n % 100)) = 0 ] && [ \"$(places)\" != \"$were\" ]; then
        were=$(places); taken=$((taken + 1)); echo taken $taken
        [ $taken != 2 ] || printf '[export]\\nrecipients = [\"{recipient}\"]\\n' >/data/aegis/config.toml
    fi
done"
    )
}

struct Site<'b> {
    bench: &'b Bench,
    port: u16,
}

/// The collector's process, until it is dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site<'_> {
    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.bench.at(""));
        String::from_utf8(Bench::good(command)).expect("UTF-8")
    }

    fn pem(&self, name: &str) -> String {
        fs::read_to_string(self.bench.at(name)).expect("a certificate")
    }

    /// A bundle of a policy with a site, and with these certificates.
    fn bundle(&self, sequence: u64, certificates: &[String]) -> PathBuf {
        let policy = self.bench.policy("site", "audit", &[]);
        let list: Vec<String> = certificates.iter().map(|pem| format!("\"\"\"\n{pem}\"\"\"")).collect();
        let mut text = fs::read_to_string(&policy).expect("a policy").replacen(
            "mode =",
            "argv = \"program\"\nmode =",
            1,
        );
        let _ = write!(
            text,
            "\n[site]\ninterface = \"eth0\"\naddress = \"10.0.2.15/24\"\ngateway = \"10.0.2.2\"\nnames = [\"edge-7.plant\"]\n\
             client-authorities = [\"\"\"\n{0}\"\"\"]\ncertificates = [{1}]\nviewers = [\"prometheus.plant\"]\n\
             operators = [\"analyst.plant\"]\nrequests-per-minute = 6000\n[site.collector]\naddress = \"10.0.2.20:9444\"\n\
             name = \"collector.plant\"\npath = \"/aegis/\"\nauthorities = [\"\"\"\n{0}\"\"\"]\n",
            self.pem("ca.crt"),
            list.join(", ")
        );
        fs::write(&policy, text).expect("written");
        self.bench.bundle(&format!("site-{sequence}.aegis"), &policy, sequence)
    }

    /// A collector of exports at this port of this machine.
    fn collector(&self, port: u16) -> Collector {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/site/tests/endpoint/collector.py"));
        command
            .args([&port.to_string(), "collector.crt", "collector.key", "ca.crt"])
            .current_dir(self.bench.at(""));
        Collector(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("python3"))
    }

    /// Exports that the collector has, once there are so many that end so.
    fn taken(&self, end: &str, least: usize, vm: &Vm) -> Vec<PathBuf> {
        let until = Instant::now() + Duration::from_mins(4);
        loop {
            let found = fs::read_dir(self.bench.at("taken")).into_iter().flatten();
            let taken: Vec<PathBuf> = found
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|found| found == end))
                .collect();
            if taken.len() >= least {
                return taken;
            }
            assert!(Instant::now() < until, "{taken:?}: {}", vm.console_end());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn curl(&self, client: Option<&str>, path: &str) -> Output {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "60", "--cacert", "ca.crt"])
            .current_dir(self.bench.at(""));
        if let Some(client) = client {
            command.args(["--cert", &format!("{client}.crt"), "--key", &format!("{client}.key")]);
        }
        // By the name in the device's certificate: the address in it is the guest's own.
        command.args(["--connect-to", &format!("edge-7.plant:9443:127.0.0.1:{}", self.port)]);
        command.arg(format!("https://edge-7.plant:9443{path}")).output().expect("curl is there (make deps)")
    }

    fn get(&self, client: &str, path: &str) -> String {
        let output = self.curl(Some(client), path);
        assert!(output.status.success(), "{path}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Of the time from the kernel to the disk, of events in so many seconds from now on, the bucket that the 99th of a hundred is in, and
    /// of how many.
    fn latencies(&self, seconds: u64, mut meanwhile: impl FnMut()) -> (String, f64) {
        let buckets = || -> Vec<(String, f64)> {
            let text = self.get("prometheus", "/metrics");
            let of = |line: &str| {
                let rest = line.strip_prefix("aegis_event_latency_seconds_bucket{le=\"")?;
                let (bound, count) = rest.split_once("\"} ")?;
                Some((bound.to_owned(), count.parse().ok()?))
            };
            text.lines().filter_map(of).collect()
        };
        let before = buckets();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            meanwhile();
        }
        std::thread::sleep(Duration::from_secs(6));
        let after = buckets();
        assert!(!after.is_empty() && before.len() == after.len(), "{after:?}");
        let made: Vec<(String, f64)> =
            before.iter().zip(&after).map(|((bound, old), (_, new))| (bound.clone(), new - old)).collect();
        let all = made.last().map_or(0.0, |(_, count)| *count);
        let p99 = made.iter().find(|(_, count)| *count >= all * 0.99).map(|(bound, _)| bound.clone());
        (p99.unwrap_or_default(), all)
    }
}

/// Takes a stick with this file; what the device left on it.
fn stick(vm: &mut Vm, bundle: Option<&Path>, into: &Path) {
    let mut stick = Stick::new(StickFs::Vfat);
    if let Some(bundle) = bundle {
        stick = stick.file("site.aegis", bundle);
    }
    let place = vm.now().expect("watched");
    let id = vm.plug(&stick).expect("plugged");
    let taken = vm.wait_line_after(place, "it can be pulled").expect("watched");
    assert!(taken.is_some(), "{}", vm.console_end());
    vm.unplug(id).expect("pulled");
    fs::create_dir_all(into).expect("made");
    aegis_qemu::stick_outputs(vm.stick_path(id), into).expect("a stick that is read back");
}

#[test]
fn a_device_is_read_over_its_site_network() {
    let bench = Bench::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let site = Site { bench: &bench, port };
    site.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=plant -keyout ca.key -out ca.crt\n\
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=collector -addext subjectAltName=DNS:collector.plant \
         -keyout collector.key -out collector.csr\n\
         openssl x509 -req -in collector.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 825 -out collector.crt\n\
         for name in prometheus analyst; do\n\
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -addext subjectAltName=DNS:$name.plant \
         -addext extendedKeyUsage=clientAuth -keyout $name.key -out $name.csr\n\
         openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 825 -out $name.crt\n\
         done",
    );
    let first = site.bundle(500, &[]);
    let takes = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let _collector = site.collector(takes);
    let (key, recipient) = office_key(&bench);
    let machine = bench
        .demo(&steady(&recipient))
        .network(port, 9443)
        .collector(takes)
        .bundle(first)
        .timeout(Duration::from_mins(12));
    let (_slot, mut vm) = Bench::start(machine);
    let asked = vm.wait_line("no-certificate").expect("watched");
    assert!(asked.is_some(), "{}", vm.console_end());
    assert!(vm.wait_stdout("begun").expect("watched"));
    assert!(!site.curl(Some("analyst"), "/health").status.success(), "nobody listens");

    // The request goes out with the next stick, the certificate comes back by policy.
    let out = bench.at("request");
    stick(&mut vm, None, &out);
    let requests: Vec<PathBuf> = fs::read_dir(&out)
        .expect("what it left")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "csr"))
        .collect();
    let [request] = requests.as_slice() else { panic!("one request: {requests:?}") };
    fs::copy(request, bench.at("device.csr")).expect("copied");
    site.shell(
        "openssl req -in device.csr -noout -verify\n\
         openssl x509 -req -in device.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 825 -out device.crt",
    );
    let second = site.bundle(501, &[site.pem("device.crt")]);
    let place = vm.now().expect("watched");
    stick(&mut vm, Some(&second), &bench.at("second"));
    let listens = vm.wait_line_after(place, "site: up: listening: 10.0.2.15:9443").expect("watched");
    assert!(listens.is_some(), "{}", vm.console_end());

    let health = site.get("prometheus", "/health");
    assert!(health.contains("\"verdict\":") && health.contains("debug-image"), "{health}");
    assert!(site.get("prometheus", "/health/live").contains("\"verdict\":\"live\""));
    assert!(site.get("prometheus", "/health/ready").contains("\"verdict\":\"ready\""));
    assert!(site.get("prometheus", "/metrics").contains("\naegis_agent_up 1\n"));
    let events = site.get("analyst", "/events?since=1");
    let first = events.lines().next().expect("an event");
    assert!(first.starts_with("{\"sequence\":1,") && events.contains("\"kind\":\"policy\""), "{first}");
    // The policy wants of arguments none but the first.
    let exec = events
        .lines()
        .rfind(|line| line.contains("\"kind\":\"exec\"") && line.contains("\"workload\":\"demo\""));
    assert!(exec.is_some_and(|line| line.contains("\"***\"")), "{exec:?}");
    assert!(site.get("prometheus", "/events").contains("no name of this certificate"));
    assert!(!site.curl(None, "/health").status.success(), "without a certificate");

    // What the collector has is what a stick would have brought: signed, from the first event on.
    let taken = site.taken("cbor", 2, &vm);
    is_whole(&taken);
    // It is taken when the collector's answer is read: a little later than its file is there.
    let end = Instant::now() + Duration::from_mins(1);
    let wanted =
        ["aegis_push_up 1", "aegis_push_missed_events_total 0"].map(|series| format!("\n{series}\n"));
    loop {
        let figures = site.get("prometheus", "/metrics");
        if wanted.iter().all(|series| figures.contains(series)) {
            break;
        }
        assert!(Instant::now() < end, "{wanted:?}: {figures}");
        std::thread::sleep(Duration::from_secs(5));
    }

    // What it costs the way of an event to the disk: printed, for who compares.
    let (quiet, of) = site.latencies(20, || std::thread::sleep(Duration::from_millis(500)));
    let (loaded, of_loaded) = site.latencies(20, || {
        let _ = site.curl(Some("analyst"), "/events?since=1");
        let _ = site.curl(Some("prometheus"), "/metrics");
        let _ = site.curl(None, "/health");
    });
    println!(
        "from the kernel to the disk: p99 within {quiet} s of {of} events; while it is read without a rest: within {loaded} s of {of_loaded}"
    );
    assert!(of > 0.0 && of_loaded > 0.0, "events were written");
    // Readers delay no event by more than a second, on a machine that is emulated.
    assert!(loaded.parse::<f64>().is_ok_and(|bound| bound <= 1.0), "p99 {loaded} s while it is read");
    let lost = |text: &str| -> f64 {
        let lost = text.lines().filter(|line| line.starts_with("aegis_lost_events_total"));
        lost.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    assert!(lost(&site.get("prometheus", "/metrics")).abs() < 0.5, "nothing was lost");

    // With a recipient nobody else reads what is pushed, and it goes on where the rest ended.
    assert!(vm.wait_stdout("taken 1").expect("watched"), "{}", vm.console_end());
    stick(&mut vm, Some(&site.bundle(502, &[site.pem("device.crt")])), &bench.at("third"));
    assert!(vm.wait_stdout("taken 2").expect("watched"), "{}", vm.console_end());
    let sealed = site.taken("age", 1, &vm);
    let opened: Vec<PathBuf> = sealed.iter().map(|export| opened(&bench, &key, export)).collect();
    is_whole(&[site.taken("cbor", 2, &vm), opened].concat());
    vm.cut_power().expect("it ends");
}

/// They are one chain, without a gap.
fn is_whole(exports: &[PathBuf]) {
    let mut verify = Bench::aegisctl();
    verify.args(["export", "verify", "--json"]).args(exports);
    let said = String::from_utf8(Bench::good(verify)).expect("UTF-8");
    assert!(said.contains("\"whole\":true") && said.contains("\"seals\":\"good\""), "{said}");
}
