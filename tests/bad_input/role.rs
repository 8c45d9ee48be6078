//! Credentials that may do less: MinIO gives them out through the security token service that it shares with AWS.

use crate::servers::{Product, Server};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Credentials for an hour, which may do what `policy` allows: `access_key_id`, `secret_access_key` and `session_token`.
pub fn assume(server: &Server, policy: &Value) -> Value {
    let answer = ask(server, &form(&policy.to_string()));
    let part = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}: {answer}"));
        rest.split_once('<').expect("its end").0.to_owned()
    };
    serde_json::json!({
        "access_key_id": part("AccessKeyId"),
        "secret_access_key": part("SecretAccessKey"),
        "session_token": part("SessionToken"),
    })
}

fn form(policy: &str) -> String {
    let encoded: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&Policy={encoded}")
}

/// Posts `body`, signed as AWS documents it (signature version 4), and returns the answer.
fn ask(server: &Server, body: &str) -> String {
    let config = Product::Minio.shared().config();
    let (id, secret) = (config.access_key_id.expect("a key"), config.secret_access_key.expect("a secret"));
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/us-east-1/sts/aws4_request", &time[..8]);
    let (host, hash) = (server.address(), hex(&Sha256::digest(body)));
    let names = "host;x-amz-content-sha256;x-amz-date";
    let request = format!("POST\n/\n\nhost:{host}\nx-amz-content-sha256:{hash}\nx-amz-date:{time}\n\n{names}\n{hash}");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    let signature = hex(&hmac(&key, &to_sign));

    let mut stream = TcpStream::connect(host).expect("MinIO is there");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nX-Amz-Date: {time}\r\nX-Amz-Content-Sha256: {hash}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// RFC 2104, with SHA-256 and a key of at most one block.
fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
