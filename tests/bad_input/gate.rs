//! A way to a server that can be shut while connections are open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the way does with what comes along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    Open = 0,
    /// Requests arrive, and their answers are lost.
    AnswersAreLost = 1,
    /// Connections are taken, and nothing arrives on either side.
    Silent = 2,
}

pub struct Gate {
    pub address: SocketAddr,
    way: Arc<AtomicU8>,
}

impl Gate {
    pub fn start(server: SocketAddr, way: Way) -> Gate {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(AtomicU8::new(way as u8));
        let shared = state.clone();
        // These threads end with the test program, or with their connections.
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let handle = |stream: &TcpStream| stream.try_clone().expect("a handle");
                let (requests, answers) = ((handle(&client), handle(&server)), (server, client));
                let way = shared.clone();
                std::thread::spawn(move || pass(requests.0, requests.1, &way, Way::AnswersAreLost));
                let way = shared.clone();
                std::thread::spawn(move || pass(answers.0, answers.1, &way, Way::Open));
            }
        });
        Gate { address, way: state }
    }

    /// What was lost stays lost: a connection that lost anything carries nothing more in that direction.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }
}

/// Passes bytes on while the way is no worse than `worst`.
fn pass(mut from: TcpStream, mut to: TcpStream, way: &AtomicU8, worst: Way) {
    let mut chunk = [0; 16 << 10];
    let mut is_lost = false;
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        is_lost |= way.load(Ordering::SeqCst) > worst as u8;
        if !is_lost && to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
