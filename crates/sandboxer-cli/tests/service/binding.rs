//! Where a server listens, and how what is sent there is protected.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::http::{Ask, runtime};
use crate::server::{Server, key};
use crate::support::{PATIENCE, World, wait_until};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
/// How long the server waits for a handshake, and some.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// A certificate for the loopback address, and its key.
fn certificate(world: &World) -> (PathBuf, PathBuf) {
    let (certificate, key) = (world.work.join("cert.pem"), world.work.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=a test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

/// What a client that trusts this certificate only is answered.
fn over_tls(to: SocketAddr, trusted: &Path) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, connect(to));
    stream.write_all(HEALTH)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(HANDSHAKE)).unwrap();
    stream
}

#[test]
fn tls_is_spoken_and_nothing_else_on_that_port() {
    let world = World::new();
    let (certificate, key) = certificate(&world);
    let files = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let server = Server::start(&world, &["--tls-cert", files[0], "--tls-key", files[1]]);
    let says = server.line("serving").unwrap();
    assert!(
        says["api"].as_str().unwrap().starts_with("https://127.0.0.1:"),
        "{says}"
    );
    // Who never begins a handshake is waited for while the rest is tried.
    let mut silent = connect(server.address);
    let began = Instant::now();
    assert!(
        over_tls(server.address, &certificate)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );

    let mut plain = connect(server.address);
    plain.write_all(HEALTH).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    assert!(
        began.elapsed() < HANDSHAKE,
        "a client that speaks no TLS is kept waiting"
    );

    let (other, _) = self::certificate_of_another(&world);
    assert!(
        over_tls(server.address, &other).is_err(),
        "a client trusts whom it does not know"
    );
    assert!(
        over_tls(server.address, &certificate)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    eprintln!("a client that said nothing was left after {:.1?}", began.elapsed());
    server.stop();
}

fn certificate_of_another(world: &World) -> (PathBuf, PathBuf) {
    let (first, second) = (world.work.join("cert.pem"), world.work.join("other.pem"));
    let kept = std::fs::read(&first).unwrap();
    let (made, key) = certificate(world);
    std::fs::rename(made, &second).unwrap();
    std::fs::write(first, kept).unwrap();
    (second, key)
}

#[test]
fn what_cannot_be_listened_on_is_refused_in_words() {
    let world = World::new();
    let (certificate, key) = certificate(&world);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], &str, &str); 7] = [
        (&["--listen", "0.0.0.0:0"], "invalid_input", "can be reached by others"),
        (&["--listen", "[::]:0"], "invalid_input", "can be reached by others"),
        (
            &["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"],
            "invalid_input",
            "--behind-proxy",
        ),
        (
            &["--listen", "example.com:80"],
            "invalid_input",
            "no address to listen on",
        ),
        (&["--listen", &taken], "busy", "cannot listen on"),
        (
            &["--listen", "127.0.0.1:0", "--tls-cert", key, "--tls-key", key],
            "invalid_input",
            "no certificate in it",
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                certificate,
                "--tls-key",
                certificate,
            ],
            "invalid_input",
            "cannot use",
        ),
    ];
    for (args, code, words) in cases {
        let answer = world.run(&[&["serve", "--output", "json"], args].concat());
        assert!(answer.code > 0, "{args:?}: {answer:?}");
        for part in [code, words] {
            assert!(answer.stderr.contains(part), "{args:?}: {answer:?}");
        }
        assert!(!answer.stderr.contains("serving"), "{args:?}: {answer:?}");
    }
}

fn ask_socket(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(HEALTH).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_socket_of_a_data_directory_is_its_owners_and_outlives_nobody() {
    let world = World::new();
    let socket = world.data.join("api.sock");
    let server = Server::start_with(&world, &[], &[]);
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert!(std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&world.data) & 0o077, 0, "others get into the data directory");
    assert!(ask_socket(&socket).starts_with("HTTP/1.1 200"));

    // Another beside it starts, has its own address, and leaves the socket alone.
    let second = Server::start(&world, &[]);
    let says = second.line("serving").unwrap();
    assert!(!says["api"].as_str().unwrap().contains("api.sock"), "{says}");
    let runtime = runtime();
    runtime.block_on(second.ask(&Ask::get("/healthz"))).expect(200);
    second.stop();
    assert!(ask_socket(&socket).starts_with("HTTP/1.1 200"));

    server.kill();
    assert!(socket.exists(), "there is nothing to replace");
    let server = Server::start_with(&world, &[], &[]);
    assert_eq!(mode(&socket), 0o600);
    assert!(ask_socket(&socket).starts_with("HTTP/1.1 200"));
    server.stop();
    assert!(!socket.exists(), "a server that stopped left its socket");
}

#[test]
fn what_comes_over_the_socket_needs_a_key_too() {
    let world = World::new();
    let server = Server::start_with(&world, &[], &[]);
    let token = key(&world, "root", "adm", None);
    let ask = |token: &str| {
        let mut stream = UnixStream::connect(world.data.join("api.sock")).unwrap();
        let ask = Ask::get("/v1/me").header("connection", "close").key(token);
        stream.write_all(&ask.wire()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("nobody").starts_with("HTTP/1.1 401"));
    assert!(ask(&token).starts_with("HTTP/1.1 200"));
    server.stop();
}

#[test]
fn a_service_manager_is_told_when_requests_are_answered() {
    let world = World::new();
    let path = world.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let server = Server::launch(&world, &["--listen", "127.0.0.1:0"], &env);
    assert_eq!(heard(), "READY=1");
    assert!(ask_socket(&world.data.join("api.sock")).starts_with("HTTP/1.1 200"));
    let says = wait_until("it says where", || server.line("serving").ok_or_else(|| server.says()));
    assert!(says["api"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{says}");
    server.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(server.end(), Some(0));
}
