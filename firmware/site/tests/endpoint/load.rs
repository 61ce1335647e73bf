//! Load by wrk, which knows no client certificates: socat puts TLS around each of its connections. By `make site-load`, which has the
//! image's program measured; not among the tests that CI runs.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{HOST, World};

/// As many as one address may have, less one for who looks on.
const CONNECTIONS: usize = 11;

struct Tls(Child);

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "measures; make site-load"]
fn load() {
    let world = World::listening(6000);
    world
        .shell("cat prometheus.crt prometheus.key >prometheus.pem; cat analyst.crt analyst.key >analyst.pem");
    for (client, path, seconds) in [
        ("prometheus", "/health/live", 20),
        ("prometheus", "/metrics", 20),
        ("analyst", "/events?since=24001", 20),
        ("prometheus", "/nowhere", 20),
    ] {
        let port =
            std::net::TcpListener::bind((HOST, 0)).and_then(|free| free.local_addr()).expect("a port").port();
        let tls = Command::new("socat")
            .arg(format!("TCP-LISTEN:{port},bind={HOST},reuseaddr,fork"))
            .arg(format!("OPENSSL:{HOST}:{},cert={client}.pem,cafile=ca.crt,verify=1", world.port))
            .current_dir(world.at(""))
            .stderr(Stdio::null())
            .spawn()
            .expect("socat is there (make deps)");
        let _tls = Tls(tls);
        std::thread::sleep(Duration::from_millis(500));
        // Of its rate everybody has a whole burst again.
        std::thread::sleep(Duration::from_secs(10));
        let begun = Instant::now();
        let said = world.shell(&format!(
            "wrk --threads 2 --connections {CONNECTIONS} --duration {seconds}s --latency http://{HOST}:{port}{path} 2>&1"
        ));
        println!("{path} as {client}, {:?}\n{said}", begun.elapsed());
        let (resident, descriptors) = world.weight();
        println!("resident at most {resident} KiB, descriptors {descriptors:?}\n");
        assert!(said.contains("requests in"), "{said}");
        assert!(resident <= 12 * 1024, "{resident}");
        assert_eq!(world.get("analyst", "/health/live").0, 200, "others are answered");
    }
}
