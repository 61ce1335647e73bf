//! The real program on this machine, with real clients: curl, openssl, Prometheus; and with those that mean no good.

mod hostile;
mod load;
mod push;
mod world;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::{HOST, World};

#[test]
fn a_device_asks_for_a_certificate_then_answers_whom_the_policy_names() {
    let mut world = World::new();
    world.keep();
    world.wait_for("down no-certificate");
    assert!(!world.curl(Some("analyst"), &[], "/health").status.success(), "nobody listens");
    world.sign();
    // Of another device's key, a client's certificate: none for this one.
    let (device, other) = (world.der("device.crt"), world.der("analyst.crt"));
    world.offer(&[&[&other]], 6000);
    std::thread::sleep(Duration::from_secs(7));
    assert!(world.told().starts_with("down no-certificate"), "{}", world.told());
    world.offer(&[&[&other], &[&device]], 6000);
    world.wait_for("up listening");
    assert!(!world.at("state/request.csr").exists(), "it was answered");

    // The document's own commands.
    let said = world.plant();
    assert_eq!(said.len(), 4);
    assert!(said[0].contains("\"verdict\":\"healthy\"") && said[1].contains("aegis_agent_up 1"), "{said:?}");
    assert_eq!(said[2].lines().count(), 10_000);
    assert_eq!(std::fs::metadata(world.at("events.cbor")).map(|found| found.len()).ok(), Some(10_000 * 28));

    for (client, path, status, part) in [
        ("prometheus", "/health", 200, "healthy"),
        ("prometheus", "/health/live", 200, "\"live\""),
        ("prometheus", "/health/ready", 503, "not-ready"),
        ("analyst", "/health/stats", 503, ""),
        ("analyst", "/metrics", 200, "aegis_agent_up 1"),
        ("analyst", "/events?since=24998", 200, "{\"sequence\":25000,"),
        ("prometheus", "/events?since=1", 403, "no name of this certificate"),
        ("analyst", "/events?since=x", 400, "since=SEQUENCE"),
        ("analyst", "/nowhere", 404, "known: /health"),
        ("analyst", "/health?x=1", 400, ""),
    ] {
        let (found, body) = world.get(client, path);
        assert!(found == status && body.contains(part), "{client} {path}: {found} {body}");
    }
    for words in [&["--request", "POST"][..], &["--request", "DELETE"]] {
        let output = world.curl(Some("analyst"), &[words, &["--include"]].concat(), "/health");
        assert!(output.stdout.starts_with(b"HTTP/1.1 405"), "{words:?}: {output:?}");
    }
    let body = world.curl(Some("analyst"), &["--request", "GET", "--data", "x", "--include"], "/health");
    assert!(body.stdout.starts_with(b"HTTP/1.1 413"), "{body:?}");
    let head = world.curl(Some("analyst"), &["--head"], "/metrics");
    let head = String::from_utf8_lossy(&head.stdout).to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let long = format!("/events?since={}", "1".repeat(300));
    assert_eq!(world.get("analyst", &long).0, 414);
    let long = world.curl(
        Some("analyst"),
        &["--include", "--header", &format!("X: {}", "x".repeat(9000))],
        "/health",
    );
    assert!(long.stdout.starts_with(b"HTTP/1.1 431"), "{long:?}");

    // An answer goes on where the one before ended.
    let (_, first) = world.get("analyst", "/events");
    let last = first.lines().last().expect("a line");
    assert!(first.lines().count() == 10_000 && last.starts_with("{\"sequence\":9999,"), "{last}");
    let (_, next) = world.get("analyst", "/events?since=10000");
    assert!(next.starts_with("{\"sequence\":10000,"));

    // The policy is another: without a site nobody listens.
    std::fs::write(world.at("offer"), b"").expect("written");
    world.wait_for("off no-site");
    assert!(!world.curl(Some("analyst"), &[], "/health").status.success(), "nobody listens any more");
}

