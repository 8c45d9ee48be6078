//! S3 servers for tests: real ones, on free ports of 127.0.0.1, in directories of their own.
//!
//! A server ends with the process that started it, even where that is killed: it is held on a pipe (`leash.sh`). Servers
//! that are not installed fail the test: `tests/servers/install.sh` installs them.

#![allow(dead_code)] // Every test program uses its own part.

pub mod wire;

use opjournal::config::S3Config;
use opjournal::store::Store;
use opjournal::store::s3::S3Store;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The bucket that every server has.
pub const BUCKET: &str = "opjournal";

/// How long a server may take to answer its first request: on a loaded machine.
const START: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Minio,
    /// MinIO with the certificate in `tls`.
    MinioTls,
    Moto,
    Ministack,
    S3rver,
}

pub struct Server {
    product: Product,
    port: u16,
    child: Child,
    /// Holds the log. The objects are removed with the server.
    _directory: tempfile::TempDir,
}

impl Product {
    /// The server of this product that the tests of this process share. Started when it is first asked for.
    pub fn shared(self) -> &'static Server {
        static SERVERS: [OnceLock<Server>; 5] = [const { OnceLock::new() }; 5];
        SERVERS[self as usize].get_or_init(|| Server::start(self))
    }

    fn name(self) -> &'static str {
        match self {
            Product::Minio | Product::MinioTls => "minio",
            Product::Moto => "moto",
            Product::Ministack => "ministack",
            Product::S3rver => "s3rver",
        }
    }

    /// What is called to start it.
    fn program(self) -> PathBuf {
        let program = match self {
            Product::Minio | Product::MinioTls => "minio",
            Product::Moto => "bin/moto_server",
            Product::Ministack => "bin/ministack",
            Product::S3rver => "node_modules/.bin/s3rver",
        };
        let prefix = format!("{}-", self.name());
        let found = std::fs::read_dir(servers()).into_iter().flatten().flatten().find_map(|entry| {
            let is_it = entry.file_name().to_string_lossy().starts_with(&prefix) && entry.path().join("installed").exists();
            is_it.then(|| entry.path().join(program))
        });
        found.unwrap_or_else(|| panic!("{} is not installed in {}: run tests/servers/install.sh", self.name(), servers().display()))
    }

    /// The keys that it accepts.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Product::S3rver => ("S3RVER", "S3RVER"),
            _ => ("opjournal", "opjournal-secret"),
        }
    }
}

/// Where `install.sh` puts the servers.
fn servers() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("OPJOURNAL_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("opjournal")))
        .unwrap_or_else(|| variable("HOME").expect("HOME is set").join(".cache/opjournal"));
    cache.join("servers")
}

/// Where the certificates are.
fn tls() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tls")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Server {
    pub fn start(product: Product) -> Server {
        // Another process may take the port first: then the server ends at once, and gets another one.
        (0..5).find_map(|_| Server::try_start(product)).unwrap_or_else(|| panic!("{} does not start", product.name()))
    }

    fn try_start(product: Product) -> Option<Server> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let data = directory.path().join("data");
        // MinIO takes a directory for a bucket.
        let is_minio = matches!(product, Product::Minio | Product::MinioTls);
        std::fs::create_dir_all(data.join(if is_minio { BUCKET } else { "" })).expect("created");
        let port = free_port();
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let mut command = command(product, port, &data);
        command.env("TMPDIR", directory.path()).current_dir(directory.path());
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("the log again")).stderr(log);
        let child = command.spawn().expect("tests/servers/leash.sh can be run");
        let mut server = Server { product, port, child, _directory: directory };
        if !server.wait_until_ready() {
            return None;
        }
        if matches!(product, Product::Moto | Product::Ministack) {
            let answer = server.ask(&format!("PUT /{BUCKET}"));
            assert!(answer.contains(" 200 "), "{} makes no bucket: {answer}", product.name());
        }
        Some(server)
    }

    /// Looks until the server answers. `false` where it has ended.
    fn wait_until_ready(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            let (is_ready, answer) = match self.product {
                Product::Minio => self.answers("GET /minio/health/cluster"),
                Product::MinioTls => self.lists(),
                Product::Moto | Product::Ministack | Product::S3rver => self.answers("GET /"),
            };
            if is_ready {
                return true;
            }
            if self.child.try_wait().expect("a look at the child").is_some() {
                return false;
            }
            assert!(begun.elapsed() < START, "{} does not answer within {START:?}: {answer}", self.product.name());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self, request: &str) -> (bool, String) {
        let answer = self.ask(request);
        (answer.starts_with("HTTP/1.1 ") && !answer.contains(" 503 "), answer)
    }

    /// Whether the server answers a LIST, where plain HTTP does not reach it.
    fn lists(&self) -> (bool, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listed = runtime.block_on(async { self.store().await.list("", None).await });
        (listed.is_ok(), listed.err().map_or_else(String::new, |failure| failure.message))
    }

    /// Sends a request without a body, and returns what comes back; nothing where nothing does.
    fn ask(&self, request: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.address(), Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            write!(stream, "{request} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.address())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        ask().unwrap_or_default()
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What a journal must be told to reach this server.
    pub fn config(&self) -> S3Config {
        let config = config_for(self.address(), self.product.keys());
        match self.product {
            Product::MinioTls => {
                S3Config { endpoint: Some(format!("https://{}", self.address())), ca_bundle: Some(tls().join("ca.pem")), ..config }
            }
            _ => config,
        }
    }

    /// A store below a root that nobody used.
    pub async fn store(&self) -> S3Store {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let root = format!("root-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        S3Store::open(&self.config(), BUCKET, &root).await.expect("a store")
    }
}

/// The configuration for a server at `address`.
pub fn config_for(address: SocketAddr, keys: (&str, &str)) -> S3Config {
    S3Config {
        endpoint: Some(format!("http://{address}")),
        region: Some("us-east-1".to_owned()),
        force_path_style: true,
        access_key_id: Some(keys.0.to_owned()),
        secret_access_key: Some(keys.1.to_owned()),
        ..S3Config::default()
    }
}

fn command(product: Product, port: u16, data: &Path) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/leash.sh"));
    command.arg(data).arg(product.program());
    let (id, secret) = product.keys();
    match product {
        Product::Minio | Product::MinioTls => {
            command.arg("server").arg("--quiet").arg("--address").arg(format!("127.0.0.1:{port}")).arg(data);
            if product == Product::MinioTls {
                command.arg("--certs-dir").arg(tls());
            }
            command.env("MINIO_ROOT_USER", id).env("MINIO_ROOT_PASSWORD", secret);
            command.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off");
        }
        Product::Moto => {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        }
        Product::Ministack => {
            command.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1").env("SERVICES", "s3");
            command.env("LOG_LEVEL", "WARNING").env("DOCKER_HOST", "unix:///nonexistent");
        }
        Product::S3rver => {
            command.args(["--silent", "--address", "127.0.0.1", "--port", &port.to_string(), "--configure-bucket", BUCKET]);
            command.arg("--directory").arg(data);
        }
    }
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
