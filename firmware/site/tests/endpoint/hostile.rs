//! Those that mean no good: none of them keeps others from being answered, and what they cost is bounded.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use crate::world::{HOST, World};

/// Most that the server may ever have resident, KiB: of the debug program, whose code alone is larger than the image's.
const RESIDENT: u64 = 12 * 1024;
/// Descriptors: 32 connections, its own.
const DESCRIPTORS: usize = 64;

fn connected(world: &World) -> TcpStream {
    connected_from(world, Ipv4Addr::LOCALHOST)
}

/// From another of this machine's own addresses.
fn connected_from(world: &World, address: Ipv4Addr) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(address, 0)).expect("an address of this machine");
    rustix::net::connect(&socket, &SocketAddr::new(HOST, world.port)).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

fn weighs_little(world: &World, when: &str) {
    let (resident, descriptors) = world.weight();
    println!("{when}: {resident} KiB resident at most, descriptors {descriptors:?}");
    assert!(
        resident <= RESIDENT && descriptors.is_none_or(|open| open <= DESCRIPTORS),
        "{when}: {resident} {descriptors:?}"
    );
}

#[test]
fn ten_thousand_bad_handshakes() {
    let world = World::listening(6000);
    assert_eq!(world.get("analyst", "/health").0, 200);
    weighs_little(&world, "before");
    let server = world.server();
    // Of one address most are closed as they come; of many each gets so far as TLS looks at it.
    for many in [false, true] {
        let begun = Instant::now();
        let (mut bytes, mut slowest) = (0, Duration::ZERO);
        for round in 0..10_000u32 {
            // No TLS, half a record, a record that is longer than any, nothing at all.
            let bad: &[u8] = match round % 4 {
                0 => b"GET / HTTP/1.1\r\n\r\n",
                1 => b"\x16\x03\x01\x00\xff\x01\x00\x00\xfb",
                2 => b"\x16\x03\x01\xff\xff",
                _ => b"",
            };
            let address = if many { Ipv4Addr::from(0x7f01_0001 + round / 30) } else { Ipv4Addr::LOCALHOST };
            let mut stream = connected_from(&world, address);
            if stream.write_all(bad).and_then(|()| stream.shutdown(Shutdown::Write)).is_ok() {
                let mut said = Vec::new();
                bytes += stream.read_to_end(&mut said).unwrap_or_default();
            }
            if round % 1000 == 500 {
                let asked = Instant::now();
                assert_eq!(world.get("analyst", "/health/live").0, 200, "after {round}");
                slowest = slowest.max(asked.elapsed());
            }
        }
        let from = if many { "334 addresses" } else { "one address" };
        println!(
            "10,000 bad handshakes from {from} in {:?}: they got {bytes} bytes; a good client's slowest answer: {slowest:?}",
            begun.elapsed()
        );
        weighs_little(&world, "after them");
        // Each alert of TLS is 7 bytes: what was looked at was answered.
        assert!(!many || bytes > 4_500 * 7, "{bytes}");
    }
    assert_eq!(world.server(), server, "it is the same process");
    assert_eq!(world.get("analyst", "/metrics").0, 200);
    assert!(world.log().contains("site: refused"), "{}", world.log());
}

/// openssl s_client, connected, with its standard input to be typed into.
fn s_client(world: &World) -> Child {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("{HOST}:{}", world.port)]);
    command
        .args(["-cert", "analyst.crt", "-key", "analyst.key", "-CAfile", "ca.crt"])
        .current_dir(world.at(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("openssl")
}

#[test]
fn those_who_dribble_are_given_up() {
    let world = World::listening(6000);
    // As many as one address may have: half say nothing, half one byte of a handshake at a time.
    let mut slow: Vec<TcpStream> = (0..12).map(|_| connected(&world)).collect();
    let begun = Instant::now();
    for byte in *b"\x16\x03\x01\x00\xff" {
        for stream in slow.iter_mut().skip(6) {
            let _ = stream.write_all(&[byte]);
        }
        let (status, _) = world.get("analyst", "/health");
        assert_eq!(status, 200, "others are answered");
        sleep(Duration::from_millis(300));
    }
    // One more of that address is closed as it comes.
    let refused = connected(&world).read(&mut [0; 1]);
    assert!(refused.is_err() || refused.is_ok_and(|read| read == 0));
    for stream in &mut slow {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let handshakes = begun.elapsed();
    assert!(handshakes < Duration::from_secs(12), "{handshakes:?}");

    // A request's head, a byte at a time, by somebody who is vouched for.
    let mut client = s_client(&world);
    let mut typed = client.stdin.take().expect("to type into");
    let begun = Instant::now();
    for byte in b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ".iter().chain([&b'x'; 200]) {
        if typed.write_all(&[*byte]).is_err() || client.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let head = begun.elapsed();
    let _ = client.kill();
    let _ = client.wait();
    println!("dribbled handshakes are given up after {handshakes:?}, a dribbled head after {head:?}");
    assert!(head < Duration::from_secs(18), "{head:?}");
    weighs_little(&world, "after those who dribble");
}

#[test]
fn who_reads_slowly_is_waited_for_and_not_buffered_for() {
    let world = World::listening(6000);
    let slow = |rate: &str| {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--limit-rate",
            rate,
            "--cacert",
            "ca.crt",
            "--cert",
            "analyst.crt",
            "--key",
            "analyst.key",
        ]);
        command.arg(format!("https://{HOST}:{}/events", world.port)).current_dir(world.at(""));
        command.stdout(Stdio::null()).spawn().expect("curl")
    };
    let mut two = [slow("4k"), slow("4k")];
    let end = Instant::now() + Duration::from_secs(30);
    while world.asked("events --json --filter since=0") < 2 {
        assert!(Instant::now() < end, "{}", world.log());
        sleep(Duration::from_millis(50));
    }
    // There are two of them at once: a third is told to come again.
    let third = loop {
        let output = world.curl(Some("analyst"), &["--include", "--max-time", "2"], "/events");
        let said = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
        if said.starts_with("http/1.1 503") || Instant::now() > end {
            break said;
        }
        sleep(Duration::from_millis(200));
    };
    assert!(third.starts_with("http/1.1 503") && third.contains("retry-after: 1"), "{third}");
    assert_eq!(world.get("prometheus", "/metrics").0, 200, "others are answered");
    weighs_little(&world, "while two read slowly");
    for client in &mut two {
        let _ = client.kill();
        let _ = client.wait();
    }
    // Their places are free again.
    let end = Instant::now() + Duration::from_secs(20);
    while world.get("analyst", "/events?since=24999").0 != 200 {
        assert!(Instant::now() < end, "{}", world.log());
        sleep(Duration::from_millis(200));
    }
}

/// Load that is bounded: whoever asks much gets what is granted, and the server no larger.
#[test]
fn many_at_once() {
    let world = World::listening(6000);
    let begun = Instant::now();
    let output = world.shell(&format!(
        "seq 2000 | sed 's|.*|url = \"https://{HOST}:{}/health/live\"\\noutput = /dev/null|' >urls\n\
         curl --silent --parallel --parallel-max 8 --cacert ca.crt --cert analyst.crt --key analyst.key --write-out '%{{http_code}}\\n' \
         --config urls | sort | uniq -c",
        world.port
    ));
    println!(
        "2,000 requests of one client in {:?}: {}",
        begun.elapsed(),
        output.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    assert!(output.contains(" 200"), "{output}");
    weighs_little(&world, "after 2,000 requests");
    let asked = world.asked("health --json --live");
    assert!(asked <= 2 + begun.elapsed().as_secs() as usize, "{asked} times in {:?}", begun.elapsed());
}