/// As CBOR, by a client that says so: whole items, as many as of lines, in order.
#[test]
fn events_come_as_a_sequence_of_cbor_to_who_accepts_it() {
    let world = World::listening(6000);
    let get = |accept: &str, path: &str| {
        let accept = format!("Accept: {accept}");
        let output = world.curl(Some("analyst"), &["--header", &accept, "--dump-header", "-"], path);
        let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&output.stdout[..end]).to_ascii_lowercase();
        (head, output.stdout[end..].to_vec())
    };
    let (head, body) = get("application/cbor-seq", "/events");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: application/cbor-seq"),
        "{head}"
    );
    assert!(head.contains("vary: accept") && head.contains("transfer-encoding: chunked"), "{head}");
    // The document's decoder is any: here its items are told apart by their length.
    assert_eq!(body.len(), 10_000 * 28);
    for (number, item) in body.chunks(28).enumerate() {
        assert!(item.starts_with(b"\x83\x1a") && item[2..6] == (100_000 + number as u32).to_be_bytes());
    }
    let (_, next) = get("application/x-ndjson;q=0.5, application/cbor-seq", "/events?since=124998");
    assert!(next.len() == 2 * 28 && next[2..6] == 124_998_u32.to_be_bytes());
    let (head, body) = get("*/*", "/events?since=25000");
    assert!(head.contains("content-type: application/x-ndjson") && body.starts_with(b"{\"sequence\":25000,"));
    let (head, _) = get("application/cbor-seq", "/health");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(world.asked("events --cbor --filter since=0"), 1);
}

#[test]
fn the_server_may_do_nothing() {
    let world = World::listening(6000);
    assert_eq!(world.get("analyst", "/health").0, 200);
    for (name, expected) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(world.status(name), expected, "{name}");
    }
    if world.status("CapBnd") == "0000000000000000" {
        assert_eq!(world.status("Uid"), "4000000001 4000000001 4000000001 4000000001");
        assert_eq!(world.status("Groups"), "");
    } else {
        println!("not started by root: user and bounding set are as they were");
    }
    let mode = std::fs::metadata(world.at("state/key"))
        .map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    assert_eq!(mode.expect("a key") & 0o777, 0o600);
}

#[test]
fn only_tls_1_3_and_only_who_is_vouched_for() {
    let world = World::listening(6000);
    let connect = format!("{HOST}:{}", world.port);
    let s_client = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &connect, "-brief", "-CAfile"])
            .arg(world.at("ca.crt"))
            .args(words);
        command.current_dir(world.at("")).stdin(Stdio::null()).output().expect("openssl")
    };
    let mine: &[&str] = &["-cert", "analyst.crt", "-key", "analyst.key"];
    let good = s_client(&[mine, &["-tls1_3"]].concat());
    let said = String::from_utf8_lossy(&good.stderr).into_owned();
    assert!(said.contains("TLSv1.3") && said.contains("Verification: OK"), "{said}");
    let old = s_client(&[mine, &["-tls1_2"]].concat());
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(!old.status.success() && said.contains("alert"), "TLS 1.2: {said}");

    let refused = |client: Option<&str>, what: &str| {
        let output = world.curl(client, &[], "/health");
        assert!(!output.status.success() && output.stdout.is_empty(), "{what}: {output:?}");
    };
    refused(None, "no certificate");
    // Of a stranger's authority with the same name; then of the plant's, one that is over, one for servers, one without a name.
    let issue = |name: &str, authority: &str, usage: &str, san: &str, days: &str| {
        world.shell(&format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -addext 'extendedKeyUsage={usage}' \
             {san} -keyout {name}.key -out {name}.csr 2>&1\n\
             openssl x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -copy_extensions copy {days} \
             -out {name}.crt 2>&1"
        ));
    };
    world.shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=plant -keyout other.key -out other.crt 2>&1");
    let san = "-addext subjectAltName=DNS:analyst.plant";
    issue("stranger", "other", "clientAuth", san, "-days 30");
    refused(Some("stranger"), "another authority");
    issue("server", "ca", "serverAuth", san, "-days 30");
    refused(Some("server"), "for servers");
    issue("late", "ca", "clientAuth", san, "-days -1");
    refused(Some("late"), "it is over");
    for (name, san) in [
        ("nameless", ""),
        ("wild", "-addext subjectAltName=DNS:*.plant"),
        ("unknown", "-addext subjectAltName=DNS:mallory.plant"),
    ] {
        issue(name, "ca", "clientAuth", san, "-days 30");
        for path in ["/health", "/nowhere"] {
            assert_eq!(world.get(name, path).0, 403, "{name} {path}");
        }
    }
}

