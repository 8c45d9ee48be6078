//! Two ways to see what goes over the wire: a scripted server, and a relay in front of a real one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing here waits longer than this for a peer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The head of a request: its first line and its headers, as they came.
#[derive(Clone, Debug)]
pub struct Request(pub String);

impl Request {
    /// The first line without the protocol: `PUT /bucket/key?x-id=PutObject`.
    pub fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    fn body_length(&self) -> u64 {
        self.header("content-length").map_or(0, |length| length.parse().expect("a length"))
    }
}

/// Reads the head of a request. `None` where the peer has closed.
fn read_head(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(Request(String::from_utf8(head).expect("text")))
}

/// What a scripted server does when it has read a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Answers, and waits for the next request.
    Answer(String),
    /// Answers, and closes.
    AnswerAndClose(String),
    /// Closes without an answer.
    Close,
    /// Never answers. Reports when the client closes the connection.
    Hang,
}

/// An answer with this status line, headers and body, and the right length.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    answer_of(status, headers, body, body.len())
}

/// The same, announcing `length` bytes.
pub fn answer_of(status: &str, headers: &str, body: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// A server that takes one step for each request, and closes after the last.
pub struct Scripted {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// One message for each connection that a client closed while its request hung.
    pub hung_up: Receiver<()>,
}

impl Scripted {
    pub fn start(steps: Vec<Step>) -> Scripted {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (sender, hung_up) = channel();
        let seen = requests.clone();
        std::thread::spawn(move || {
            let mut steps = steps.into_iter();
            // Ends with the test: the thread holds nothing but its listener.
            while let Ok((mut stream, _)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).expect("set");
                while let Some(request) = read_head(&mut stream) {
                    let length = request.body_length();
                    std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink()).expect("the body");
                    seen.lock().expect("requests").push(request);
                    match steps.next().unwrap_or(Step::Close) {
                        Step::Answer(text) => stream.write_all(text.as_bytes()).expect("answered"),
                        Step::AnswerAndClose(text) => {
                            stream.write_all(text.as_bytes()).expect("answered");
                            break;
                        }
                        Step::Close => break,
                        Step::Hang => {
                            if matches!(stream.read(&mut [0]), Ok(0)) {
                                let _ = sender.send(());
                            }
                            break;
                        }
                    }
                }
            }
        });
        Scripted { address, requests, hung_up }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }
}

/// Passes everything on to a server, and notes what was asked.
pub struct Relay {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (seen, count) = (requests.clone(), connections.clone());
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                *count.lock().expect("connections") += 1;
                let seen = seen.clone();
                std::thread::spawn(move || relay(client, server, &seen));
            }
        });
        Relay { address, requests, connections }
    }

    /// What was asked since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().expect("requests"))
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().expect("connections")
    }
}

fn relay(mut client: TcpStream, server: SocketAddr, seen: &Mutex<Vec<Request>>) {
    let Ok(mut server) = TcpStream::connect(server) else { return };
    let (mut answers, mut back) = (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    while let Some(request) = read_head(&mut client) {
        let length = request.body_length();
        // Noted before it is passed on: by the time its answer is back, whoever asks finds it here.
        seen.lock().expect("requests").push(request.clone());
        let passed = server.write_all(request.0.as_bytes());
        if passed.and_then(|()| std::io::copy(&mut (&mut client).take(length), &mut server)).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