/// The device's clock may stand anywhere; a bundle that was signed in three years says that it is that late.
#[test]
fn certificates_are_judged_at_the_latest_time_that_is_known() {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let world = World::listening_at(now + 3 * 365 * 86_400, 6000);
    let output = world.curl(Some("analyst"), &[], "/health");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("expired"), "{said}");
}

#[test]
fn a_client_gets_what_is_granted_and_the_agent_is_asked_seldom() {
    let world = World::listening(60);
    let mut granted = 0;
    let refused = loop {
        let output = world.curl(Some("prometheus"), &["--include"], "/metrics");
        let said = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
        if !said.starts_with("http/1.1 200") {
            break said;
        }
        granted += 1;
        assert!(granted < 100, "it is not bounded");
    };
    assert!(granted >= 10 && refused.starts_with("http/1.1 429"), "{granted}: {refused}");
    let after =
        refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).expect("when to ask again");
    std::thread::sleep(Duration::from_secs(after.parse::<u64>().expect("seconds") + 1));
    assert_eq!(world.get("prometheus", "/metrics").0, 200);
    // Another client has its own.
    assert_eq!(world.get("analyst", "/health").0, 200);
    let asked = world.asked("metrics");
    assert!(asked < granted, "{asked} times for {granted} answers");
}

/// What the alerts' watcher left is taken as it is; what it left long ago is not, and that nothing is known is said.
#[test]
fn figures_that_are_there_are_not_made_again() {
    let world = World::listening(6000);
    let left = world.at("run/metrics.prom");
    std::fs::write(&left, "# HELP aegis_agent_up x\n# TYPE aegis_agent_up gauge\naegis_agent_up 1\n")
        .expect("written");
    let (status, text) = world.get("prometheus", "/metrics");
    assert!(status == 200 && text.starts_with("# HELP aegis_agent_up x\n"), "{status} {text}");
    assert!(text.contains("\naegis_site_metrics_age_seconds ") && !text.contains("aegis_push"), "{text}");
    std::fs::write(world.at("answered"), text).expect("written");
    let checked = world.shell("promtool check metrics <answered 2>&1");
    assert_eq!(checked, "", "promtool has nothing to say");
    assert_eq!(world.asked("metrics"), 0);
    let old = std::time::SystemTime::now() - Duration::from_mins(1);
    std::fs::File::options().write(true).open(&left).and_then(|file| file.set_modified(old)).expect("set");
    std::thread::sleep(Duration::from_millis(5100));
    let (status, text) = world.get("prometheus", "/metrics");
    assert!(status == 200 && text.contains("\naegis_site_metrics_age_seconds 0\n"), "{status} {text}");
    assert_eq!(world.asked("metrics"), 1);
    std::fs::write(world.at("metrics"), "").expect("written");
    std::thread::sleep(Duration::from_millis(5100));
    let (status, text) = world.get("prometheus", "/metrics");
    assert!(status == 503 && text.starts_with("no figures: "), "{status} {text}");
}

#[test]
fn prometheus_reads_it_as_the_document_says() {
    let world = World::listening(6000);
    let free = std::net::TcpListener::bind((HOST, 0)).and_then(|socket| socket.local_addr()).expect("a port");
    std::fs::write(world.at("prometheus.yml"), world.prometheus()).expect("written");
    let mut process = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"])
        .arg(format!("--web.listen-address={free}"))
        .current_dir(world.at(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus is there (make deps)");
    let query = format!("http://{free}/api/v1/query?query=aegis_agent_up");
    let end = Instant::now() + Duration::from_mins(1);
    let read = loop {
        let output = Command::new("curl").args(["--silent", &query]).output().expect("curl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains(",\"1\"]") || Instant::now() > end {
            break said;
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    let _ = process.kill();
    let _ = process.wait();
    assert!(read.contains(",\"1\"]"), "{read}\n{}", world.log());
    assert_eq!(world.asked("health --json"), 0);
}
